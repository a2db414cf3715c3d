//! Do the guarantees hold? A population of rows, of which the risk is known exactly; validation rows drawn
//! from it again and again; the share of draws after which the risk of the chosen policy is above its
//! level, against what was promised.

mod support;

use offramp_policies::{
    AnyPolicy, Controlled, Criterion, ExitTable, FitRows, Guarantee, PolicyError, Promise,
    RiskLoss, control, evaluate, losses, threshold_path,
};
use support::{CLASSES, Random, synthetic, val};

const MACS: [u64; 3] = [10, 20, 40];
const DRAWS: usize = 1000;

/// Rows drawn with replacement: independent rows of the population.
fn draw(population: &ExitTable, rows: usize, random: &mut Random) -> FitRows {
    let chosen: Vec<usize> = (0..rows)
        .map(|_| random.below(population.samples()))
        .collect();
    let logits = (0..population.exits()).map(|exit| {
        let logits = population.logits(exit);
        chosen
            .iter()
            .flat_map(|&i| &logits[i * CLASSES..][..CLASSES])
            .copied()
            .collect()
    });
    let labels = chosen.iter().map(|&i| population.labels()[i]).collect();
    val(ExitTable::new(logits.collect(), CLASSES, labels).unwrap())
}

fn mean(losses: &[i8]) -> f64 {
    losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / losses.len() as f64
}

/// After each draw, the risk in the population and the cost of the chosen policy.
fn simulate(guarantee: Guarantee, rows: usize) -> Vec<(f64, f64)> {
    let population = synthetic(&mut Random(11), 4000, 3);
    let path = threshold_path(Criterion::Confidence, 3, CLASSES, 40).unwrap();
    let known: Vec<(f64, f64)> = (path.iter())
        .map(|policy| {
            let risk = mean(&losses(policy, &population, guarantee.loss).unwrap());
            (
                risk,
                evaluate(policy, &population, &MACS).unwrap().mean_macs,
            )
        })
        .collect();
    let mut random = Random(12);
    (0..DRAWS)
        .map(|_| {
            let rows = draw(&population, rows, &mut random);
            let chosen = control(&rows, &path, &MACS, guarantee).unwrap().policy;
            known[path.iter().position(|policy| *policy == chosen).unwrap()]
        })
        .collect()
}

/// `P(Bin(n, p) <= count)`, term by term.
fn binomial_tail(count: usize, n: usize, p: f64) -> f64 {
    let mut term = (1.0 - p).powi(n as i32);
    let mut sum = term;
    for k in 1..=count {
        term *= (n - k + 1) as f64 / k as f64 * p / (1.0 - p);
        sum += term;
    }
    sum
}

/// The most failures that a failure rate of `delta` explains at 1 in 10,000.
fn most(delta: f64) -> usize {
    let beyond = |&count: &usize| 1.0 - binomial_tail(count, DRAWS, delta) < 1e-4;
    (0..DRAWS).find(beyond).unwrap()
}

#[test]
fn learn_then_test_fails_as_seldom_as_promised() {
    for (loss, level) in [
        (RiskLoss::Harm, 0.03),
        (RiskLoss::Drop, 0.03),
        (RiskLoss::Disagreement, 0.1),
    ] {
        let promise = Promise::Probability(0.9);
        let outcomes = simulate(
            Guarantee {
                loss,
                level,
                promise,
            },
            500,
        );
        let failed = outcomes.iter().filter(|(risk, _)| *risk > level).count();
        let cost = outcomes.iter().map(|(_, cost)| cost).sum::<f64>() / DRAWS as f64;
        println!("{loss}: {failed} of {DRAWS} above {level}, mean cost {cost:.1} of 40");
        assert!(failed <= most(0.1), "{loss}: {failed} of {DRAWS}");
        assert!(cost < 36.0, "{loss}: it may save something, {cost}");
    }
    assert!((100..150).contains(&most(0.1)), "{}", most(0.1));
}

/// The promise without the test: choosing the boldest policy whose loss on the rows is small enough
/// breaks it, so the simulation can tell.
#[test]
fn choosing_by_the_rows_alone_would_fail_more_often() {
    let population = synthetic(&mut Random(11), 4000, 3);
    let path = threshold_path(Criterion::Confidence, 3, CLASSES, 40).unwrap();
    let mut random = Random(12);
    let failed = (0..DRAWS).filter(|_| {
        let rows = draw(&population, 500, &mut random);
        let fine = |policy: &&AnyPolicy| {
            mean(&losses(*policy, rows.table(), RiskLoss::Harm).unwrap()) <= 0.03
        };
        let bold = path.iter().take_while(fine).last().unwrap();
        mean(&losses(bold, &population, RiskLoss::Harm).unwrap()) > 0.03
    });
    let failed = failed.count();
    assert!(failed > 2 * most(0.1), "{failed}");
}

