//! MSDNet's budget search: test T8 of the methods page, and a literal implementation as the twin.

mod support;

use offramp_policies::{
    AnyPolicy, Criterion, PolicyError, ScoreRows, ScoreSplit, budget_curve, evaluate,
    msdnet_thresholds,
};
use proptest::prelude::*;
use support::{leaves, t8, table, val};

const T8_MACS: [u64; 3] = [10, 20, 40];

/// Test T8: thresholds, accuracy, samples leaving at each exit and mean cost.
#[test]
fn t8_value_for_value() {
    for (q, thresholds, top1, leaving, macs) in [
        (0.5, [0.7, 0.85, -1e8], 66.6667, [3, 1, 2], 21.6667),
        (1.0, [0.8, 0.85, -1e8], 83.3333, [2, 2, 2], 23.3333),
        (1.5, [0.9, 0.9, -1e8], 83.3333, [1, 1, 4], 31.6667),
    ] {
        let rows = val(t8());
        let found = msdnet_thresholds(&rows, Criterion::Confidence, q).unwrap();
        for (found, expected) in found.iter().zip(thresholds) {
            assert!(
                (found - expected).abs() < 1e-5,
                "q {q}: {found} for {expected}"
            );
        }
        let policy = AnyPolicy::with_thresholds(Criterion::Confidence, found.clone()).unwrap();
        let point = evaluate(&policy, rows.table(), &T8_MACS).unwrap();
        assert_eq!(point.thresholds, found);
        assert_eq!(
            point.exit_fractions,
            leaving.map(|n| f64::from(n) / 6.0),
            "q {q}"
        );
        assert!((point.top1 - top1).abs() < 1e-4, "q {q}: {}", point.top1);
        assert!(
            (point.mean_macs - macs).abs() < 1e-4,
            "q {q}: {}",
            point.mean_macs
        );
    }
}

#[test]
fn an_exit_that_should_answer_none_is_closed() {
    let rows = val(table(
        &[vec![0.9, 0.8], vec![0.9, 0.9]],
        &[vec![true; 2], vec![true; 2]],
    ));
    let thresholds = msdnet_thresholds(&rows, Criterion::Confidence, 1.95).unwrap();
    assert_eq!(thresholds, [1e8, -1e8]);
    let thresholds = msdnet_thresholds(&rows, Criterion::Entropy, 1.95).unwrap();
    assert_eq!(thresholds, [-1e8, 1e8]);
}

#[test]
fn ties_leave_together() {
    let confidence = [vec![0.9, 0.5, 0.5, 0.5, 0.3, 0.2], vec![0.9; 6]];
    let rows = val(table(&confidence, &[vec![true; 6], vec![true; 6]]));
    let thresholds = msdnet_thresholds(&rows, Criterion::Confidence, 1.0).unwrap();
    let policy = AnyPolicy::with_thresholds(Criterion::Confidence, thresholds).unwrap();
    let point = evaluate(&policy, rows.table(), &[1, 2]).unwrap();
    assert_eq!(point.exit_fractions, [4.0 / 6.0, 2.0 / 6.0]);
}

#[test]
fn bad_budgets_are_refused() {
    for q in [0.0, -0.5, f64::NAN, f64::INFINITY] {
        assert!(matches!(
            msdnet_thresholds(&val(t8()), Criterion::Confidence, q),
            Err(PolicyError::InvalidBudget { .. })
        ));
    }
}

/// The JSON that `offramp calibrate --json` prints.
#[test]
fn the_curve_has_39_rows_and_standard_json() {
    let test = ScoreRows::new(
        ScoreSplit::Test,
        table(&vec![vec![0.6]; 3], &vec![vec![true]; 3]),
    );
    let curve = budget_curve(&val(t8()), &test, Criterion::Confidence, &T8_MACS).unwrap();
    assert_eq!(curve.rows.len(), 39);
    let json = serde_json::to_value(&curve).unwrap();
    assert_eq!(
        (&json["fitted-on"], &json["scored-on"]),
        (&"val".into(), &"test".into())
    );
    assert_eq!(json["rows"][9]["thresholds"][2], -1e8);
    assert_eq!(
        json["rows"][9]["exit-fractions"],
        serde_json::json!([0.0, 0.0, 1.0])
    );
    let mut keys: Vec<_> = json["rows"][0].as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["exit-fractions", "mean-macs", "thresholds", "top1"]);
    assert_eq!(
        serde_json::from_value::<offramp_policies::BudgetCurve>(json).unwrap(),
        curve
    );
}

