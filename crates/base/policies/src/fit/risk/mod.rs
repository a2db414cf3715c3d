//! Policies with a guarantee on how much worse than the full network they are on new samples.
//!
//! Thresholds that lose at most a point on the rows they were fitted on may lose more on others. Risk
//! control takes a sequence of policies, from one that never stops early to ever bolder ones, and finds
//! how far along it one may go so that the *expected* loss on new samples of the same kind stays below
//! a level.

mod control;
mod loss;
mod p_value;
mod path;

pub use control::{Controlled, Guarantee, Promise, control};
pub use loss::{RiskLoss, losses};
pub(crate) use p_value::{betting_p_value, binomial_p_value, hoeffding_bentkus_p_value};
pub use path::threshold_path;
