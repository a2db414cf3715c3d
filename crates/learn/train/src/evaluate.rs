//! Evaluation of a network on a subset.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_data::{DatasetInfo, Loader, LoaderConfig, Split, Subset};
use offramp_heads::MultiExitNet;
use offramp_policies::{ExitTable, ExitTableBuilder};

use crate::batch::images;
use crate::{TrainConfig, TrainError};

/// Batch size and loader settings of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvalOptions {
    /// Images per batch. The last digits of a result may depend on it.
    pub batch_size: usize,
    /// Threads that prepare batches. No result depends on it.
    pub workers: usize,
    /// Batches prepared ahead.
    pub prefetch: usize,
}

impl Default for EvalOptions {
    fn default() -> Self {
        Self::from(&TrainConfig::default())
    }
}

impl From<&TrainConfig> for EvalOptions {
    fn from(config: &TrainConfig) -> Self {
        Self {
            batch_size: config.eval_batch_size,
            workers: config.workers,
            prefetch: config.prefetch,
        }
    }
}

/// Logits of every exit for the labelled images of `subset`, in their order and not augmented.
///
/// The network is evaluated with its running statistics, whatever its mode; it stays on its device and
/// is not changed.
///
/// # Errors
/// [`TrainError::NoImages`] when no image has a label, [`TrainError::Table`] when a logit is not
/// finite, [`TrainError::Data`] when an image cannot be read.
pub fn evaluate(
    net: &MultiExitNet,
    subset: &Subset,
    split: Split,
    info: &DatasetInfo,
    options: &EvalOptions,
) -> Result<ExitTable, TrainError> {
    let no_images = || TrainError::NoImages {
        split: split.to_string(),
        dataset: info.name.clone(),
    };
    if (0..subset.len()).all(|row| subset.label(row) < 0) {
        return Err(no_images());
    }
    let net = net.valid();
    let device = net.devices().into_iter().next().ok_or_else(no_images)?;
    let loader = Loader::new(
        subset.clone(),
        info,
        LoaderConfig {
            workers: options.workers,
            prefetch: options.prefetch,
            ..LoaderConfig::evaluation(options.batch_size)
        },
    )?;
    let mut table = ExitTableBuilder::new(net.num_exits(), net.classes())?;
    for batch in loader.epoch(0) {
        let batch = batch?;
        let x = images(batch.images, batch.labels.len(), info, &device);
        let (logits, labels) = labelled(read(&net, x), &batch.labels, net.classes());
        table.push_batch(&logits, &labels)?;
    }
    Ok(table.finish()?)
}

/// Logits of every exit, row-major, in one transfer.
fn read(net: &MultiExitNet, x: Tensor<4>) -> Vec<Vec<f32>> {
    let outputs = net.forward(x);
    let all: Vec<Tensor<2>> = outputs.logits().cloned().collect();
    let exits = all.len();
    let values: Vec<f32> = Tensor::stack::<3>(all, 0)
        .into_data()
        .iter::<f32>()
        .collect();
    values
        .chunks(values.len() / exits)
        .map(<[f32]>::to_vec)
        .collect()
}

/// Leaves out the images without a label.
fn labelled(
    mut logits: Vec<Vec<f32>>,
    labels: &[i32],
    classes: usize,
) -> (Vec<Vec<f32>>, Vec<usize>) {
    if labels.iter().any(|label| *label < 0) {
        for exit in &mut logits {
            let rows = exit.chunks(classes).zip(labels);
            *exit = rows
                .filter(|(_, label)| **label >= 0)
                .flat_map(|(row, _)| row.to_vec())
                .collect();
        }
    }
    let labels = labels
        .iter()
        .filter_map(|label| usize::try_from(*label).ok());
    (logits, labels.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_label_are_left_out() {
        let logits = vec![vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]];
        let (logits, labels) = labelled(logits, &[1, -1, 0], 2);
        assert_eq!(logits, [[1.0, 2.0, 5.0, 6.0]]);
        assert_eq!(labels, [1, 0]);
    }
}
