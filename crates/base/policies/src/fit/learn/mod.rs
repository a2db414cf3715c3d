//! Policies and ensembles that are trained on rows.

mod adam;
mod gates;
mod logistic;
mod scheduler;
mod zero_time_waste;

pub(crate) use gates::fit_gates;
pub(crate) use scheduler::fit_scheduler;
pub(crate) use zero_time_waste::fit_zero_time_waste;
