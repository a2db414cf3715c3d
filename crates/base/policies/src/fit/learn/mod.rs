//! Policies and ensembles that are trained on rows.

mod adam;
mod gates;
mod logistic;
mod scheduler;
mod zero_time_waste;

pub use gates::fit_gates;
pub use scheduler::fit_scheduler;
pub use zero_time_waste::fit_zero_time_waste;
