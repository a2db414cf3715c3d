use crate::Evidence;

/// What to do with a sample at an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Stop: this exit's prediction is the answer.
    Exit,
    /// Run the next stage.
    Continue,
}

/// When to stop.
///
/// The runner that really stops and [`evaluate`](crate::evaluate), which simulates stopping, call
/// the same [`decide`](Self::decide).
pub trait ExitPolicy {
    /// The number of exits this policy was made for.
    fn num_exits(&self) -> usize;

    /// Whether a sample with `evidence` at `exit` (from 0, shallowest first) stops there.
    ///
    /// The last exit, and any `exit` beyond it, stops always.
    fn decide(&self, exit: usize, evidence: &Evidence) -> Decision;

    /// The thresholds to report, one an exit, in the policy's own units; empty if it has none.
    fn thresholds(&self) -> &[f64] {
        &[]
    }
}

/// The exit at which one sample leaves, given its evidence at each exit.
///
/// Evidence is asked for exit by exit, so `evidence` may compute it on demand.
pub fn exit_taken(
    policy: &(impl ExitPolicy + ?Sized),
    mut evidence: impl FnMut(usize) -> Evidence,
) -> usize {
    let last = policy.num_exits().saturating_sub(1);
    (0..last)
        .find(|&exit| policy.decide(exit, &evidence(exit)) == Decision::Exit)
        .unwrap_or(last)
}
