//! Samples that come while others are on their way.

mod support;

use offramp_infer::InferError;
use offramp_policies::{AnyPolicy, Criterion, FixedExit, Readout};
use proptest::prelude::*;
use support::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    /// Whatever comes when, every sample is answered once, as the simulator says, by the step that
    /// computes its exit; no batch is larger than allowed, and no segment sees a sample twice.
    #[test]
    fn streaming_equals_simulator(
        seed in 0u64..1000,
        policy in policies(),
        readout in readouts(),
        // How many samples come, and how many steps are taken before the next come.
        schedule in prop::collection::vec((0usize..6, 0usize..4), 1..6),
        max_batch in prop_oneof![Just(usize::MAX), 1usize..5],
    ) {
        let net = net(seed);
        let total: usize = schedule.iter().map(|(n, _)| n).sum();
        let x = images(total.max(1), seed + 1);
        let running = runner(&net, &policy, &readout);
        let mut stream = running.stream().with_max_batch(max_batch);
        let mut answers = vec![None; total];
        let mut admitted = 0;
        let mut take = |step: Vec<(u64, offramp_infer::Answer)>| {
            let last = running.net().calls.borrow().last().copied();
            for (ticket, answer) in step {
                assert_eq!(Some(answer.exit), last.map(|(exit, _)| exit), "not at once");
                let place = &mut answers[ticket as usize];
                assert!(place.is_none(), "answered twice");
                *place = Some(answer);
            }
        };
        for (n, steps) in schedule {
            let part = x.clone().slice_dim(0, admitted..admitted + n);
            let tickets = stream.admit(part).unwrap();
            prop_assert_eq!(tickets, admitted as u64..(admitted + n) as u64);
            admitted += n;
            for _ in 0..steps {
                take(stream.step().unwrap());
            }
        }
        while stream.pending() > 0 {
            prop_assert_eq!(stream.depths().iter().sum::<usize>(), stream.pending());
            take(stream.step().unwrap());
        }
        prop_assert!(stream.step().unwrap().is_empty());
        let expected = simulate(&net, &policy, &readout, x.slice_dim(0, 0..total));
        for (answer, expected) in answers.iter().zip(&expected) {
            assert_same(answer.as_ref().expect("answered"), expected);
        }
        let mut computed = [0; EXITS];
        for (exit, n) in calls(&running) {
            prop_assert!(n <= max_batch);
            computed[exit] += n;
        }
        prop_assert_eq!(computed, reach(&expected));
    }
}

/// Samples of different admissions are computed together.
#[test]
fn admissions_are_joined() {
    let policy = AnyPolicy::FixedExit(FixedExit::new(2, 3).unwrap());
    let running = runner(&net(1), &policy, &Readout::default());
    let mut stream = running.stream();
    for n in [1, 2, 3] {
        stream.admit(images(n, n as u64)).unwrap();
    }
    assert_eq!(stream.finish().unwrap().len(), 6);
    assert_eq!(calls(&running), [(0, 6), (1, 6), (2, 6)]);
}

/// New samples come before every step, more of them than are deep; the deep ones are answered all the same.
#[test]
fn no_sample_waits_for_ever() {
    let policy = AnyPolicy::FixedExit(FixedExit::new(2, 3).unwrap());
    let running = runner(&net(1), &policy, &Readout::default());
    let mut stream = running.stream().with_max_batch(2);
    let mut due = std::collections::VecDeque::new();
    for step in 0..60u64 {
        // One sample in three steps of two each: what can be answered is what comes.
        if step % 3 == 0 {
            for ticket in stream.admit(images(2, step)).unwrap() {
                due.push_back((ticket, step + 12));
            }
        }
        for (ticket, _) in stream.step().unwrap() {
            due.retain(|(waiting, _)| *waiting != ticket);
        }
        assert!(
            due.iter().all(|(_, by)| *by > step),
            "late at step {step}: {due:?}"
        );
    }
}

#[test]
fn an_error_does_not_take_the_others_along() {
    let policy = threshold_policy(Criterion::Confidence, [0.0; 3]);
    let running = runner(&net(1), &policy, &Readout::default());
    let mut stream = running.stream().with_max_batch(2);
    stream
        .admit(images(2, 1).mul_scalar(f32::INFINITY))
        .unwrap();
    stream.admit(images(2, 2)).unwrap();
    let error = stream.step().unwrap_err();
    assert!(
        matches!(
            error,
            InferError::NonFiniteLogit {
                image: 0,
                exit: 0,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(stream.pending(), 2);
    let tickets: Vec<u64> = stream
        .finish()
        .unwrap()
        .iter()
        .map(|(ticket, _)| *ticket)
        .collect();
    assert_eq!(tickets, [2, 3]);
}