#[test]
fn conformal_risk_control_holds_on_average() {
    for (loss, level) in [(RiskLoss::Harm, 0.03), (RiskLoss::Disagreement, 0.1)] {
        let promise = Promise::Mean;
        let outcomes = simulate(
            Guarantee {
                loss,
                level,
                promise,
            },
            200,
        );
        let n = DRAWS as f64;
        let risk = outcomes.iter().map(|(risk, _)| risk).sum::<f64>() / n;
        let spread = outcomes
            .iter()
            .map(|(r, _)| (r - risk).powi(2))
            .sum::<f64>()
            / n;
        println!("{loss}: mean risk {risk:.4} for {level}");
        assert!(risk <= level + 4.0 * (spread / n).sqrt(), "{loss}: {risk}");
        assert!(risk > 0.5 * level, "{loss}: {risk} is too careful");
    }
}

#[test]
fn the_path_goes_from_never_to_always() {
    let table = synthetic(&mut Random(1), 300, 3);
    for criterion in Criterion::ALL {
        let path = threshold_path(criterion, 3, CLASSES, 50).unwrap();
        let costs: Vec<f64> = (path.iter())
            .map(|policy| evaluate(policy, &table, &MACS).unwrap().mean_macs)
            .collect();
        assert_eq!(
            (costs[0], costs[path.len() - 1]),
            (40.0, 10.0),
            "{criterion}"
        );
        assert!(costs.is_sorted_by(|a, b| a >= b), "{criterion}: {costs:?}");
    }
}

#[test]
fn losses_by_their_definitions() {
    // Exit 0 right, wrong, right, wrong; the last exit right, right, wrong, wrong in another class.
    let table = ExitTable::new(
        vec![
            [
                [1.0, 0.0, 0.0],
                [0.0, 1.0, 0.0],
                [1.0, 0.0, 0.0],
                [0.0, 1.0, 0.0],
            ]
            .concat(),
            [
                [1.0, 0.0, 0.0],
                [1.0, 0.0, 0.0],
                [0.0, 1.0, 0.0],
                [0.0, 0.0, 1.0],
            ]
            .concat(),
        ],
        3,
        vec![0; 4],
    );
    let table = table.unwrap();
    let early = AnyPolicy::with_thresholds(Criterion::Confidence, vec![0.0; 2]).unwrap();
    let losses = |loss| losses(&early, &table, loss).unwrap();
    assert_eq!(losses(RiskLoss::Drop), [0, 1, -1, 0]);
    assert_eq!(losses(RiskLoss::Harm), [0, 1, 0, 0]);
    assert_eq!(losses(RiskLoss::Disagreement), [0, 1, 1, 1]);
}

#[test]
fn too_few_rows_promise_nothing_but_the_full_network() {
    let rows = val(synthetic(&mut Random(5), 20, 3));
    let path = threshold_path(Criterion::Confidence, 3, CLASSES, 40).unwrap();
    for promise in [Promise::Probability(0.95), Promise::Mean] {
        let guarantee = Guarantee {
            loss: RiskLoss::Harm,
            level: 0.01,
            promise,
        };
        let Controlled {
            on_fit, covered, ..
        } = control(&rows, &path, &MACS, guarantee).unwrap();
        assert_eq!((covered, on_fit.mean_macs), (1, 40.0), "{promise:?}");
    }
}

#[test]
fn what_cannot_be_promised_is_refused() {
    let rows = val(synthetic(&mut Random(5), 50, 3));
    let path = threshold_path(Criterion::Confidence, 3, CLASSES, 10).unwrap();
    let refused = |candidates: &[AnyPolicy], level, promise| {
        let loss = RiskLoss::Drop;
        let guarantee = Guarantee {
            loss,
            level,
            promise,
        };
        control(&rows, candidates, &MACS, guarantee).unwrap_err()
    };
    for level in [0.0, 1.0, -0.1, f64::NAN] {
        let error = refused(&path, level, Promise::Mean).to_string();
        assert!(error.contains("level of the risk"), "{error}");
    }
    for probability in [0.0, 1.0, 95.0, f64::NAN] {
        let error = refused(&path, 0.01, Promise::Probability(probability)).to_string();
        assert!(error.contains("probability of the guarantee"), "{error}");
    }
    for unsafe_start in [&path[path.len() - 1..], &[]] {
        let error = refused(unsafe_start, 0.01, Promise::Mean);
        assert!(matches!(error, PolicyError::UnsafeStart), "{error}");
    }
}
