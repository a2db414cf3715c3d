//! A search for thresholds that are at least as good as MSDNet's on the rows fitted on.

mod choose;
mod frontier;
mod levels;
mod target;

pub use choose::choose;
pub use frontier::frontier;
pub use target::{Fitted, Target, fit};
