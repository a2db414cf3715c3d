//! A finished run, opened for evaluation.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use offramp_core::DeviceSpec;
use offramp_data::{DataConfig, Split, Splits, Subset, open};
use offramp_heads::{ModelCard, MultiExitNet, load_model};
use offramp_policies::ExitTable;
use offramp_run::RunPaths;
use offramp_train::recipe::Recipe;
use offramp_train::{EvalOptions, evaluate};

use crate::error::CliError;

/// The network of a run folder, its card and its recipe.
pub(crate) struct Run {
    /// The folder.
    pub dir: PathBuf,
    /// The network, on the device asked for.
    pub net: MultiExitNet,
    /// The device.
    pub device: Device,
    /// What is known of it.
    pub card: ModelCard,
    /// How it was trained; nothing is known of that where it was imported.
    pub recipe: Option<Recipe>,
}

impl Run {
    /// Opens a run folder.
    pub(crate) fn open(dir: &Path, device: DeviceSpec) -> Result<Self, CliError> {
        let device = device.device()?;
        let (net, card) = load_model(dir, &device)?;
        let recipe = RunPaths::new(dir).recipe();
        let recipe = if recipe.exists() {
            Some(Recipe::load::<&str>(&recipe, &[])?)
        } else {
            None
        };
        Ok(Self {
            dir: dir.to_owned(),
            net,
            device,
            card,
            recipe,
        })
    }

    /// Values of an input image.
    pub(crate) fn image_len(&self) -> usize {
        self.card.input().len()
    }

    /// The splits that the run was trained on, or another data set with the same classes, with the
    /// run's own normalisation.
    pub(crate) fn open_data(
        &self,
        root: Option<&Path>,
        dataset: Option<&str>,
    ) -> Result<Splits, CliError> {
        let mut config = match (&self.recipe, dataset) {
            (Some(recipe), _) => recipe.data.clone(),
            (None, Some(_)) => DataConfig::default(),
            (None, None) => {
                return Err(CliError::Usage(format!(
                    "{} has no recipe.toml that would say on which data it was trained; name a \
                     data set with --dataset",
                    self.dir.display()
                )));
            }
        };
        if let Some(name) = dataset
            && name != config.dataset
        {
            config.dataset = name.to_owned();
            config.dir = None;
        }
        let mut splits = open(&config, root)?;
        self.check(&splits)?;
        splits.info.mean = self.card.mean;
        splits.info.std = self.card.std;
        Ok(splits)
    }

    fn check(&self, splits: &Splits) -> Result<(), CliError> {
        let (trained, found) = (self.card.classes.len(), splits.info.classes.len());
        if trained != found {
            return Err(CliError::Usage(format!(
                "{} was trained on {trained} classes, {} has {found}; evaluate it on a data set \
                 with the same classes",
                self.dir.display(),
                splits.info.name,
            )));
        }
        let shape = splits.info.shape;
        let seen = [shape.channels, shape.height, shape.width];
        let image = self.card.image;
        if seen != [image.channels, image.height, image.width] {
            return Err(CliError::Usage(format!(
                "{} was trained on images of {}x{}, {} has {}x{}",
                self.dir.display(),
                image.height,
                image.width,
                splits.info.name,
                shape.height,
                shape.width,
            )));
        }
        Ok(())
    }

    /// Logits of all exits over some rows.
    pub(crate) fn table(
        &self,
        splits: &Splits,
        split: Split,
        batch_size: usize,
        workers: Option<usize>,
    ) -> Result<ExitTable, CliError> {
        let mut options = match &self.recipe {
            Some(recipe) => EvalOptions::from(&recipe.train),
            None => EvalOptions::default(),
        };
        options.batch_size = batch_size;
        if let Some(workers) = workers {
            options.workers = workers;
        }
        let rows: &Subset = splits.get(split);
        Ok(evaluate(&self.net, rows, split, &splits.info, &options)?)
    }
}
