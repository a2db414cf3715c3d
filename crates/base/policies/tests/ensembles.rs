//! Running ensembles against their definitions, and laws that hold for each.

mod support;

use offramp_policies::{
    Ensemble, EnsembleEntry, ExitTable, MostConfident, PolicyError, ProductEnsemble, Temperatures,
    ZtwEnsemble, ZtwExit, ensembles,
};
use proptest::prelude::*;
use support::{quiet, val};

const Z: [[f32; 3]; 3] = [[2.0, 1.0, -1.0], [0.5, 3.0, 0.25], [1.0, 2.0, 4.0]];

fn one_sample(ensemble: &Ensemble) -> ExitTable {
    let logits = Z.iter().map(|z| z.to_vec()).collect();
    let table = ExitTable::new(logits, 3, vec![1]).unwrap();
    table.with_ensemble(ensemble).unwrap()
}

const ZTW: [[f64; 3]; 3] = [
    [
        0.695_733_338_286_614,
        0.281_405_174_857_942,
        0.022_861_486_855_444,
    ],
    [
        0.203_293_498_068_791,
        0.734_146_733_314_193,
        0.062_559_768_617_016,
    ],
    [
        0.222_570_026_645_509,
        0.415_181_493_521_129,
        0.362_248_479_833_362,
    ],
];

const PRODUCT: [[f64; 3]; 3] = [
    [0.557_506_665_975_558, 0.442_493_334_024_442, 0.0],
    [0.276_186_529_532_163, 0.723_813_470_467_837, 0.0],
    [0.160_218_338_157_670, 0.839_781_661_842_330, 0.0],
];

const SUREST: [[f64; 3]; 3] = [
    [
        0.705_384_512_698_241,
        0.259_496_460_342_419,
        0.035_119_026_959_340,
    ],
    [
        0.071_626_594_692_866,
        0.872_590_557_271_592,
        0.055_782_848_035_542,
    ],
    [
        0.071_626_594_692_866,
        0.872_590_557_271_592,
        0.055_782_848_035_542,
    ],
];

#[track_caller]
fn assert_answers(table: &ExitTable, expected: &[[f64; 3]; 3]) {
    for (exit, expected) in expected.iter().enumerate() {
        let found = table.view(0, exit).probabilities;
        for (found, expected) in found.iter().zip(expected) {
            let gap = (f64::from(*found) - expected).abs();
            assert!(gap < 1e-6, "exit {exit}: {found} for {expected}");
        }
    }
}

/// Python, double precision: `tests/ensembles.py`.
#[test]
fn golden_numbers() {
    let exit = |log_weights: &[f64], bias: [f64; 3]| ZtwExit {
        log_weights: log_weights.to_vec(),
        bias: bias.to_vec(),
    };
    let ztw = ZtwEnsemble::new(vec![
        exit(&[0.1], [0.0, 0.2, -0.1]),
        exit(&[-0.5, 0.3], [0.1, 0.0, 0.0]),
        exit(&[0.2, 0.0, 0.4], [0.0, -0.3, 0.3]),
    ]);
    let ztw = Ensemble::ZeroTimeWaste(ztw.unwrap());
    assert_answers(&one_sample(&ztw), &ZTW);
    let product = Ensemble::Product(ProductEnsemble::rising(3).unwrap());
    assert_answers(&one_sample(&product), &PRODUCT);
    assert_answers(
        &one_sample(&Ensemble::MostConfident(MostConfident {})),
        &SUREST,
    );
}

#[test]
fn when_every_class_is_out_the_exit_answers_alone() {
    let logits = vec![vec![-1.0, -2.0], vec![3.0, 1.0]];
    let table = ExitTable::new(logits, 2, vec![0]).unwrap();
    let alone = [*table.evidence(0, 0), *table.evidence(0, 1)];
    let product = Ensemble::Product(ProductEnsemble::rising(2).unwrap());
    let table = table.with_ensemble(&product).unwrap();
    assert_eq!([*table.evidence(0, 0), *table.evidence(0, 1)], alone);
}

#[test]
fn an_ensemble_of_another_network_is_refused() {
    let table = || ExitTable::new(vec![vec![0.0, 1.0]; 2], 2, vec![0]).unwrap();
    let product = Ensemble::Product(ProductEnsemble::rising(3).unwrap());
    let error = table().with_ensemble(&product).unwrap_err();
    assert!(
        matches!(
            error,
            PolicyError::ExitCount {
                found: 3,
                expected: 2,
                ..
            }
        ),
        "{error}"
    );
    let exits = (1..=2).map(|k| ZtwExit {
        log_weights: vec![0.0; k],
        bias: vec![0.0; 7],
    });
    let ztw = Ensemble::ZeroTimeWaste(ZtwEnsemble::new(exits.collect()).unwrap());
    let error = table().with_ensemble(&ztw).unwrap_err().to_string();
    assert!(
        error.contains("7 classes") && error.contains("there are 2"),
        "{error}"
    );
    for json in [
        r#"{"name":"product","weights":[1.0,0.0]}"#,
        r#"{"name":"product","weights":[]}"#,
        r#"{"name":"zero-time-waste","exits":[{"log-weights":[0.0,0.0],"bias":[0.0]}]}"#,
        r#"{"name":"mean"}"#,
    ] {
        assert!(serde_json::from_str::<Ensemble>(json).is_err(), "{json}");
    }
    assert!(
        EnsembleEntry::named("mean")
            .unwrap_err()
            .to_string()
            .contains("product")
    );
}

