//! The order of an epoch.

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::error::DataError;
use crate::rng::{Purpose, Stream};
use crate::subset::Subset;

/// How images with and without a label alternate in semi-supervised training: `labelled` with a label,
/// then `unlabelled` without one, and so on, as in Phuong and Lampert's code
/// (mary-phuong/multiexit-distillation). An epoch ends when either kind has no full turn left: after
/// `min(n_labelled / labelled, n_unlabelled / unlabelled)` turns, both rounded down.
///
/// A batch whose size is a multiple of a turn always has the same share of labelled images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Interleave {
    /// Images with a label per turn.
    pub labelled: usize,
    /// Images without a label per turn.
    pub unlabelled: usize,
}

impl Interleave {
    /// Samples per epoch.
    ///
    /// # Errors
    /// [`DataError::Config`] for a turn without images of one kind, [`DataError::Empty`] when the
    /// subset does not fill one turn.
    pub(super) fn samples(self, subset: &Subset) -> Result<usize, DataError> {
        if self.labelled == 0 || self.unlabelled == 0 {
            return Err(DataError::Config {
                key: "interleave",
                value: format!("{}:{}", self.labelled, self.unlabelled),
                rule:
                    "a turn has at least one image of each kind; leave the key out to take images as \
                       they come"
                        .into(),
            });
        }
        let (labelled, unlabelled) = kinds(subset);
        let turns = self.turns(labelled.len(), unlabelled.len());
        if turns == 0 {
            return Err(DataError::Empty {
                what: format!(
                    "an epoch of turns of {} images with and {} without a label, of which there are \
                     {} and {},",
                    self.labelled,
                    self.unlabelled,
                    labelled.len(),
                    unlabelled.len()
                ),
                advice: "set data.labelled-fraction below 1, or take other turns".into(),
            });
        }
        Ok(turns * (self.labelled + self.unlabelled))
    }

    fn turns(self, labelled: usize, unlabelled: usize) -> usize {
        (labelled / self.labelled).min(unlabelled / self.unlabelled)
    }

    /// Positions in turns, each kind in its own order.
    fn weave(self, labelled: &[usize], unlabelled: &[usize]) -> Vec<usize> {
        let turns = self.turns(labelled.len(), unlabelled.len());
        let pairs = labelled
            .chunks(self.labelled)
            .zip(unlabelled.chunks(self.unlabelled));
        let turn = |(with, without): (&[usize], &[usize])| [with, without].concat();
        pairs.take(turns).flat_map(turn).collect()
    }
}

/// The positions of the images with a label, and of those without one.
fn kinds(subset: &Subset) -> (Vec<usize>, Vec<usize>) {
    (0..subset.len()).partition(|&position| subset.label(position) >= 0)
}

impl Plan {
    /// The positions of the samples in the order of an epoch.
    pub(super) fn order(&self, epoch: u64) -> Vec<usize> {
        let mut stream = Stream::new(Purpose::Shuffle, self.config.seed, epoch, 0);
        let mut shuffled = |mut order: Vec<usize>| {
            if self.config.shuffle {
                stream.shuffle(&mut order);
            }
            order
        };
        match self.config.interleave {
            None => shuffled((0..self.subset.len()).collect()),
            Some(interleave) => {
                let (labelled, unlabelled) = kinds(&self.subset);
                interleave.weave(&shuffled(labelled), &shuffled(unlabelled))
            }
        }
    }
}
