//! Networks that count what they compute, random policies, and the simulator's answers.

#![allow(dead_code, reason = "each test file uses a part")]

use std::cell::RefCell;

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{Features, MapShape, default_device};
use offramp_heads::{CascadeConfig, MultiExitNet, NetConfig, ZtwCascade, cascades};
use offramp_infer::{Answer, EarlyExitNet, Runner};
use offramp_nn::Init;
use offramp_policies::{
    AnyPolicy, Criterion, DeadlinePolicy, Ensemble, ExitTable, FixedExit, Gate, GatePolicy,
    MostConfident, PatiencePolicy, ProductEnsemble, Readout, SchedulerPolicy, Scorer, Temperatures,
    Thresholds, ZtwEnsemble, ZtwExit, exits_taken, registry,
};
use proptest::prelude::*;

pub(crate) const CLASSES: usize = 4;
pub(crate) const EXITS: usize = 3;
pub(crate) const MACS: [u64; EXITS] = [1, 10, 100];

/// Counts for how many samples each segment was computed.
pub(crate) struct Counting {
    pub net: MultiExitNet,
    pub calls: RefCell<Vec<(usize, usize)>>,
}

impl EarlyExitNet for Counting {
    fn num_exits(&self) -> usize {
        self.net.num_exits()
    }

    fn segment(&self, exit: usize, x: Features) -> Features {
        self.calls.borrow_mut().push((exit, x.map.dims()[0]));
        self.net.segment(exit, x)
    }

    fn logits(&self, exit: usize, map: Tensor<4>, previous: Option<Tensor<2>>) -> Tensor<2> {
        if let Some(previous) = &previous {
            assert_eq!(previous.dims(), [map.dims()[0], self.net.classes()]);
        }
        EarlyExitNet::logits(&self.net, exit, map, previous)
    }
}

pub(crate) fn net(seed: u64) -> MultiExitNet {
    cascade(seed, "none")
}

