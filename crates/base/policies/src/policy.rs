use serde::{Deserialize, Serialize};

use crate::Evidence;

/// What to do with a sample at an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Stop: this exit's prediction is the answer.
    Exit,
    /// Run the next stage.
    Continue,
}

/// What an exit shows a policy of one sample.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The softmax, summed up.
    pub evidence: Evidence,
    /// The softmax, `[C]`.
    pub probabilities: &'a [f32],
}

impl Shown<'_> {
    /// The likeliest classes, `count` of them or all: the prediction, then the others by falling probability,
    /// the lower class among equals.
    pub fn likeliest(&self, count: usize) -> Vec<usize> {
        likeliest(self.evidence.prediction, self.probabilities, count)
    }
}

/// Classes by falling probability. The prediction comes first: it was decided in double precision, where
/// these may tie.
pub(crate) fn likeliest(prediction: usize, probabilities: &[f32], count: usize) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..probabilities.len()).collect();
    classes.sort_by(|&a, &b| {
        let by_probability = probabilities[b].total_cmp(&probabilities[a]);
        (b == prediction)
            .cmp(&(a == prediction))
            .then(by_probability)
    });
    classes.truncate(count);
    classes
}

/// What is remembered of an exit that a sample has passed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Passed {
    /// The exit's prediction.
    pub prediction: usize,
    /// The policy's score there.
    pub score: f64,
}

/// When to stop.
///
/// A policy is asked in two steps: how ready a sample is ([`score`](Self::score)), which may depend on
/// the exits it has passed, and whether that is enough ([`decide`](Self::decide)). It keeps nothing
/// itself: what it must remember of a sample lies in the sample's [`Trail`], which the runner that
/// really stops and [`evaluate`](crate::evaluate()), which simulates stopping, both walk.
pub trait ExitPolicy {
    /// The number of exits this policy was made for.
    fn num_exits(&self) -> usize;

    /// How ready the sample is to stop at `exit` (from 0, shallowest first); larger is readier, NaN
    /// is never ready. `passed` has one entry for each exit before this one.
    fn score(&self, exit: usize, shown: &Shown<'_>, passed: &[Passed]) -> f64;

    /// Whether a sample with `score` at `exit` stops there.
    ///
    /// The last exit, and any `exit` beyond it, stops always.
    fn decide(&self, exit: usize, score: f64) -> Decision;

    /// The thresholds to report, one an exit, in the policy's own units; empty if it has none.
    fn thresholds(&self) -> &[f64] {
        &[]
    }

    /// The number of classes this policy was made for; `None` when it does not matter.
    fn classes(&self) -> Option<usize> {
        None
    }
}

/// The exits that one sample has passed.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    passed: Vec<Passed>,
}

impl Trail {
    /// The exit that comes next, from 0.
    pub fn exit(&self) -> usize {
        self.passed.len()
    }

    /// What `policy` says at the next exit, which shows `shown`.
    pub fn step(&mut self, policy: &(impl ExitPolicy + ?Sized), shown: &Shown<'_>) -> Decision {
        let exit = self.exit();
        let score = policy.score(exit, shown, &self.passed);
        self.passed.push(Passed {
            prediction: shown.evidence.prediction,
            score,
        });
        policy.decide(exit, score)
    }

    /// Back to the start, for another sample.
    pub fn clear(&mut self) {
        self.passed.clear();
    }
}

/// The exit at which one sample leaves, given what each exit shows.
///
/// Exits are asked for one by one, so `shown` may compute them on demand.
pub fn exit_taken<'a>(
    policy: &(impl ExitPolicy + ?Sized),
    mut shown: impl FnMut(usize) -> Shown<'a>,
) -> usize {
    walk(policy, &mut Trail::default(), &mut shown)
}

/// As [`exit_taken`], with a trail to reuse.
pub(crate) fn walk<'a>(
    policy: &(impl ExitPolicy + ?Sized),
    trail: &mut Trail,
    shown: &mut impl FnMut(usize) -> Shown<'a>,
) -> usize {
    trail.clear();
    let last = policy.num_exits().saturating_sub(1);
    (0..last)
        .find(|&exit| trail.step(policy, &shown(exit)) == Decision::Exit)
        .unwrap_or(last)
}

/// `Exit` when `enough`, and at the last of `exits` and beyond.
pub(crate) fn exit_if(enough: bool, exit: usize, exits: usize) -> Decision {
    if enough || exit + 1 >= exits {
        Decision::Exit
    } else {
        Decision::Continue
    }
}
