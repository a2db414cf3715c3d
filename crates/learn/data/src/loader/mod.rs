//! Batches of uint8 images, shuffled, augmented and prefetched.
//!
//! What a batch holds is a function of (seed, epoch, number of the batch): the same for any number
//! of workers, and the same whether an epoch is read from its beginning or resumed in the middle.

mod batch;
mod epoch;
mod order;

use std::sync::Arc;

pub use batch::{Batch, Windows};
pub use epoch::EpochIter;
pub use order::Interleave;

use crate::augment::{AugmentConfig, Augmenter};
use crate::error::DataError;
use crate::info::DatasetInfo;
use crate::subset::Subset;

/// Settings of a loader.
#[derive(Debug, Clone, PartialEq)]
pub struct LoaderConfig {
    /// Samples per batch.
    pub batch_size: usize,
    /// Whether each epoch is shuffled; otherwise the order of the subset.
    pub shuffle: bool,
    /// Whether the last batch is left out if it is not full.
    pub drop_last: bool,
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Threads that make batches; 0 makes them on the calling thread.
    pub workers: usize,
    /// Batches made ahead, over all workers; at least one for each. Memory is bounded by
    /// `prefetch + workers + 1` batches.
    pub prefetch: usize,
    /// Augmentation; `None` in evaluation, which takes the unchanged centre of the images.
    pub augment: Option<AugmentConfig>,
    /// How images with and without a label alternate; `None`: in their shuffled order.
    pub interleave: Option<Interleave>,
}

impl LoaderConfig {
    /// For training: shuffled, partial batch dropped, two workers.
    pub fn training(batch_size: usize, seed: u64, augment: AugmentConfig) -> Self {
        let augment = Some(augment);
        Self {
            shuffle: true,
            drop_last: true,
            seed,
            augment,
            ..Self::evaluation(batch_size)
        }
    }

    /// For validation and test images: in order, complete, not augmented.
    pub fn evaluation(batch_size: usize) -> Self {
        Self {
            batch_size,
            shuffle: false,
            drop_last: false,
            seed: 0,
            workers: 2,
            prefetch: 4,
            augment: None,
            interleave: None,
        }
    }
}

/// Makes batches of a subset, epoch after epoch.
///
/// ```
/// use offramp_data::{DataConfig, Loader, LoaderConfig, open};
///
/// let mut config = DataConfig::default();
/// config.generated.train = 100;
/// let splits = open(&config, None)?;
/// let settings = LoaderConfig::training(32, 1, config.augment.clone());
/// let loader = Loader::new(splits.train, &splits.info, settings)?;
/// assert_eq!(loader.batches(), 2); // 90 samples, the partial batch dropped
/// for batch in loader.epoch(0) {
///     let batch = batch?;
///     assert_eq!(batch.images.len(), 32 * batch.shape.bytes());
/// }
/// # Ok::<(), offramp_data::DataError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Loader {
    plan: Arc<Plan>,
}

/// What all workers share.
#[derive(Debug)]
struct Plan {
    subset: Subset,
    info: DatasetInfo,
    config: LoaderConfig,
    augmenter: Option<Augmenter>,
    /// Samples per epoch, including those of a dropped last batch.
    samples: usize,
}

impl Loader {
    /// A loader of `subset` for network inputs of `info.shape`.
    ///
    /// # Errors
    /// [`DataError::Config`] for a setting that does not fit, [`DataError::Empty`] if there would
    /// be no batch.
    pub fn new(
        subset: Subset,
        info: &DatasetInfo,
        config: LoaderConfig,
    ) -> Result<Self, DataError> {
        if config.batch_size == 0 {
            let (value, rule) = ("0".into(), "it must be at least 1".into());
            return Err(DataError::Config {
                key: "batch-size",
                value,
                rule,
            });
        }
        let none = AugmentConfig::none();
        let settings = config.augment.as_ref().unwrap_or(&none);
        let augmenter = Augmenter::new(settings, info, subset.shape())?;
        let augmenter = config.augment.is_some().then_some(augmenter);
        let samples = match config.interleave {
            None => subset.len(),
            Some(interleave) => interleave.samples(&subset)?,
        };
        let loader = Self {
            plan: Arc::new(Plan {
                subset,
                info: info.clone(),
                config,
                augmenter,
                samples,
            }),
        };
        if loader.batches() == 0 {
            let plan = &loader.plan;
            return Err(DataError::Empty {
                what: format!(
                    "an epoch of {} samples in full batches of {}",
                    plan.samples, plan.config.batch_size
                ),
                advice: "take more samples or a smaller batch".into(),
            });
        }
        Ok(loader)
    }

    /// Batches per epoch.
    pub fn batches(&self) -> usize {
        let (samples, size) = (self.plan.samples, self.plan.config.batch_size);
        if self.plan.config.drop_last {
            samples / size
        } else {
            samples.div_ceil(size)
        }
    }

    /// Samples per epoch.
    pub fn samples(&self) -> usize {
        self.plan
            .samples
            .min(self.batches() * self.plan.config.batch_size)
    }

    /// The subset that is loaded.
    pub fn subset(&self) -> &Subset {
        &self.plan.subset
    }

    /// The settings.
    pub fn config(&self) -> &LoaderConfig {
        &self.plan.config
    }

    /// The batches of an epoch, in order.
    pub fn epoch(&self, epoch: u64) -> EpochIter {
        self.epoch_from(epoch, 0)
    }

    /// The batches of an epoch from number `first_batch` on, equal to those that
    /// [`Loader::epoch`] gives there. The earlier ones are not made.
    pub fn epoch_from(&self, epoch: u64, first_batch: usize) -> EpochIter {
        EpochIter::start(self.plan.clone(), epoch, first_batch..self.batches())
    }
}