fn tables() -> impl Strategy<Value = ExitTable> {
    (1usize..=4, 1usize..12).prop_flat_map(|(exits, samples)| {
        let exit = prop::collection::vec(-3.0f32..5.0, samples * 4);
        let labels = prop::collection::vec(0usize..4, samples);
        (prop::collection::vec(exit, exits), labels)
            .prop_map(|(logits, labels)| ExitTable::new(logits, 4, labels).unwrap())
    })
}

proptest! {
    #![proptest_config(quiet())]

    /// Of every ensemble: the answers are distributions, exit 0 knows only itself, JSON keeps it.
    #[test]
    fn every_ensemble(table in tables()) {
        let mut rows = val(table);
        for entry in ensembles() {
            let ensemble = (entry.fit)(&rows).unwrap();
            let json = serde_json::to_value(&ensemble).unwrap();
            prop_assert_eq!(&json["name"], entry.name);
            prop_assert_eq!(&serde_json::from_value::<Ensemble>(json).unwrap(), &ensemble);
            rows = rows.with_ensemble(&ensemble).unwrap();
            let table = rows.table();
            for (sample, exit) in (0..table.samples()).flat_map(|i| (0..table.exits()).map(move |k| (i, k))) {
                let view = table.view(sample, exit);
                let sum: f32 = view.probabilities.iter().sum();
                prop_assert!((sum - 1.0).abs() < 1e-5, "{}: {:?}", entry.name, view);
                prop_assert_eq!(
                    view.probabilities[view.evidence.prediction],
                    view.evidence.confidence
                );
            }
        }
    }

    #[test]
    fn the_confidence_of_the_most_confident_never_falls(table in tables()) {
        let table = table.with_ensemble(&Ensemble::MostConfident(MostConfident {})).unwrap();
        for sample in 0..table.samples() {
            let confidence = (0..table.exits()).map(|exit| table.evidence(sample, exit).confidence);
            prop_assert!(confidence.is_sorted());
        }
    }

    /// What is out stays out, so the classes in play only become fewer; temperatures change nothing.
    #[test]
    fn the_product_narrows_the_choice(table in tables(), temperature in 0.2f64..5.0) {
        let exits = table.exits();
        let product = Ensemble::Product(ProductEnsemble::rising(exits).unwrap());
        let out = |exit: usize, sample: usize, class: usize| {
            (0..=exit).any(|k| table.logits(k)[sample * 4 + class] <= 0.0)
        };
        let mask: Vec<bool> = (0..table.samples() * exits * 4)
            .map(|i| out(i / 4 % exits, i / 4 / exits, i % 4))
            .collect();
        let table = table.with_ensemble(&product).unwrap();
        let plain: Vec<f32> = (0..table.samples() * exits)
            .flat_map(|i| table.view(i / exits, i % exits).probabilities.to_vec())
            .collect();
        for (row, mask) in plain.chunks(4).zip(mask.chunks(4)) {
            if mask.iter().any(|out| !out) {
                for (p, out) in row.iter().zip(mask) {
                    prop_assert_eq!(*p == 0.0, *out, "{:?} {:?}", row, mask);
                }
            }
        }
        let same = Temperatures::new(vec![temperature; exits]).unwrap();
        let scaled = table.with_temperatures(&same).unwrap();
        for i in 0..scaled.samples() * exits {
            let (sample, exit) = (i / exits, i % exits);
            if mask[i * 4..][..4].iter().any(|out| !out) {
                prop_assert_eq!(scaled.view(sample, exit).probabilities, &plain[i * 4..][..4]);
            }
        }
    }
}

/// The trained geometric mean is at least as likely as the plain one and as each exit alone.
#[test]
fn training_zero_time_waste_raises_the_likelihood() {
    let mut random = support::Random(3);
    let (mut logits, mut labels) = (vec![vec![]; 3], vec![]);
    for _ in 0..400 {
        let label = random.below(5);
        labels.push(label);
        for (k, logits) in logits.iter_mut().enumerate() {
            let signal = 0.8 * (k + 1) as f64;
            logits.extend((0..5).map(|class| {
                let hit = if class == label { signal } else { 0.0 };
                // Too loud by a factor of three, so that there is something to calibrate.
                (3.0 * (hit + 2.0 * random.uniform())) as f32
            }));
        }
    }
    let rows = val(ExitTable::new(logits, 5, labels).unwrap());
    let alone: Vec<f64> = rows.table().metrics().iter().map(|exit| exit.nll).collect();
    let flat = |k: usize| ZtwExit {
        log_weights: vec![0.0; k],
        bias: vec![0.0; 5],
    };
    let plain = ZtwEnsemble::new((1..=3).map(flat).collect()).unwrap();
    let entry = EnsembleEntry::named("zero-time-waste").unwrap();
    let trained = (entry.fit)(&rows).unwrap();
    let rows = rows.with_ensemble(&Ensemble::ZeroTimeWaste(plain)).unwrap();
    let plain: Vec<f64> = rows.table().metrics().iter().map(|exit| exit.nll).collect();
    let rows = rows.with_ensemble(&trained).unwrap();
    for (exit, metrics) in rows.table().metrics().iter().enumerate() {
        assert!(
            metrics.nll < plain[exit] - 0.01,
            "exit {exit}: {metrics:?}, plain {}",
            plain[exit]
        );
        assert!(
            metrics.nll < alone[exit] - 0.01,
            "exit {exit}: {metrics:?}, alone {}",
            alone[exit]
        );
    }
    // Trained again on rows that carry it, it is the same: it does not feed on itself.
    assert_eq!((entry.fit)(&rows).unwrap(), trained);
}
