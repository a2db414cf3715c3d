//! The labels of a batch.

use burn::tensor::{Int, Tensor};

/// Labels of a batch, optionally mixed or smoothed.
#[derive(Clone, Debug)]
pub struct Targets {
    /// Class of every sample, `[N]`; -1 = unlabelled.
    pub labels: Tensor<1, Int>,
    /// Classes `[N]` of the images that were mixed in (mixup, cutmix; -1 = unlabelled), and
    /// the share `lambda` of the first label, `[N]`, in `[0, 1]`.
    pub mix: Option<(Tensor<1, Int>, Tensor<1>)>,
    /// Label smoothing `epsilon` in `[0, 1)`: the share of the target that is spread evenly
    /// over all classes.
    pub smoothing: f64,
}

impl Targets {
    /// Plain labels.
    pub fn new(labels: Tensor<1, Int>) -> Self {
        Self {
            labels,
            mix: None,
            smoothing: 0.0,
        }
    }

    /// The labels of some samples, by their place in the batch, in the order given.
    ///
    /// # Panics
    /// When a place is outside the batch.
    pub fn select(&self, rows: Tensor<1, Int>) -> Self {
        let mix = self.mix.as_ref().map(|(labels, lambda)| {
            let labels = labels.clone().select(0, rows.clone());
            (labels, lambda.clone().select(0, rows.clone()))
        });
        Self {
            labels: self.labels.clone().select(0, rows),
            mix,
            smoothing: self.smoothing,
        }
    }
}
