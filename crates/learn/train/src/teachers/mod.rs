//! The external teachers of a run: their outputs are computed, or read from a cache file.

mod cache;

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use offramp_core::ExitOutputs;
use offramp_data::{AugmentConfig, DataConfig, DatasetInfo, Loader, LoaderConfig, Subset};
use offramp_heads::{ModelCard, load_card};
use offramp_methods::distill::{Distillers, Uses};
use offramp_run::{RunPaths, files};
use offramp_teachers::ExternalTeacher;

use crate::TrainError;
use crate::batch::{Input, images};
use crate::recipe::Recipe;
use cache::{Layout, TeacherCache, Writer};

/// The teachers of a run.
#[derive(Debug)]
pub(crate) struct Teachers {
    teachers: Vec<ExternalTeacher>,
    /// The cache of each teacher's outputs, where there is one.
    caches: Vec<Option<TeacherCache>>,
}

/// The training images, for teachers whose outputs are computed once.
pub(crate) struct TrainImages<'a> {
    pub subset: &'a Subset,
    pub info: &'a DatasetInfo,
    pub device: &'a Device,
}

impl Teachers {
    /// Teachers without caches.
    pub(crate) fn new(teachers: Vec<ExternalTeacher>) -> Self {
        Self {
            caches: teachers.iter().map(|_| None).collect(),
            teachers,
        }
    }

    /// The same teachers on another device, without caches.
    pub(crate) fn on(&self, device: &Device) -> Self {
        Self::new(
            (self.teachers.iter())
                .map(|teacher| teacher.on(device))
                .collect(),
        )
    }

    /// Opens the cache of every teacher for which the recipe asks for one, and fills those that are
    /// missing. `say` receives a line for each.
    ///
    /// # Errors
    /// When images are augmented, so that no output can be used twice, or a file cannot be written or
    /// read.
    pub(crate) fn open_caches(
        &mut self,
        recipe: &Recipe,
        distill: &Distillers,
        images: &TrainImages,
        say: &mut dyn FnMut(&str),
    ) -> Result<(), TrainError> {
        for (at, teacher) in self.teachers.iter().enumerate() {
            let uses = distill.uses(at);
            let config = &recipe.teachers[teacher.name()];
            if !config.cache || uses == Uses::Nothing {
                continue;
            }
            if recipe.data.augment != AugmentConfig::none() {
                return Err(TrainError::CacheOfAugmented {
                    teacher: teacher.name().to_owned(),
                });
            }
            let key = key(&config.run, &recipe.data, images.subset, uses)?;
            let path = path(&config.run, &key);
            let cache =
                match TeacherCache::open(&path, &key, images.subset.indices(), images.device)? {
                    Some(cache) => cache,
                    None => {
                        say(&format!(
                            "teacher {}: computing its outputs for {} images once",
                            teacher.name(),
                            images.subset.len()
                        ));
                        fill(
                            &path,
                            &key,
                            teacher,
                            uses,
                            images,
                            recipe.train.eval_batch_size,
                        )?;
                        TeacherCache::open(&path, &key, images.subset.indices(), images.device)?
                            .ok_or_else(|| TrainError::CacheLost { path: path.clone() })?
                    }
                };
            say(&format!(
                "teacher {}: outputs read from {} ({:.1} MB)",
                teacher.name(),
                path.display(),
                cache.bytes() as f64 / 1e6
            ));
            self.caches[at] = Some(cache);
        }
        Ok(())
    }

    /// The outputs of every teacher for a batch; empty for those that no distiller uses.
    pub(crate) fn outputs(
        &self,
        input: &Input,
        distill: &Distillers,
    ) -> Result<Vec<ExitOutputs>, TrainError> {
        let outputs_of = |(at, teacher): (usize, &ExternalTeacher)| match &self.caches[at] {
            _ if distill.uses(at) == Uses::Nothing => Ok(ExitOutputs::default()),
            Some(cache) => Ok(cache.outputs(&input.indices)?),
            None => Ok(teacher.outputs(input.images.clone())),
        };
        self.teachers.iter().enumerate().map(outputs_of).collect()
    }
}

/// A hash of everything that a teacher's outputs depend on, the images included. The names in the
/// JSON are part of the hash: another name would make every cache that exists useless.
fn key(run: &Path, data: &DataConfig, subset: &Subset, uses: Uses) -> Result<String, TrainError> {
    let card: ModelCard = load_card(run)?;
    let images: String = (0..subset.len())
        .map(|position| files::sha256(subset.image(position)))
        .collect();
    let images = files::sha256(images.as_bytes());
    let all =
        serde_json::json!({ "teacher": card, "data": data, "pictures": images, "uses": uses });
    Ok(files::sha256(all.to_string().as_bytes()))
}

/// The cache lies in the teacher's run folder, so that several students share it.
fn path(run: &Path, key: &str) -> PathBuf {
    RunPaths::new(run)
        .outputs()
        .join(format!("{}.cache", &key[..16]))
}

/// Computes and writes a teacher's outputs for all training images, in their order.
fn fill(
    path: &Path,
    key: &str,
    teacher: &ExternalTeacher,
    uses: Uses,
    train_images: &TrainImages,
    batch_size: usize,
) -> Result<(), TrainError> {
    let config = LoaderConfig::evaluation(batch_size);
    let loader = Loader::new(train_images.subset.clone(), train_images.info, config)?;
    let blocks = loader.epoch(0).map(|batch| {
        let batch = batch?;
        let count = batch.indices.len();
        let images: Tensor<4> = images(batch.images, count, train_images.info, train_images.device);
        Ok(teacher.outputs(images))
    });
    let mut blocks = blocks.peekable();
    let layout = match blocks.peek() {
        Some(Ok(outputs)) => Layout::of(outputs, uses),
        // The error itself comes out below.
        _ => Layout::default(),
    };
    Writer {
        path,
        key,
        layout,
        indices: train_images.subset.indices(),
    }
    .write(blocks)
}
