//! Policies that are trained, and those with few settings: they meet their targets, are what a search by
//! hand would find, and gain over a policy that knows nothing.

mod support;

use offramp_policies::{
    AnyPolicy, ExitPolicy, FixedExit, PatiencePolicy, PolicyEntry, PolicyError, Target, evaluate,
    exits_taken, registry,
};
use support::{Random, synthetic, val};

const MACS: [u64; 3] = [10, 20, 40];

/// Those that `fit` works for.
fn fitted() -> impl Iterator<Item = PolicyEntry> {
    registry().into_iter().filter(|entry| !entry.timed)
}

#[test]
fn every_policy_meets_its_target_on_the_rows() {
    let rows = val(synthetic(&mut Random(1), 600, 3));
    let deepest = rows.table().metrics()[2].top1;
    for entry in fitted() {
        let budget = (entry.fit)(&rows, &MACS, Target::MaxMacs(30.0)).unwrap();
        assert!(
            budget.on_fit.mean_macs <= 30.0,
            "{}: {budget:?}",
            entry.name
        );
        let drop = (entry.fit)(&rows, &MACS, Target::MaxDrop(3.0)).unwrap();
        assert!(drop.on_fit.top1 >= deepest - 3.0 - 1e-9, "{}", entry.name);
        for fitted in [budget, drop] {
            let json = serde_json::to_value(&fitted.policy).unwrap();
            assert_eq!(json["name"], entry.name);
            let back: AnyPolicy = serde_json::from_value(json).unwrap();
            assert_eq!(evaluate(&back, rows.table(), &MACS).unwrap(), fitted.on_fit);
        }
    }
}

/// Of the learned ones: at the budget of a fixed exit they are right more often than it, on other rows.
#[test]
fn what_is_learned_carries_over() {
    let rows = val(synthetic(&mut Random(1), 2000, 3));
    let other = synthetic(&mut Random(2), 4000, 3);
    let fixed = evaluate(&FixedExit::new(1, 3).unwrap(), &other, &MACS).unwrap();
    for name in ["confidence", "gates", "scheduler"] {
        let entry = PolicyEntry::named(name).unwrap();
        let policy = (entry.fit)(&rows, &MACS, Target::MaxMacs(20.0))
            .unwrap()
            .policy;
        let point = evaluate(&policy, &other, &MACS).unwrap();
        println!(
            "{name}: {:.2} % at {:.2} MACs, exit 1: {:.2} %",
            point.top1, point.mean_macs, fixed.top1
        );
        assert!(point.mean_macs < 21.0, "{name}: {point:?}");
        assert!(
            point.top1 > fixed.top1 + 0.3,
            "{name}: {point:?}, exit 1: {fixed:?}"
        );
    }
}

#[test]
fn patience_is_a_search_by_hand() {
    let rows = val(synthetic(&mut Random(4), 500, 4));
    let macs = [7, 20, 41, 90];
    let points: Vec<_> = (1..=4)
        .map(|t| evaluate(&PatiencePolicy::new(t, 4).unwrap(), rows.table(), &macs).unwrap())
        .collect();
    assert!(points.is_sorted_by(|a, b| a.mean_macs <= b.mean_macs));
    assert_eq!(points[3].exit_fractions, [0.0, 0.0, 0.0, 1.0]);
    let entry = PolicyEntry::named("patience").unwrap();
    let fitted = (entry.fit)(&rows, &macs, Target::MaxMacs(points[1].mean_macs)).unwrap();
    assert_eq!(fitted.on_fit, points[1]);
    // By the definition, row by row.
    let taken = exits_taken(&fitted.policy, rows.table()).unwrap();
    for (sample, exit) in taken.into_iter().enumerate() {
        let y: Vec<usize> = (0..4)
            .map(|k| rows.table().evidence(sample, k).prediction)
            .collect();
        let expected = (2..4)
            .find(|&k| y[k] == y[k - 1] && y[k - 1] == y[k - 2])
            .unwrap_or(3);
        assert_eq!(exit, expected, "{y:?}");
    }
    let error = (entry.fit)(&rows, &macs, Target::MaxMacs(7.0)).unwrap_err();
    assert!(
        matches!(error, PolicyError::NoneMeets { candidates: 4, cheapest_macs, .. } if cheapest_macs >= 20.0),
        "{error}"
    );
}

#[test]
fn targets_that_cannot_be_are_refused_by_every_policy() {
    let rows = val(synthetic(&mut Random(1), 60, 2));
    let one = val(synthetic(&mut Random(1), 60, 1));
    for entry in fitted() {
        let fit = |target, macs: &[u64]| (entry.fit)(&rows, macs, target);
        assert!(
            fit(Target::MaxMacs(f64::NAN), &[1, 2]).is_err(),
            "{}",
            entry.name
        );
        assert!(
            fit(Target::MaxMacs(0.5), &[1, 2]).is_err(),
            "{}",
            entry.name
        );
        assert!(
            fit(Target::MaxDrop(1.0), &[1, 2, 3]).is_err(),
            "{}",
            entry.name
        );
        assert!(
            fit(Target::MaxDrop(1.0), &[2, 1]).is_err(),
            "{}",
            entry.name
        );
        if !["patience", "fixed-exit"].contains(&entry.name) {
            assert!(
                (entry.fit)(&one, &[1], Target::MaxDrop(1.0)).is_err(),
                "{}",
                entry.name
            );
        }
    }
    let entry = PolicyEntry::named("deadline").unwrap();
    let error = (entry.fit)(&rows, &[1, 2], Target::MaxDrop(1.0))
        .unwrap_err()
        .to_string();
    assert!(error.contains("milliseconds"), "{error}");
}

#[test]
fn a_policy_for_other_classes_is_refused() {
    let rows = val(synthetic(&mut Random(1), 200, 2));
    let entry = PolicyEntry::named("scheduler").unwrap();
    let policy = (entry.fit)(&rows, &[1, 2], Target::MaxMacs(1.5))
        .unwrap()
        .policy;
    assert_eq!(policy.classes(), Some(support::CLASSES));
    let two = offramp_policies::ExitTable::new(vec![vec![0.0, 1.0]; 2], 2, vec![0]).unwrap();
    let error = evaluate(&policy, &two, &[1, 2]).unwrap_err().to_string();
    assert!(
        error.contains("10 classes") && error.contains("there are 2"),
        "{error}"
    );
}
