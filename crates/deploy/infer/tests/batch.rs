//! The runner on whole batches: answers and calls are those of the simulator.

mod support;

use burn::tensor::Tensor;
use offramp_heads::cascades;
use offramp_infer::{InferError, Runner};
use offramp_policies::{
    AnyPolicy, Criterion, Decision, ExitPolicy, ExitView, FitRows, Fitted, NamedPolicy, PastExit,
    PatiencePolicy, PolicyError, Readout, SchedulerPolicy, Scorer, Target, Thresholds,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use support::*;

#[test]
fn all_stop_at_once_or_none_does() {
    let net = net(1);
    let always = threshold_policy(Criterion::Confidence, [0.0; 3]);
    let running = runner(&net, &always, &Readout::default());
    let answers = running.run(images(5, 2)).unwrap();
    assert_eq!(calls(&running), [(0, 5)]);
    assert!(answers.iter().all(|a| a.exit == 0 && a.macs == 1));

    let never = threshold_policy(Criterion::Confidence, [2.0; 3]);
    let running = runner(&net, &never, &Readout::default());
    let answers = running.run(images(5, 2)).unwrap();
    assert_eq!(calls(&running), [(0, 5), (1, 5), (2, 5)]);
    assert!(answers.iter().all(|a| a.exit == 2 && a.macs == 100));

    let running = runner(&net, &never, &Readout::default());
    let answers = running.run(images(1, 2).slice_dim(0, 0..0)).unwrap();
    assert!(answers.is_empty() && calls(&running).is_empty());
}

#[test]
fn infinite_thresholds_are_taken() {
    let policy = threshold_policy(
        Criterion::Confidence,
        [f64::INFINITY, 0.0, f64::NEG_INFINITY],
    );
    let running = runner(&net(3), &policy, &Readout::default());
    let answers = running.run(images(3, 4)).unwrap();
    assert!(answers.iter().all(|answer| answer.exit == 1));
}

/// Stops at exit 1 if exits 0 and 1 agree; a policy that is not of `offramp-policies`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SecondOpinion;

impl ExitPolicy for SecondOpinion {
    fn num_exits(&self) -> usize {
        3
    }

    fn score(&self, _exit: usize, view: &ExitView<'_>, past: &[PastExit]) -> f64 {
        let agrees = |last: &PastExit| last.prediction == view.evidence.prediction;
        f64::from(u8::from(past.last().is_some_and(agrees)))
    }

    fn decide(&self, exit: usize, score: f64) -> Decision {
        if score > 0.0 || exit >= 2 {
            Decision::Exit
        } else {
            Decision::Continue
        }
    }
}

impl NamedPolicy for SecondOpinion {
    const NAME: &'static str = "second-opinion";
    const DOC: &'static str = "stop when two exits agree";

    fn deepest(_num_exits: usize) -> Result<Self, PolicyError> {
        Err(PolicyError::NoExits)
    }

    fn fit(_: &FitRows, _: &[u64], _: Target) -> Result<Fitted, PolicyError> {
        Err(PolicyError::NoExits)
    }
}

#[test]
fn a_policy_of_another_crate_runs() {
    let x = images(24, 5);
    let other = AnyPolicy::custom(SecondOpinion);
    let running = runner(&net(6), &other, &Readout::default());
    let found = running.run(x.clone()).unwrap();
    // Agreement once is a patience of 1.
    let patience = PatiencePolicy::new(1, 3).unwrap();
    let twin = Runner::new(net(6), patience, MACS.to_vec()).unwrap();
    assert_eq!(found, twin.run(x).unwrap());
    let exits = |exit| found.iter().filter(|answer| answer.exit == exit).count();
    assert_eq!(exits(0), 0);
    assert!(exits(1) > 0 && exits(2) > 0, "{} {}", exits(1), exits(2));
}

#[test]
fn a_policy_for_another_network_is_refused() {
    let policy = AnyPolicy::with_thresholds(Criterion::Margin, vec![0.5; 2]).unwrap();
    let error = Runner::new(net(0), policy, vec![1, 2, 3]).unwrap_err();
    assert!(
        error.to_string().contains('2') && error.to_string().contains('3'),
        "{error}"
    );
    let policy = threshold_policy(Criterion::Margin, [0.5; 3]);
    let error = Runner::new(net(0), policy, vec![1, 2]).unwrap_err();
    assert!(error.to_string().contains("2 costs"), "{error}");
}

#[test]
fn a_policy_for_other_classes_is_refused() {
    let scorer = |past| Scorer {
        classes: vec![0.0; 7],
        confidence: 1.0,
        certainty: 0.0,
        past,
    };
    let thresholds = Thresholds::new(vec![0.5; 3]).unwrap();
    let policy = SchedulerPolicy::new(thresholds, vec![scorer(vec![]), scorer(vec![0.0])]);
    let policy = AnyPolicy::Scheduler(policy.unwrap());
    let running = Runner::new(net(0), policy, MACS.to_vec()).unwrap();
    // Whether it is asked beforehand or not.
    let error = running.run(images(2, 1)).unwrap_err();
    assert!(
        matches!(
            error,
            InferError::Policy(PolicyError::Classes {
                found: 7,
                expected: CLASSES
            })
        ),
        "{error}"
    );
    let error = running
        .with_readout(Readout::default(), CLASSES)
        .unwrap_err();
    assert!(error.to_string().contains("7 classes"), "{error}");
}

#[test]
fn images_of_another_size_are_refused() {
    let policy = threshold_policy(Criterion::Confidence, [0.5; 3]);
    let running = Runner::new(net(1), policy, MACS.to_vec()).unwrap();
    let running = running.with_image([3, 32, 32]);
    let error = running.run(images(2, 2)).unwrap_err().to_string();
    assert!(
        error.contains("16x16") && error.contains("32x32"),
        "{error}"
    );
    let running = running.with_image([3, 16, 16]);
    assert_eq!(running.run(images(2, 2)).unwrap().len(), 2);
}

#[test]
fn a_logit_that_is_not_finite_is_an_error_with_its_sample_and_exit() {
    let policy = threshold_policy(Criterion::Confidence, [0.0; 3]);
    let running = Runner::new(net(1), policy, MACS.to_vec()).unwrap();
    let x = Tensor::cat(vec![images(2, 2), images(1, 3).mul_scalar(f32::NAN)], 0);
    let error = running.run(x).unwrap_err();
    assert!(
        matches!(
            error,
            InferError::NonFiniteLogit {
                image: 2,
                exit: 0,
                class: 0,
                ..
            }
        ),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..Default::default() })]

    /// The runner answers as the full network and the simulator do, with every policy, ensemble and
    /// cascade, and computes each segment once, for exactly the samples that reach it.
    #[test]
    fn runner_equals_simulator(
        seed in 0u64..1000,
        n in 0usize..9,
        policy in policies(),
        readout in readouts(),
        kind in 0..cascades().len(),
    ) {
        let net = cascade(seed, cascades()[kind].name);
        let x = images(n.max(1), seed + 1).slice_dim(0, 0..n);
        let running = runner(&net, &policy, &readout);
        let answers = running.run(x.clone()).unwrap();
        let expected = simulate(&net, &policy, &readout, x);
        prop_assert_eq!(answers.len(), n);
        for (answer, expected) in answers.iter().zip(&expected) {
            assert_same(answer, expected);
        }
        let reach = reach(&expected).into_iter().enumerate();
        let wanted: Vec<_> = reach.filter(|(_, n)| *n > 0).collect();
        prop_assert_eq!(calls(&running), wanted);
    }

    /// The order of a batch does not matter.
    #[test]
    fn shuffled_batches_have_shuffled_answers(
        seed in 0u64..1000,
        order in Just((0..7usize).collect::<Vec<_>>()).prop_shuffle(),
        policy in policies(),
        readout in readouts(),
    ) {
        let running = runner(&net(seed), &policy, &readout);
        let x = images(7, seed + 1);
        let plain = running.run(x.clone()).unwrap();
        let rows = order.iter().map(|&i| x.clone().slice_dim(0, i..i + 1)).collect();
        let shuffled = running.run(Tensor::cat(rows, 0)).unwrap();
        for (&i, answer) in order.iter().zip(&shuffled) {
            prop_assert_eq!(answer.exit, plain[i].exit);
            prop_assert_eq!(answer.class, plain[i].class);
        }
    }
}
