//! The most confident exit so far.

use serde::{Deserialize, Serialize};

use super::ExitOutput;

/// The softmax of the surest exit so far; of equally sure ones the deeper.
///
/// Exit `k` answers with `p_m`, `m = argmax_{j <= k} max_c p_j(c)`. The confidence therefore never
/// falls with depth.
///
/// "Caching Anytime" of Jazbec, Allingham, Zhang, Nalisnick, Towards Anytime Classification in
/// Early-Exit Architectures by Enforcing Conditional Monotonicity, NeurIPS 2023; public code
/// metodj/AnytimeClassification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MostConfident {}

impl MostConfident {
    /// `memory` holds the log-probabilities of the surest exit.
    #[expect(clippy::unused_self, reason = "every ensemble is called in this form")]
    pub(super) fn add(self, output: &ExitOutput<'_>, memory: &mut Vec<f64>, out: &mut Vec<f64>) {
        let surest = |row: &[f64]| row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if memory.is_empty() || surest(output.log_probabilities) >= surest(memory) {
            memory.clear();
            memory.extend_from_slice(output.log_probabilities);
        }
        out.clone_from(memory);
    }
}
