//! The exit policies, one file each, and the table that lists them.
//!
//! A new policy is one file, with a type that implements [`ExitPolicy`](crate::ExitPolicy) and
//! [`NamedPolicy`], and one line in the table below. A policy of another crate implements the same
//! traits and is added with [`register`].

mod criterion;
mod custom;
mod deadline;
mod fixed;
mod gates;
mod patience;
mod registry;
mod scheduler;
mod threshold;
mod thresholds;

pub use criterion::Criterion;
pub use custom::CustomPolicy;
pub use deadline::DeadlinePolicy;
pub use fixed::FixedExit;
pub(crate) use gates::features as gate_features;
pub use gates::{Gate, GatePolicy};
pub use patience::PatiencePolicy;
pub use registry::{NamedPolicy, PolicyEntry, register, registry};
pub(crate) use registry::{check_classes, check_exits};
pub(crate) use scheduler::certainties;
pub use scheduler::{SchedulerPolicy, Scorer};
pub use threshold::{ConfidencePolicy, EntropyPolicy, MarginPolicy};
pub use thresholds::Thresholds;
pub(crate) use thresholds::extended_reals;

registry::policies! {
    Confidence(ConfidencePolicy),
    Entropy(EntropyPolicy),
    Margin(MarginPolicy),
    Patience(PatiencePolicy),
    Gates(GatePolicy),
    Scheduler(SchedulerPolicy),
    Deadline(DeadlinePolicy),
    FixedExit(FixedExit),
}
