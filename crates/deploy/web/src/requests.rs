//! Requests of the page.

use offramp_policies::AnyPolicy;
use serde::Deserialize;

/// Files of a run folder, as text; all but the name may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFiles {
    /// What the network is called.
    pub name: String,
    /// The data set that it was trained on.
    #[serde(default)]
    pub dataset: Option<String>,
    /// `policy.json`.
    #[serde(default)]
    pub policy: Option<String>,
    /// `eval.json`.
    #[serde(default)]
    pub eval: Option<String>,
    /// `calibrate.json`.
    #[serde(default)]
    pub calibrate: Option<String>,
}

/// When images stop; nothing means the run's own policy.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The most expensive point of the curve whose mean cost is at most this many MACs; without a curve, the
    /// deepest exit whose cost is.
    #[serde(default)]
    pub max_macs: Option<f64>,
    /// Always this exit.
    #[serde(default)]
    pub exit: Option<usize>,
    /// A policy, as in `policy.json`.
    #[serde(default)]
    pub policy: Option<AnyPolicy>,
}
