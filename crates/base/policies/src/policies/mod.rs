//! The policies, one file each.

mod deadline;
mod fixed;
mod gates;
mod patience;
mod scheduler;
mod threshold;

pub use deadline::DeadlinePolicy;
pub use fixed::FixedExit;
pub use gates::{Gate, GatePolicy};
pub use patience::PatiencePolicy;
pub use scheduler::{SchedulerPolicy, Scorer};
pub use threshold::{ConfidencePolicy, EntropyPolicy, MarginPolicy};

pub(crate) use gates::features as gate_features;
pub(crate) use scheduler::certainties;
