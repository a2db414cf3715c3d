//! The compiled stream beside the simulator on burn's network: every policy, ensemble and cascade, each
//! sample with a rule of its own.

mod support;

use std::sync::Arc;

use burn::tensor::Tensor;
use offramp_core::images::normalise;
use offramp_core::{MapShape, default_device};
use offramp_executor::{About, ExecutorError, MultiExitPlan, Options, Stream};
use offramp_heads::{MultiExitNet, cascades};
use offramp_policies::{Answer, Criterion, PolicyError, Readout, Rule};
use proptest::prelude::*;
use support::*;

const IMAGE: MapShape = MapShape {
    channels: 3,
    height: 16,
    width: 16,
};
const PIXELS: usize = 3 * 16 * 16;

/// Winograd's filtering rounds differently.
const TOLERANCE: f32 = 1e-4;

fn stream(net: &MultiExitNet, batch: usize) -> Stream {
    let options = Options {
        threads: 2,
        ..Options::default()
    };
    let graphs = net.segment_graphs(IMAGE).unwrap();
    let plan = MultiExitPlan::compile(&graphs, batch, options).unwrap();
    Stream::new(plan, MACS.to_vec()).unwrap()
}

fn values(x: &Tensor<4>) -> Vec<f32> {
    x.clone().into_data().iter::<f32>().collect()
}

