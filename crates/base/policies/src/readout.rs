use serde::Serialize;

use crate::{
    Ensemble, Evidence, PolicyError, Shown, Temperatures, ensembles::Said, softmax::Partition,
};

/// How the logits of the exits are read before a policy sees them: divided by a temperature each, then
/// put together by an ensemble.
///
/// The default does neither. [`ExitTable`](crate::ExitTable), the simulator's rows, and the runner read
/// logits through the same code.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Readout {
    /// One an exit.
    pub temperatures: Option<Temperatures>,
    /// What puts the exits together.
    pub ensemble: Option<Ensemble>,
}

/// What has been read of one sample so far.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    exit: usize,
    memory: Vec<f64>,
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
    /// When there are more exits than temperatures or weights; [`check`](Self::check) tells.
    pub fn read<'r>(&self, logits: &[f32], reading: &'r mut Reading) -> Shown<'r> {
        let exit = reading.exit;
        reading.exit += 1;
        let temperature = (self.temperatures.as_ref()).map_or(1.0, |t| t.as_slice()[exit]);
        let partition = Partition::new(logits, temperature);
        reading.own.clear();
        (reading.own).extend(logits.iter().map(|&z| partition.log_probability(z)));
        let evidence = match &self.ensemble {
            None => {
                reading.log_probabilities.clone_from(&reading.own);
                // The logits name the prediction: two that differ by less than 1e-16 have equal
                // probabilities.
                Evidence::from_log_probabilities(&reading.log_probabilities, logits)
            }
            Some(ensemble) => {
                let said = Said {
                    exit,
                    logits,
                    log_probabilities: &reading.own,
                };
                ensemble.add(&said, &mut reading.memory, &mut reading.log_probabilities);
                let answer = &reading.log_probabilities;
                Evidence::from_log_probabilities(answer, answer)
            }
        };
        reading.probabilities.clear();
        let probabilities = reading
            .log_probabilities
            .iter()
            .map(|ln_p| ln_p.exp() as f32);
        reading.probabilities.extend(probabilities);
        Shown {
            evidence,
            probabilities: &reading.probabilities,
        }
    }
}

impl Reading {
    /// The natural logarithms of the probabilities read last, before they are rounded.
    pub(crate) fn log_probabilities(&self) -> &[f64] {
        &self.log_probabilities
    }

    /// Back to the start, for another sample.
    pub(crate) fn clear(&mut self) {
        self.exit = 0;
        self.memory.clear();
    }
}
