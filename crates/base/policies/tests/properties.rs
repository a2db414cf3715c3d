//! Laws that hold for every table and policy.

mod support;

use offramp_policies::{
    AnyPolicy, Criterion, Evidence, ExitPolicy, ExitTable, FixedExit, evaluate, exits_taken,
    fit_temperatures, registry,
};
use proptest::prelude::*;
use support::{quiet, simulate, val};

const CLASSES: usize = 4;

/// Logits on a coarse grid, so that ties between classes and between samples are common.
fn tables() -> impl Strategy<Value = (Vec<Vec<f32>>, Vec<usize>)> {
    (1usize..=4, 1usize..30).prop_flat_map(|(exits, samples)| {
        let logit = (-6i8..=6).prop_map(|z| f32::from(z) / 2.0);
        let exit = prop::collection::vec(logit, samples * CLASSES);
        (
            prop::collection::vec(exit, exits),
            prop::collection::vec(0..CLASSES, samples),
        )
    })
}

fn criteria() -> impl Strategy<Value = Criterion> {
    prop::sample::select(Criterion::ALL.to_vec())
}

fn build((logits, labels): &(Vec<Vec<f32>>, Vec<usize>)) -> ExitTable {
    ExitTable::new(logits.clone(), CLASSES, labels.clone()).unwrap()
}