fn rules() -> impl Strategy<Value = Vec<Arc<Rule>>> {
    let rule = (policies(), readouts()).prop_map(|(policy, readout)| Rule { policy, readout });
    prop::collection::vec(rule.prop_map(Arc::new), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    /// Whatever comes when and with which rule, every sample is answered once, as the simulator says.
    #[test]
    fn the_compiled_stream_equals_the_simulator(
        seed in 0u64..1000,
        kind in 0..cascades().len(),
        rules in rules(),
        // How many samples come, and how many steps are taken before the next come.
        schedule in prop::collection::vec((0usize..6, 0usize..4), 1..6),
        batch in 1usize..7,
    ) {
        let net = cascade(seed, cascades()[kind].name);
        let total: usize = schedule.iter().map(|(n, _)| n).sum();
        let x = images(total.max(1), seed + 1);
        let pixels = values(&x);
        let mut stream = stream(&net, batch);
        let mut answers: Vec<Option<Answer>> = vec![None; total];
        let mut take = |step: Vec<(u64, Answer)>| {
            prop_assert!(step.len() <= batch);
            for (ticket, answer) in step {
                let place = &mut answers[ticket as usize];
                prop_assert!(place.is_none(), "answered twice");
                *place = Some(answer);
            }
            Ok(())
        };
        let mut admitted = 0;
        for (n, steps) in schedule {
            for _ in 0..n {
                while stream.room() == 0 {
                    take(stream.step().unwrap())?;
                }
                let image = &pixels[admitted * PIXELS..][..PIXELS];
                let ticket = stream.admit(image, &rules[admitted % rules.len()]).unwrap();
                prop_assert_eq!(ticket, admitted as u64);
                admitted += 1;
            }
            for _ in 0..steps {
                take(stream.step().unwrap())?;
            }
        }
        while stream.pending() > 0 {
            take(stream.step().unwrap())?;
        }
        prop_assert!(stream.step().unwrap().is_empty());
        for (place, rule) in rules.iter().enumerate() {
            let all = x.clone().slice_dim(0, 0..total);
            let expected = simulate(&net, &rule.policy, &rule.readout, all);
            for i in (place..total).step_by(rules.len()) {
                assert_near(answers[i].as_ref().expect("answered"), &expected[i], TOLERANCE);
            }
        }
    }

    /// Batches larger and smaller than the plan's, while another sample is on its way.
    #[test]
    fn compiled_batches_equal_the_simulator(
        seed in 0u64..1000,
        n in 0usize..12,
        batch in 1usize..7,
        policy in policies(),
        readout in readouts(),
    ) {
        let net = net(seed);
        let x = images(n.max(1), seed + 1);
        let rule = Arc::new(Rule { policy, readout });
        let mut stream = stream(&net, batch);
        let other = stream.admit(&values(&x)[..PIXELS], &rule).unwrap();
        let answers = stream.run(&values(&x)[..n * PIXELS], &rule).unwrap();
        let expected = simulate(&net, &rule.policy, &rule.readout, x.slice_dim(0, 0..n));
        prop_assert_eq!(answers.len(), n);
        for (answer, expected) in answers.iter().zip(&expected) {
            assert_near(answer, expected, TOLERANCE);
        }
        prop_assert_eq!(stream.pending(), 1);
        prop_assert_eq!(stream.step().unwrap()[0].0, other);
    }
}

/// A plan's own normalisation is that of training, bit for bit.
#[test]
fn pixels_are_normalised_as_in_training() {
    let about = About {
        model: String::new(),
        classes: Vec::new(),
        image: [3, 16, 16],
        resize: [16, 16],
        mean: [0.5071, 0.4865, 0.4409],
        std: [0.2673, 0.2564, 0.2762],
        macs: Vec::new(),
    };
    let bytes: Vec<u8> = (0..2 * PIXELS).map(|i| (i * 7 % 256) as u8).collect();
    let device = default_device().unwrap();
    let x = normalise(
        bytes.clone(),
        [2, 3, 16, 16],
        about.mean,
        about.std,
        &device,
    );
    assert_eq!(about.normalise(&bytes), values(&x));
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut stream = stream(&net(1), 2);
    let rule = |exits: usize| {
        let thresholds = vec![0.5; exits];
        let policy = offramp_policies::AnyPolicy::with_thresholds(Criterion::Margin, thresholds);
        Arc::new(Rule::from(policy.unwrap()))
    };
    let image = vec![0.5; PIXELS];
    let error = stream.admit(&image[1..], &rule(3)).unwrap_err().to_string();
    assert!(error.contains("767") && error.contains("768"), "{error}");
    let mut damaged = image.clone();
    damaged[5] = f32::NAN;
    let error = stream.admit(&damaged, &rule(3)).unwrap_err().to_string();
    assert!(error.contains("first 5"), "{error}");
    let error = stream.admit(&image, &rule(2)).unwrap_err();
    let count = matches!(error, ExecutorError::Policy(PolicyError::ExitCount { .. }));
    assert!(count, "{error}");
    assert_eq!(stream.pending(), 0);
    for _ in 0..2 {
        stream.admit(&image, &rule(3)).unwrap();
    }
    let error = stream.admit(&image, &rule(3)).unwrap_err();
    assert!(
        matches!(error, ExecutorError::Full { waiting: 2 }),
        "{error}"
    );
    let graphs = net(1).segment_graphs(IMAGE).unwrap();
    let plan = MultiExitPlan::compile(&graphs, 2, Options::default()).unwrap();
    let error = Stream::new(plan, vec![1, 2]).unwrap_err().to_string();
    assert!(error.contains("2 costs"), "{error}");
}

/// Answers of samples that came before a batch are there after the batch has failed.
#[test]
fn a_batch_that_fails_keeps_the_answers_of_others() {
    let mut stream = stream(&net(1), 2);
    let policy = threshold_policy(Criterion::Confidence, [0.0; 3]);
    let rule = Arc::new(Rule {
        policy,
        readout: Readout::default(),
    });
    let pixels = values(&images(1, 1));
    let huge: Vec<f32> = pixels.iter().map(|x| 1e38 * x.signum()).collect();
    let before = stream.admit(&pixels, &rule).unwrap();
    let batch = [pixels.clone(), pixels.clone(), huge].concat();
    assert!(stream.run(&batch, &rule).is_err());
    let mut tickets = Vec::new();
    while stream.pending() > 0 {
        tickets.extend(stream.step().unwrap().into_iter().map(|(ticket, _)| ticket));
    }
    assert!(tickets.contains(&before), "{tickets:?}");
}

/// A plan of no images would never answer.
#[test]
fn a_batch_of_none_is_refused() {
    let graphs = net(1).segment_graphs(IMAGE).unwrap();
    assert!(MultiExitPlan::compile(&graphs, 0, Options::default()).is_err());
    let plan = MultiExitPlan::compile(&graphs, 2, Options::default()).unwrap();
    assert_eq!(plan.with_batch(0).batch(), 1);
}

#[test]
fn a_sample_whose_logits_overflow_does_not_take_the_others_along() {
    let mut stream = stream(&net(1), 4);
    let policy = threshold_policy(Criterion::Confidence, [0.0; 3]);
    let rule = Arc::new(Rule {
        policy,
        readout: Readout::default(),
    });
    let pixels = values(&images(2, 1));
    let huge: Vec<f32> = pixels[..PIXELS].iter().map(|x| 1e38 * x.signum()).collect();
    stream.admit(&pixels[..PIXELS], &rule).unwrap();
    stream.admit(&huge, &rule).unwrap();
    stream.admit(&pixels[PIXELS..], &rule).unwrap();
    let error = stream.step().unwrap_err();
    let named = matches!(
        error,
        ExecutorError::NonFiniteLogit {
            ticket: 1,
            exit: 0,
            ..
        }
    );
    assert!(named, "{error}");
    let tickets: Vec<u64> = (stream.step().unwrap().iter())
        .map(|(ticket, _)| *ticket)
        .collect();
    assert_eq!(tickets, [0, 2]);
    assert_eq!(stream.pending(), 0);
}
