//! Fitting on validation rows: temperatures, thresholds, learned policies, guarantees.

mod curve;
mod learn;
mod msdnet;
mod risk;
mod search;
mod shuffle;
mod temperature;

pub use curve::{BudgetCurve, budget_curve};
pub(crate) use learn::{fit_gates, fit_scheduler, fit_zero_time_waste};
pub use msdnet::msdnet_thresholds;
pub use risk::{Controlled, Guarantee, Promise, RiskLoss, control, losses, threshold_path};
pub use search::{Fitted, Target, choose, fit, frontier};
pub use temperature::{Temperatures, fit_temperatures};
