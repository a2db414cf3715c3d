//! The frontier search against brute force and against MSDNet's search.

mod support;

use offramp_policies::{
    AnyPolicy, Criterion, ExitPolicy, ExitTable, PolicyError, Target, evaluate, fit, frontier,
    msdnet_thresholds,
};
use proptest::prelude::*;
use support::{Random, simulate, t8, table, val};

const MACS: [u64; 4] = [7, 20, 41, 90];

/// Confidences on a coarse grid, so that ties are common; deeper exits are right more often.
fn random_table(seed: u64, samples: usize, exits: usize) -> ExitTable {
    let mut random = Random(seed);
    let (mut confidence, mut correct) = (vec![], vec![]);
    for exit in 0..exits {
        let draws: Vec<f64> = (0..samples).map(|_| random.uniform()).collect();
        let hit = 0.35 + 0.15 * exit as f64;
        correct.push(
            draws
                .iter()
                .map(|&d| random.uniform() < hit + 0.4 * (d - 0.5))
                .collect(),
        );
        confidence.push(
            draws
                .iter()
                .map(|d| 0.15 + 0.1 * (8.0 * d).floor())
                .collect(),
        );
    }
    table(&confidence, &correct)
}

/// (mean MACs, top-1) of every choice of thresholds that makes a difference.
fn brute_force(table: &ExitTable, criterion: Criterion, macs: &[u64]) -> Vec<(f64, f64)> {
    let mut choices: Vec<Vec<f64>> = vec![vec![]];
    for exit in 0..table.exits() - 1 {
        let mut levels: Vec<f64> = (0..table.samples())
            .map(|i| match criterion {
                Criterion::Confidence => table.evidence(i, exit).confidence.into(),
                Criterion::Entropy => table.evidence(i, exit).entropy.into(),
                Criterion::Margin => table.evidence(i, exit).margin.into(),
            })
            .chain([criterion.never()])
            .collect();
        levels.sort_by(f64::total_cmp);
        levels.dedup();
        choices = choices
            .iter()
            .flat_map(|head| {
                levels
                    .iter()
                    .map(move |&level| [&head[..], &[level]].concat())
            })
            .collect();
    }
    let samples = table.samples() as f64;
    let outcome = |mut thresholds: Vec<f64>| {
        thresholds.push(criterion.always());
        let (_, total, correct) = simulate(table, criterion, &thresholds, macs);
        (total as f64 / samples, 100.0 * correct as f64 / samples)
    };
    choices.into_iter().map(outcome).collect()
}

fn best(points: &[(f64, f64)], max_macs: f64) -> f64 {
    points
        .iter()
        .filter(|p| p.0 <= max_macs)
        .map(|p| p.1)
        .fold(f64::NAN, f64::max)
}

/// Every budget at which the best accuracy changes, over many small tables. With two exits the
/// search is exact. With three and four it may stop short; how often is pinned here.
#[test]
fn compared_with_brute_force() {
    for (exits, samples, tables, missed_at_most) in
        [(2, 25, 100, 0), (3, 20, 100, 3), (4, 12, 40, 3)]
    {
        let (mut budgets, mut missed, mut worst) = (0, 0, 0.0f64);
        for seed in 0..tables {
            let rows = val(random_table(seed, samples, exits));
            for criterion in Criterion::ALL {
                let macs = &MACS[..exits];
                let exact = brute_force(rows.table(), criterion, macs);
                let front = frontier(&rows, criterion, macs).unwrap();
                let ours: Vec<_> = front.iter().map(|p| (p.mean_macs, p.top1)).collect();
                for &(budget, _) in &exact {
                    let (exact, ours) = (best(&exact, budget), best(&ours, budget));
                    assert!(
                        ours <= exact,
                        "{ours} % at {budget} MACs cannot be: {exact} %"
                    );
                    budgets += 1;
                    missed += usize::from(ours < exact);
                    worst = worst.max(exact - ours);
                }
            }
        }
        println!(
            "{exits} exits: {missed} of {budgets} budgets missed, by at most {worst:.2} points"
        );
        assert!(
            1000 * missed <= missed_at_most * budgets,
            "{exits} exits: {missed} of {budgets}"
        );
    }
}

