//! The trait of exit policies, and the state that they keep of a sample.

use crate::{ExitView, PastExit};

/// What to do with a sample at an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Stop: this exit's prediction is the answer.
    Exit,
    /// Compute the next segment.
    Continue,
}

/// Decides at which exit a sample stops.
///
/// A policy works in two steps: it gives the sample a score ([`score`](Self::score)), which may depend
/// on the exits it has passed, and says whether that score is enough ([`decide`](Self::decide)). The
/// policy itself has no state. What must be remembered of a sample lies in its [`PolicyState`]; the
/// runners, which really stop, and [`evaluate`](crate::evaluate()), which simulates stopping, use the
/// same one.
///
/// The trait is object safe: whatever runs or evaluates a policy takes `&dyn ExitPolicy` too.
pub trait ExitPolicy {
    /// The number of exits this policy was made for.
    fn num_exits(&self) -> usize;

    /// How ready the sample is to stop at `exit` (from 0, shallowest first); larger is readier, NaN
    /// is never ready. `past` has one entry for each exit before this one.
    fn score(&self, exit: usize, view: &ExitView<'_>, past: &[PastExit]) -> f64;

    /// Whether a sample with `score` at `exit` stops there.
    ///
    /// The last exit, and any `exit` beyond it, stops always.
    fn decide(&self, exit: usize, score: f64) -> Decision;

    /// The thresholds to report, one per exit, in the policy's own units; empty if it has none.
    fn thresholds(&self) -> &[f64] {
        &[]
    }

    /// The number of classes this policy was made for; `None` when it does not matter.
    fn classes(&self) -> Option<usize> {
        None
    }
}

/// What a policy remembers of one sample: the exits it has passed.
#[derive(Clone, Debug, Default)]
pub struct PolicyState {
    past: Vec<PastExit>,
}

impl PolicyState {
    /// The next exit, from 0.
    pub fn exit(&self) -> usize {
        self.past.len()
    }

    /// Asks `policy` about the next exit, and remembers the exit.
    pub fn step(&mut self, policy: &(impl ExitPolicy + ?Sized), view: &ExitView<'_>) -> Decision {
        let exit = self.exit();
        let score = policy.score(exit, view, &self.past);
        self.past.push(PastExit {
            prediction: view.evidence.prediction,
            score,
        });
        policy.decide(exit, score)
    }

    /// Forgets the sample; the next one begins at exit 0.
    pub fn clear(&mut self) {
        self.past.clear();
    }
}

/// The exit at which one sample stops.
///
/// `view` is called for one exit after the other until the policy stops, so it may compute them on
/// demand.
pub fn exit_taken<'a>(
    policy: &(impl ExitPolicy + ?Sized),
    mut view: impl FnMut(usize) -> ExitView<'a>,
) -> usize {
    exit_taken_from(policy, &mut PolicyState::default(), &mut view)
}

/// As [`exit_taken`], with a state to reuse.
pub(crate) fn exit_taken_from<'a>(
    policy: &(impl ExitPolicy + ?Sized),
    state: &mut PolicyState,
    view: &mut impl FnMut(usize) -> ExitView<'a>,
) -> usize {
    state.clear();
    let last = policy.num_exits().saturating_sub(1);
    (0..last)
        .find(|&exit| state.step(policy, &view(exit)) == Decision::Exit)
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