#[test]
fn the_curve_refuses_what_does_not_belong_together() {
    let test = |exits: usize| {
        let table = table(&vec![vec![0.6]; exits], &vec![vec![true]; exits]);
        ScoreRows::new(ScoreSplit::Test, table)
    };
    let curve = |score: &ScoreRows, macs: &[u64]| {
        budget_curve(&val(t8()), score, Criterion::Confidence, macs)
            .unwrap_err()
            .to_string()
    };
    assert!(curve(&test(2), &T8_MACS).starts_with("2 exits in the rows to score for 3 exit(s)"));
    assert!(curve(&test(3), &[10, 20]).starts_with("2 costs for 3 exit(s)"));
    assert!(curve(&test(3), &[10, 40, 20]).starts_with("exit 2 costs 20 MACs, less than"));
    let passed_off = ScoreRows::new(ScoreSplit::Test, t8());
    assert!(curve(&passed_off, &T8_MACS).contains("the very rows"));
    let declared = ScoreRows::new(ScoreSplit::Val, t8());
    assert!(budget_curve(&val(t8()), &declared, Criterion::Confidence, &T8_MACS).is_ok());
    let single = || table(&[vec![0.6]], &[vec![true]]);
    let score = ScoreRows::new(ScoreSplit::Test, single());
    assert!(matches!(
        budget_curve(&val(single()), &score, Criterion::Confidence, &[10]),
        Err(PolicyError::OneExit)
    ));
}

/// The search as the methods page tells it, sample by sample.
fn walk(table: &offramp_policies::ExitTable, criterion: Criterion, q: f64) -> Vec<f64> {
    let (samples, exits) = (table.samples(), table.exits());
    let total: f64 = (1..=exits as i32).map(|k| q.powi(k)).sum();
    let mut filtered = vec![false; samples];
    let mut thresholds = vec![criterion.never(); exits];
    for (exit, threshold) in thresholds.iter_mut().enumerate().take(exits - 1) {
        let quota = (samples as f64 * q.powi(exit as i32 + 1) / total).floor() as usize;
        let mut order: Vec<usize> = (0..samples).collect();
        let score = |i: usize| criterion.score(table.evidence(i, exit));
        order.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
        let mut count = 0;
        for i in order {
            if !filtered[i] {
                count += 1;
                if count == quota {
                    let evidence = table.evidence(i, exit);
                    *threshold = match criterion {
                        Criterion::Confidence => evidence.confidence.into(),
                        Criterion::Entropy => evidence.entropy.into(),
                        Criterion::Margin => evidence.margin.into(),
                    };
                    break;
                }
            }
        }
        for (i, filtered) in filtered.iter_mut().enumerate() {
            *filtered |= leaves(criterion, table.evidence(i, exit), *threshold);
        }
    }
    thresholds[exits - 1] = criterion.always();
    thresholds
}

proptest! {
    #![proptest_config(support::quiet())]

    #[test]
    fn the_search_is_the_walk(
        grid in prop::collection::vec(prop::collection::vec(2u8..10, 4), 1..40),
        exits in 1usize..=4,
        // Powers of two keep both ways of computing the quota exact.
        q in prop::sample::select(vec![0.25, 0.5, 1.0, 2.0]),
        criterion in prop::sample::select(Criterion::ALL.to_vec()),
    ) {
        let confidence: Vec<Vec<f64>> =
            (0..exits).map(|k| grid.iter().map(|row| f64::from(row[k]) / 10.0).collect()).collect();
        let correct = vec![vec![true; grid.len()]; exits];
        let rows = val(table(&confidence, &correct));
        let found = msdnet_thresholds(&rows, criterion, q).unwrap();
        prop_assert_eq!(found, walk(rows.table(), criterion, q));
    }

    /// A larger budget never opens the first exit wider. (For later exits no such law holds: who
    /// reaches them changes too.)
    #[test]
    fn the_first_threshold_rises_with_the_budget(
        confidence in prop::collection::vec(prop::collection::vec(0.11f64..1.0, 30), 3),
        criterion in prop::sample::select(Criterion::ALL.to_vec()),
    ) {
        let rows = val(table(&confidence, &vec![vec![true; 30]; 3]));
        let strictness = (1..=39).map(|p| {
            let first = msdnet_thresholds(&rows, criterion, f64::from(p) / 20.0).unwrap()[0];
            if criterion == Criterion::Entropy { -first } else { first }
        });
        let strictness: Vec<f64> = strictness.collect();
        prop_assert!(strictness.is_sorted(), "{:?}", strictness);
    }
}