#[test]
fn never_worse_than_msdnet_on_the_rows_fitted_on() {
    let mut better = 0;
    for (seed, criterion) in (0..30).flat_map(|seed| Criterion::ALL.map(|c| (seed, c))) {
        let rows = val(random_table(seed, 60, 4));
        for p in 1..=39 {
            let theirs = msdnet_thresholds(&rows, criterion, f64::from(p) / 20.0).unwrap();
            let theirs = AnyPolicy::with_thresholds(criterion, theirs).unwrap();
            let theirs = evaluate(&theirs, rows.table(), &MACS).unwrap();
            let budget = Target::MaxMacs(theirs.mean_macs);
            let ours = fit(&rows, criterion, &MACS, budget).unwrap().on_fit;
            assert!(ours.top1 >= theirs.top1 && ours.mean_macs <= theirs.mean_macs);
            better += usize::from(ours.top1 > theirs.top1);
        }
    }
    assert!(
        better > 1000,
        "better at {better} of {} budgets",
        30 * 3 * 39
    );
}

#[test]
fn what_the_search_promises_is_what_the_policy_does() {
    for criterion in Criterion::ALL {
        let rows = val(random_table(5, 80, 4));
        let mut previous = (0.0, -1.0);
        for point in frontier(&rows, criterion, &MACS).unwrap() {
            let (leaving, total, correct) =
                simulate(rows.table(), criterion, &point.thresholds, &MACS);
            assert_eq!(point.mean_macs, total as f64 / 80.0);
            assert_eq!(point.top1, 100.0 * correct as f64 / 80.0);
            let fractions: Vec<f64> = leaving.iter().map(|&n| n as f64 / 80.0).collect();
            assert_eq!(point.exit_fractions, fractions);
            assert!(
                point.mean_macs > previous.0 && point.top1 > previous.1,
                "not a front"
            );
            previous = (point.mean_macs, point.top1);
        }
    }
}

#[test]
fn a_larger_budget_is_never_less_accurate_and_a_larger_drop_never_dearer() {
    let rows = val(random_table(9, 80, 4));
    let budgets: Vec<f64> = (7..=95)
        .map(|b| {
            let target = Target::MaxMacs(f64::from(b));
            let fitted = fit(&rows, Criterion::Margin, &MACS, target).unwrap();
            assert!(fitted.on_fit.mean_macs <= f64::from(b));
            fitted.on_fit.top1
        })
        .collect();
    assert!(budgets.is_sorted(), "{budgets:?}");

    let deepest = rows.table().metrics()[3].top1;
    let drops: Vec<f64> = (0..=40)
        .map(|drop| {
            let target = Target::MaxDrop(f64::from(drop));
            let point = fit(&rows, Criterion::Margin, &MACS, target).unwrap().on_fit;
            assert!(point.top1 >= deepest - f64::from(drop) - 1e-9);
            -point.mean_macs
        })
        .collect();
    assert!(drops.is_sorted(), "{drops:?}");
}

/// With two exits the front is exact, and who leaves early shrinks along it.
#[test]
fn two_exits_have_thresholds_monotone_in_the_budget() {
    for criterion in Criterion::ALL {
        let rows = val(random_table(3, 80, 2));
        let front = frontier(&rows, criterion, &[10, 30]).unwrap();
        let sign = if criterion == Criterion::Entropy {
            -1.0
        } else {
            1.0
        };
        let thresholds: Vec<f64> = front
            .iter()
            .map(|point| sign * point.thresholds[0])
            .collect();
        assert!(
            thresholds.is_sorted_by(|a, b| a < b),
            "{criterion}: {thresholds:?}"
        );
    }
}