pub(crate) fn cascade(seed: u64, kind: &str) -> MultiExitNet {
    let mut config: NetConfig = serde_json::from_str(r#"{"backbone": "resnet8"}"#).unwrap();
    let entry = cascades().into_iter().find(|entry| entry.name == kind);
    config.cascade = match kind {
        // The default leaves the last exit out.
        "ztw" => CascadeConfig::new(ZtwCascade {
            norm: true,
            last: true,
        }),
        _ => (entry.unwrap().config)(),
    };
    let device = default_device().unwrap();
    let image = MapShape {
        channels: 3,
        height: 16,
        width: 16,
    };
    let net = config.init(CLASSES, image, &mut Init::new(seed, &device));
    net.unwrap().valid()
}

pub(crate) fn images(n: usize, seed: u64) -> Tensor<4> {
    let mut init = Init::new(seed, &default_device().unwrap());
    init.normal([n, 3, 16, 16], 2.0).val().detach()
}

pub(crate) fn runner(
    net: &MultiExitNet,
    policy: &AnyPolicy,
    readout: &Readout,
) -> Runner<Counting> {
    let counting = Counting {
        net: net.clone(),
        calls: RefCell::default(),
    };
    Runner::new(counting, policy.clone(), MACS.to_vec())
        .unwrap()
        .with_readout(readout.clone(), CLASSES)
        .unwrap()
}

pub(crate) fn calls(runner: &Runner<Counting>) -> Vec<(usize, usize)> {
    runner.net().calls.borrow().clone()
}

/// What an answer should be: exit, class, confidence, logits.
pub(crate) struct Expected {
    pub exit: usize,
    class: usize,
    confidence: f32,
    logits: Vec<f32>,
}

/// The simulator's answers: all exits of all samples first, the policy on the table of them after.
pub(crate) fn simulate(
    net: &MultiExitNet,
    policy: &AnyPolicy,
    readout: &Readout,
    x: Tensor<4>,
) -> Vec<Expected> {
    let n = x.dims()[0];
    if n == 0 {
        return Vec::new();
    }
    let outputs = net.forward(x);
    let logits: Vec<Vec<f32>> = (outputs.logits())
        .map(|logits| logits.clone().into_data().iter::<f32>().collect())
        .collect();
    let mut table = ExitTable::new(logits, CLASSES, vec![0; n]).unwrap();
    if let Some(temperatures) = &readout.temperatures {
        table = table.with_temperatures(temperatures).unwrap();
    }
    if let Some(ensemble) = &readout.ensemble {
        table = table.with_ensemble(ensemble).unwrap();
    }
    let exits = exits_taken(policy, &table).unwrap();
    (exits.into_iter().enumerate())
        .map(|(sample, exit)| Expected {
            exit,
            class: table.evidence(sample, exit).prediction,
            confidence: table.evidence(sample, exit).confidence,
            logits: table.logits(exit)[sample * CLASSES..][..CLASSES].to_vec(),
        })
        .collect()
}

#[track_caller]
pub(crate) fn assert_same(answer: &Answer, expected: &Expected) {
    assert_eq!(answer.class, expected.class);
    assert_near(answer, expected, 1e-5);
}

/// The same exit and class; logits within `tolerance` of the largest.
///
/// Kernels that round differently may differ in the class where two logits are equal within `tolerance`.
/// An answer must then still name the largest of its own logits.
#[track_caller]
pub(crate) fn assert_near(answer: &Answer, expected: &Expected, tolerance: f32) {
    assert_eq!(answer.exit, expected.exit);
    assert_eq!(answer.macs, MACS[expected.exit]);
    assert!((answer.confidence - expected.confidence).abs() <= 10.0 * tolerance);
    let largest = (expected.logits.iter()).fold(1.0f32, |max, z| max.max(z.abs()));
    for (found, expected) in answer.logits.iter().zip(&expected.logits) {
        assert!((found - expected).abs() <= tolerance * largest);
    }
    if answer.class != expected.class {
        let behind = expected.logits[expected.class] - expected.logits[answer.class];
        assert!(
            behind <= 2.0 * tolerance * largest,
            "{answer:?}, not {}",
            expected.class
        );
        let own = answer.logits[answer.class];
        assert!(answer.logits.iter().all(|&z| z <= own), "{answer:?}");
    }
}

/// For how many samples each segment is to be computed.
pub(crate) fn reach(expected: &[Expected]) -> [usize; EXITS] {
    let mut reach = [0; EXITS];
    for expected in expected {
        for count in &mut reach[..=expected.exit] {
            *count += 1;
        }
    }
    reach
}

pub(crate) fn threshold_policy(criterion: Criterion, thresholds: [f64; EXITS]) -> AnyPolicy {
    AnyPolicy::with_thresholds(criterion, thresholds.to_vec()).unwrap()
}

/// Every policy of the registry, with random settings.
pub(crate) fn policies() -> impl Strategy<Value = AnyPolicy> {
    let numbers = prop::collection::vec(-1.0f64..1.0, 12);
    (prop::sample::select(registry()), numbers, 0usize..EXITS).prop_map(|(entry, numbers, pick)| {
        let share = |i: usize| (numbers[i] + 1.0) / 2.0;
        let thresholds = |scale: f64| (0..EXITS).map(|i| scale * share(i)).collect::<Vec<_>>();
        match entry.name {
            "confidence" | "entropy" | "margin" => {
                let scale = if entry.name == "entropy" { 1.4 } else { 1.0 };
                let criterion = entry.criterion.unwrap();
                AnyPolicy::with_thresholds(criterion, thresholds(scale)).unwrap()
            }
            "patience" => AnyPolicy::Patience(PatiencePolicy::new(pick + 1, EXITS).unwrap()),
            "gates" => {
                let gate = |i: usize| {
                    let weights: [f64; 5] = numbers[i..i + 5].try_into().unwrap();
                    Gate::from(weights.map(|w| 2.0 * w))
                };
                AnyPolicy::Gates(GatePolicy::new(vec![gate(0), gate(5)]).unwrap())
            }
            "scheduler" => {
                let scorer = |i: usize, past: Vec<f64>| Scorer {
                    classes: numbers[i..i + CLASSES].to_vec(),
                    confidence: share(i),
                    certainty: share(i + 1),
                    past,
                };
                let thresholds = Thresholds::new(thresholds(1.2)).unwrap();
                let scorers = vec![scorer(0, vec![]), scorer(5, vec![numbers[11]])];
                AnyPolicy::Scheduler(SchedulerPolicy::new(thresholds, scorers).unwrap())
            }
            "deadline" => {
                let limit = 1.0 + pick as f64;
                let times = vec![1.0, 2.0, 3.0];
                AnyPolicy::Deadline(DeadlinePolicy::new(times, limit).unwrap())
            }
            "fixed-exit" => AnyPolicy::FixedExit(FixedExit::new(pick, EXITS).unwrap()),
            other => panic!("a policy without a random twin: {other}"),
        }
    })
}

/// Every way to read logits, with random settings.
pub(crate) fn readouts() -> impl Strategy<Value = Readout> {
    let numbers = prop::collection::vec(-0.5f64..0.5, 18);
    (0usize..4, any::<bool>(), numbers).prop_map(|(kind, scaled, numbers)| {
        let ensemble = match kind {
            0 => None,
            1 => Some(Ensemble::Product(ProductEnsemble::rising(EXITS).unwrap())),
            2 => Some(Ensemble::MostConfident(MostConfident {})),
            _ => {
                let exits = (0..EXITS).map(|k| ZtwExit {
                    log_weights: numbers[6 * k..][..=k].to_vec(),
                    bias: numbers[6 * k + 1..][..CLASSES].to_vec(),
                });
                Some(Ensemble::ZeroTimeWaste(
                    ZtwEnsemble::new(exits.collect()).unwrap(),
                ))
            }
        };
        let temperatures = (0..EXITS).map(|k| 1.0 + numbers[k]).collect();
        Readout {
            temperatures: scaled.then(|| Temperatures::new(temperatures).unwrap()),
            ensemble,
        }
    })
}