proptest! {
    #![proptest_config(quiet())]

    #[test]
    fn evaluating_is_what_the_definition_says(
        data in tables(),
        criterion in criteria(),
        thresholds in prop::collection::vec(-0.2f64..1.6, 4),
    ) {
        let table = build(&data);
        let exits = table.exits();
        let macs = &[5u64, 11, 11, 40][..exits];
        let thresholds = thresholds[..exits].to_vec();
        let policy = AnyPolicy::with_thresholds(criterion, thresholds.clone()).unwrap();
        let point = evaluate(&policy, &table, macs).unwrap();
        let (leaving, total, correct) = simulate(&table, criterion, &thresholds, macs);
        let samples = table.samples() as f64;
        let fractions: Vec<f64> = leaving.iter().map(|&n| n as f64 / samples).collect();
        prop_assert_eq!(&point.exit_fractions, &fractions);
        prop_assert_eq!(point.mean_macs, total as f64 / samples);
        prop_assert_eq!(point.top1, 100.0 * correct as f64 / samples);
        prop_assert_eq!(&point.thresholds, &thresholds);
        let taken = exits_taken(&policy, &table).unwrap();
        for (exit, &n) in leaving.iter().enumerate() {
            prop_assert_eq!(taken.iter().filter(|&&taken| taken == exit).count(), n);
        }
    }

    /// A threshold taken from a row lets that row, and every row equal to it, leave.
    #[test]
    fn ties_stop(data in tables(), criterion in criteria(), pick in any::<prop::sample::Index>()) {
        let table = build(&data);
        let chosen = *table.evidence(pick.index(table.samples()), 0);
        let threshold = match criterion {
            Criterion::Confidence => chosen.confidence,
            Criterion::Entropy => chosen.entropy,
            Criterion::Margin => chosen.margin,
        };
        let thresholds = vec![threshold.into(); table.exits()];
        let policy = AnyPolicy::with_thresholds(criterion, thresholds).unwrap();
        for (sample, exit) in exits_taken(&policy, &table).unwrap().into_iter().enumerate() {
            let evidence = table.evidence(sample, 0);
            if criterion.score(evidence) >= criterion.score(&chosen) || table.exits() == 1 {
                prop_assert_eq!(exit, 0);
            } else {
                prop_assert!(exit > 0);
            }
        }
    }

    /// Stricter thresholds send nobody out earlier and never cost less.
    #[test]
    fn stricter_thresholds_cost_more(
        data in tables(),
        criterion in criteria(),
        thresholds in prop::collection::vec((0.0f64..1.4, 0.0f64..0.5), 4),
    ) {
        let table = build(&data);
        let exits = table.exits();
        let macs = &[5u64, 11, 20, 40][..exits];
        let stricter = if criterion == Criterion::Entropy { -1.0 } else { 1.0 };
        let policy = |scale: f64| {
            let list = thresholds[..exits].iter().map(|(t, d)| t + scale * stricter * d).collect();
            AnyPolicy::with_thresholds(criterion, list).unwrap()
        };
        let (loose, strict) = (policy(0.0), policy(1.0));
        let early = exits_taken(&loose, &table).unwrap();
        let late = exits_taken(&strict, &table).unwrap();
        prop_assert!(early.iter().zip(&late).all(|(a, b)| a <= b));
        let cost = |policy| evaluate(policy, &table, macs).unwrap().mean_macs;
        prop_assert!(cost(&loose) <= cost(&strict));
    }

    #[test]
    fn the_order_of_the_rows_does_not_matter(
        ((data, order), criterion) in (
            tables().prop_flat_map(|data| {
                let order: Vec<usize> = (0..data.1.len()).collect();
                (Just(data), Just(order).prop_shuffle())
            }),
            criteria(),
        ),
    ) {
        let shuffled = (
            data.0
                .iter()
                .map(|l| order.iter().flat_map(|&i| l[i * CLASSES..][..CLASSES].to_vec()).collect())
                .collect(),
            order.iter().map(|&i| data.1[i]).collect(),
        );
        let (plain, shuffled) = (build(&data), build(&shuffled));
        let macs = &[5u64, 11, 20, 40][..plain.exits()];
        let policy = AnyPolicy::with_thresholds(criterion, vec![0.5; plain.exits()]).unwrap();
        prop_assert_eq!(
            evaluate(&policy, &plain, macs).unwrap(),
            evaluate(&policy, &shuffled, macs).unwrap()
        );
        prop_assert_eq!(plain.ensemble_top1(), shuffled.ensemble_top1());
        for (a, b) in plain.metrics().into_iter().zip(shuffled.metrics()) {
            prop_assert_eq!((a.top1, a.top5), (b.top1, b.top5));
            prop_assert!((a.nll - b.nll).abs() < 1e-12 && (a.ece - b.ece).abs() < 1e-9);
        }
    }

    /// Also: a fixed exit's point is that exit's metrics.
    #[test]
    fn every_policy_can_run_to_the_end(data in tables()) {
        let table = build(&data);
        let last = table.exits() - 1;
        let macs = &[5u64, 11, 20, 40][..=last];
        for entry in registry() {
            let policy = (entry.deepest)(last + 1).unwrap();
            let point = evaluate(&policy, &table, macs).unwrap();
            prop_assert_eq!(point.mean_macs, macs[last] as f64, "{}", entry.name);
            prop_assert_eq!(point.top1, table.metrics()[last].top1, "{}", entry.name);
        }
        for exit in 0..=last {
            let point = evaluate(&FixedExit::new(exit, last + 1).unwrap(), &table, macs).unwrap();
            prop_assert_eq!(point.top1, table.metrics()[exit].top1);
            prop_assert_eq!(point.mean_macs, macs[exit] as f64);
        }
    }

    /// Adding the same number to every logit changes nothing a policy sees.
    #[test]
    fn evidence_ignores_a_common_offset(
        row in prop::collection::vec(-8i8..8, 1..6),
        offset in -1000i16..1000,
    ) {
        let plain: Vec<f32> = row.iter().map(|&z| z.into()).collect();
        let moved: Vec<f32> = row.iter().map(|&z| f32::from(z) + f32::from(offset)).collect();
        prop_assert_eq!(Evidence::from_logits(&plain), Evidence::from_logits(&moved));
    }

    #[test]
    fn evidence_stays_in_range(row in prop::collection::vec(prop::num::f32::NORMAL, 1..8)) {
        let e = Evidence::from_logits(&row);
        let classes = row.len() as f32;
        prop_assert!(e.confidence >= 0.999_999 / classes && e.confidence <= 1.0);
        prop_assert!(e.entropy >= 0.0 && e.entropy <= classes.ln() + 1e-6);
        prop_assert!(e.margin >= 0.0 && e.margin <= e.confidence);
        prop_assert!(row.iter().all(|&z| z <= row[e.prediction]));
    }

    /// No temperature nearby is better than the fitted one, and none changes an exit's accuracy.
    #[test]
    fn fitted_temperatures_minimise_the_nll(data in tables()) {
        let rows = val(build(&data));
        let before = rows.table().metrics();
        let best = fit_temperatures(&rows);
        let rows = rows.with_temperatures(&best).unwrap();
        let after = rows.table().metrics();
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(after.nll <= before.nll + 1e-9);
            prop_assert_eq!(after.top1, before.top1);
        }
        let mut table = build(&data);
        for factor in [0.97, 1.03] {
            let near = best.as_slice().iter().map(|t| (t * factor).clamp(0.05, 20.0)).collect();
            let near = offramp_policies::Temperatures::new(near).unwrap();
            table = table.with_temperatures(&near).unwrap();
            for (near, best) in table.metrics().iter().zip(&after) {
                prop_assert!(best.nll <= near.nll + 1e-6);
            }
        }
    }

    #[test]
    fn thresholds_come_back_from_json_bit_for_bit(
        criterion in criteria(),
        thresholds in prop::collection::vec(
            prop_oneof![
                prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL,
                Just(f64::INFINITY),
                Just(f64::NEG_INFINITY),
            ],
            1..6,
        ),
    ) {
        let policy = AnyPolicy::with_thresholds(criterion, thresholds.clone()).unwrap();
        let json = serde_json::to_string(&policy).unwrap();
        let back: AnyPolicy = serde_json::from_str(&json).unwrap();
        let bits = |list: &[f64]| list.iter().map(|t| t.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(back.thresholds()), bits(&thresholds));
    }
}