#[test]
fn ties_in_accuracy_go_to_the_cheaper_point() {
    let rows = val(table(
        &vec![vec![0.9, 0.5, 0.3]; 3],
        &vec![vec![true; 3]; 3],
    ));
    let cheapest = fit(
        &rows,
        Criterion::Confidence,
        &[10, 20, 40],
        Target::MaxMacs(1e9),
    )
    .unwrap();
    assert_eq!(cheapest.on_fit.exit_fractions, [1.0, 0.0, 0.0]);
    // Everybody leaves at the first exit, so rows less sure than any seen must leave there too.
    assert_eq!(cheapest.policy.thresholds()[0], -1e8);
}

#[test]
fn unreachable_targets_say_what_is_reachable() {
    let message = |target| {
        fit(&val(t8()), Criterion::Confidence, &[10, 20, 40], target)
            .unwrap_err()
            .to_string()
    };
    let error = message(Target::MaxMacs(9.5));
    assert!(error.contains("at most 9.5 MACs"), "{error}");
    assert!(
        error.contains("exit 0 already costs 10 (top-1 50.00 %"),
        "{error}"
    );
    // Exits 0 and 1 are wrong for sample 4, which only the last gets right, and every exit is wrong
    // for sample 5 but the second: all six right is possible, a seventh is not.
    let error = message(Target::MaxDrop(-20.0));
    assert!(
        error.contains("103.33 % top-1 (the deepest exit's 83.33 % minus -20 points)"),
        "{error}"
    );
    assert!(error.contains("the best is 100.00 % at"), "{error}");
    for target in [Target::MaxMacs(f64::NAN), Target::MaxDrop(f64::INFINITY)] {
        assert!(message(target).contains("must be a finite number"));
    }
    let single = val(table(&[vec![0.5]], &[vec![true]]));
    let error = fit(&single, Criterion::Confidence, &[10], Target::MaxDrop(1.0)).unwrap_err();
    assert!(matches!(error, PolicyError::OneExit));
    let error = fit(
        &val(t8()),
        Criterion::Confidence,
        &[10, 20],
        Target::MaxDrop(1.0),
    )
    .unwrap_err();
    assert!(
        error.to_string().starts_with("2 costs for 3 exit(s)"),
        "{error}"
    );
}

#[test]
fn exits_of_equal_cost_and_rows_all_alike_do_no_harm() {
    let rows = val(table(
        &vec![vec![0.5; 5]; 3],
        &[vec![false; 5], vec![true; 5], vec![false; 5]],
    ));
    let front = frontier(&rows, Criterion::Entropy, &[10, 10, 10]).unwrap();
    assert_eq!(front.len(), 1);
    assert_eq!(
        (front[0].top1, &front[0].exit_fractions[..]),
        (100.0, &[0.0, 1.0, 0.0][..])
    );
}

proptest! {
    #![proptest_config(support::quiet())]

    #[test]
    fn the_order_of_the_rows_does_not_matter(
        (order, seed) in (Just((0..40).collect::<Vec<usize>>()).prop_shuffle(), 0u64..50),
        criterion in prop::sample::select(Criterion::ALL.to_vec()),
    ) {
        let plain = random_table(seed, 40, 3);
        let classes = plain.classes();
        let logits = (0..3).map(|k| {
            order.iter().flat_map(|&i| plain.logits(k)[i * classes..][..classes].to_vec()).collect()
        });
        let labels = order.iter().map(|&i| plain.labels()[i]).collect();
        let shuffled = ExitTable::new(logits.collect(), classes, labels).unwrap();
        let macs = &MACS[..3];
        prop_assert_eq!(
            frontier(&val(plain), criterion, macs).unwrap(),
            frontier(&val(shuffled), criterion, macs).unwrap()
        );
    }
}
