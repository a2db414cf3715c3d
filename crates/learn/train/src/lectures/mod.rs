//! What teachers say of a batch: computed, or read from a file.

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
use cache::{Cache, Layout, Writer};

/// The teachers of a run.
#[derive(Debug)]
pub(crate) struct Faculty {
    teachers: Vec<ExternalTeacher>,
    /// Where a teacher's outputs are read from; as many as teachers.
    caches: Vec<Option<Cache>>,
}

/// The training rows, for teachers that go through them once.
pub(crate) struct Rows<'a> {
    pub subset: &'a Subset,
    pub info: &'a DatasetInfo,
    pub device: &'a Device,
}

impl Faculty {
    /// Teachers that compute.
    pub fn new(teachers: Vec<ExternalTeacher>) -> Self {
        Self {
            caches: teachers.iter().map(|_| None).collect(),
            teachers,
        }
    }

    /// The same teachers on another device, where all of them compute.
    pub fn on(&self, device: &Device) -> Self {
        Self::new(
            (self.teachers.iter())
                .map(|teacher| teacher.on(device))
                .collect(),
        )
    }

    /// Opens the cache of every teacher for which the recipe asks for one; what is not there yet is
    /// computed. `say` is told of each.
    ///
    /// # Errors
    /// When images vary, so that no output can be used twice, or a file cannot be written or read.
    pub fn open_caches(
        &mut self,
        recipe: &Recipe,
        distill: &Distillers,
        rows: &Rows,
        say: &mut dyn FnMut(&str),
    ) -> Result<(), TrainError> {
        for (at, teacher) in self.teachers.iter().enumerate() {
            let uses = distill.uses(at);
            let config = &recipe.teachers[teacher.name()];
            if !config.cache || uses == Uses::Nothing {
                continue;
            }
            if recipe.data.augment != AugmentConfig::none() {
                return Err(TrainError::CacheOfVaried {
                    teacher: teacher.name().to_owned(),
                });
            }
            let key = key(&config.run, &recipe.data, rows.subset, uses)?;
            let path = path(&config.run, &key);
            let cache = match Cache::open(&path, &key, rows.subset.indices(), rows.device)? {
                Some(cache) => cache,
                None => {
                    say(&format!(
                        "teacher {}: computing its outputs for {} images once",
                        teacher.name(),
                        rows.subset.len()
                    ));
                    fill(
                        &path,
                        &key,
                        teacher,
                        uses,
                        rows,
                        recipe.train.eval_batch_size,
                    )?;
                    Cache::open(&path, &key, rows.subset.indices(), rows.device)?
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

    /// What every teacher says of a batch; nothing of those that nobody listens to.
    pub fn lectures(
        &self,
        input: &Input,
        distill: &Distillers,
    ) -> Result<Vec<ExitOutputs>, TrainError> {
        let lecture = |(at, teacher): (usize, &ExternalTeacher)| match &self.caches[at] {
            _ if distill.uses(at) == Uses::Nothing => Ok(ExitOutputs::default()),
            Some(cache) => Ok(cache.outputs(&input.rows)?),
            None => Ok(teacher.outputs(input.images.clone())),
        };
        self.teachers.iter().enumerate().map(lecture).collect()
    }
}

/// Everything that a teacher's outputs depend on, the pictures included.
fn key(run: &Path, data: &DataConfig, subset: &Subset, uses: Uses) -> Result<String, TrainError> {
    let card: ModelCard = load_card(run)?;
    let pictures: String = (0..subset.len())
        .map(|position| files::sha256(subset.image(position)))
        .collect();
    let pictures = files::sha256(pictures.as_bytes());
    let all =
        serde_json::json!({ "teacher": card, "data": data, "pictures": pictures, "uses": uses });
    Ok(files::sha256(all.to_string().as_bytes()))
}

/// Beside the teacher, so that several students share it.
fn path(run: &Path, key: &str) -> PathBuf {
    RunPaths::new(run)
        .outputs()
        .join(format!("{}.cache", &key[..16]))
}

/// Computes what a teacher says of all rows, in their order.
fn fill(
    path: &Path,
    key: &str,
    teacher: &ExternalTeacher,
    uses: Uses,
    rows: &Rows,
    batch_size: usize,
) -> Result<(), TrainError> {
    let config = LoaderConfig::evaluation(batch_size);
    let loader = Loader::new(rows.subset.clone(), rows.info, config)?;
    let blocks = loader.epoch(0).map(|batch| {
        let batch = batch?;
        let count = batch.indices.len();
        let images: Tensor<4> = images(batch.images, count, rows.info, rows.device);
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
        rows: rows.subset.indices(),
    }
    .write(blocks)
}
