//! How logits become the softmax that a policy sees.

use serde::Serialize;

use super::Partition;
use crate::{Ensemble, Evidence, ExitView, PolicyError, Temperatures, ensembles::ExitOutput};

/// How the logits of the exits are read before a policy sees them: divided by a temperature each, then
/// combined by an ensemble.
///
/// The default does neither. [`ExitTable`](crate::ExitTable), which the simulator works on, and the
/// runners read logits through the same code.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Readout {
    /// One per exit.
    pub temperatures: Option<Temperatures>,
    /// Combines the exits.
    pub ensemble: Option<Ensemble>,
}

/// What has been read of one sample so far.
#[derive(Clone, Debug, Default)]
pub struct ReadoutState {
    exit: usize,
    /// What the ensemble keeps of the exits so far.
    ensemble: Vec<f64>,
    /// `ln p` of this exit alone.
    own: Vec<f64>,
    log_probabilities: Vec<f64>,
    probabilities: Vec<f32>,
}

impl Readout {
    /// Refuses temperatures or an ensemble fitted for another network.
    ///
    /// # Errors
    /// [`PolicyError::ExitCount`] or [`PolicyError::Classes`].
    pub fn check(&self, exits: usize, classes: usize) -> Result<(), PolicyError> {
        if let Some(temperatures) = &self.temperatures {
            temperatures.check_exits(exits)?;
        }
        match &self.ensemble {
            Some(ensemble) => ensemble.check(exits, classes),
            None => Ok(()),
        }
    }

    /// Reads the logits `[C]` of the sample's next exit.
    ///
    /// # Panics
    /// When there are more exits than temperatures or weights; [`check`](Self::check) finds that.
    pub fn read<'r>(&self, logits: &[f32], state: &'r mut ReadoutState) -> ExitView<'r> {
        let exit = state.exit;
        state.exit += 1;
        let temperature = (self.temperatures.as_ref()).map_or(1.0, |t| t.as_slice()[exit]);
        let partition = Partition::new(logits, temperature);
        state.own.clear();
        (state.own).extend(logits.iter().map(|&z| partition.log_probability(z)));
        let evidence = match &self.ensemble {
            None => {
                state.log_probabilities.clone_from(&state.own);
                // The logits name the prediction: two that differ by less than 1e-16 have equal
                // probabilities.
                Evidence::from_log_probabilities(&state.log_probabilities, logits)
            }
            Some(ensemble) => {
                let output = ExitOutput {
                    exit,
                    logits,
                    log_probabilities: &state.own,
                };
                ensemble.add(&output, &mut state.ensemble, &mut state.log_probabilities);
                let combined = &state.log_probabilities;
                Evidence::from_log_probabilities(combined, combined)
            }
        };
        state.probabilities.clear();
        let probabilities = state.log_probabilities.iter();
        (state.probabilities).extend(probabilities.map(|ln_p| ln_p.exp() as f32));
        ExitView {
            evidence,
            probabilities: &state.probabilities,
        }
    }
}

impl ReadoutState {
    /// The natural logarithms of the probabilities read last, before they are rounded.
    pub(crate) fn log_probabilities(&self) -> &[f64] {
        &self.log_probabilities
    }

    /// Forgets the sample; the next one begins at exit 0.
    pub(crate) fn clear(&mut self) {
        self.exit = 0;
        self.ensemble.clear();
    }
}
