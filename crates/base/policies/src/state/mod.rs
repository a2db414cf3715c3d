//! What is known of one sample while it passes the exits, and the policy that decides with it.

mod evidence;
mod policy;
mod prediction;
mod queue;
mod readout;
mod rule;
mod softmax;
mod view;

pub use evidence::Evidence;
pub use policy::{Decision, ExitPolicy, PolicyState, exit_taken};
pub(crate) use policy::{exit_if, exit_taken_from};
pub use prediction::Answer;
pub use queue::{SegmentQueue, next_segment};
pub use readout::{Readout, ReadoutState};
pub use rule::{Rule, SampleState};
pub(crate) use softmax::Partition;
pub use view::{ExitView, PastExit};
