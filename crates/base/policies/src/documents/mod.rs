//! Files of a run folder that hold policies.

mod policy_file;
mod rule_curve;

pub use policy_file::{FittedOn, PolicyFile};
pub use rule_curve::RuleCurve;
