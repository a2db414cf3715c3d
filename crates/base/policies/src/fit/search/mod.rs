//! A search of our own for thresholds: better than MSDNet's on the rows it is fitted on.

mod choose;
mod frontier;
mod levels;
mod target;

pub use choose::choose;
pub use frontier::frontier;
pub use target::{Fitted, Target, fit};
