//! Errors of training and of run folders.

use std::fmt;
use std::path::PathBuf;

use offramp_core::params::ParamError;
use offramp_core::{DeviceError, DeviceSpec, PrecisionError};
use offramp_data::{DataError, Split};
use offramp_heads::{ModelError, NetError};
use offramp_methods::MethodError;
use offramp_methods::distill::DistillError;
use offramp_policies::PolicyError;
use offramp_run::DocumentError;
use offramp_run::files::FileError;
use offramp_teachers::TeacherError;
use thiserror::Error;

use crate::checkpoint::CheckpointError;
use crate::recipe::RecipeError;

/// A run that could not be trained, or a network that could not be evaluated.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The precision, which the device lacks.
    #[error(transparent)]
    Precision(#[from] PrecisionError),
    /// The images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The method.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// A teacher.
    #[error(transparent)]
    Teacher(#[from] TeacherError),
    /// A distiller.
    #[error(transparent)]
    Distill(#[from] DistillError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The trained network's files.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A document of the run.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Another file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The outputs of the network.
    #[error(transparent)]
    Table(#[from] PolicyError),
    /// The run folder.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The loss is not finite.
    #[error(
        "step {step} (epoch {epoch:.2}): {term} is {value}; the last good checkpoint is {}; \
         lower train.optimizer.lr, raise train.warmup-epochs or set train.clip-norm; \
         with train.precision = \"fp16\" try \"bf16\"",
        checkpoint_name(checkpoint)
    )]
    NotFinite {
        /// The step, counted from 1.
        step: u64,
        /// Epochs done.
        epoch: f64,
        /// The term of the loss, `total` or `the gradient norm`.
        term: String,
        /// NaN or an infinity.
        value: f64,
        /// The newest checkpoint, if there is one yet.
        checkpoint: Option<PathBuf>,
    },
    /// Every term of the loss has weight 0.
    #[error(
        "every term of the loss has weight 0: nothing would be learned; set a weight in [method], \
         or let the exits learn from a teacher in [distill.NAME]"
    )]
    NoLoss,
    /// A teacher's outputs cannot be cached, since augmentation changes the images.
    #[error(
        "teachers.{teacher}.cache = true keeps a teacher's outputs for every image, and \
         data.augment makes another image each time; leave the cache out, or set data.augment = \
         {{ pad = 0, flip = 0.0 }}"
    )]
    CacheOfAugmented {
        /// What the recipe calls the teacher.
        teacher: String,
    },
    /// The cache of a teacher's outputs was changed during the run.
    #[error(
        "{} lacks an image or was changed during the run; delete it and start again",
        path.display()
    )]
    CacheLost {
        /// The file.
        path: PathBuf,
    },
    /// A teacher that no distiller uses.
    #[error(
        "[teachers.{teacher}] is not used: no [distill.NAME] table names it; add one, such as \
         [distill.kd] with loss = \"kd\", or leave the teacher out"
    )]
    UnusedTeacher {
        /// What the recipe calls the teacher.
        teacher: String,
    },
    /// The method looks ahead through the optimiser's step, which works with SGD only.
    #[error(
        "method {method:?} looks ahead through the optimiser's step, which works with SGD only; \
         set train.optimizer = {{ name = \"sgd\" }}"
    )]
    LookAheadOptimizer {
        /// Name of the method.
        method: &'static str,
    },
    /// The device failed during the work.
    #[error(
        "{device} failed {work}: {reason}; if its memory ran out, {}; {}",
        work.with_less_memory(checkpoint.is_some()),
        resumed(checkpoint)
    )]
    DeviceFailed {
        /// The device.
        device: DeviceSpec,
        /// What was not finished.
        work: Work,
        /// The device's message.
        reason: String,
        /// The checkpoint from which the run can be resumed.
        checkpoint: Option<PathBuf>,
    },
    /// Batch norm over several devices of a kind that has no gradients of means.
    #[error(
        "train.sync-batch-norm needs CUDA devices, or cpu to try it out; {device} cannot do it: set it to \
         false, and leave each replica enough images"
    )]
    NotSynchronised {
        /// The device.
        device: DeviceSpec,
    },
    /// A batch with fewer images than replicas.
    #[error(
        "a batch of {images} images for {replicas} replicas; set train.drop-last = true, or lower \
         train.replicas"
    )]
    FewerImagesThanReplicas {
        /// Images of the batch.
        images: usize,
        /// Replicas.
        replicas: usize,
    },
    /// Something that cannot be divided between replicas.
    #[error("{what} needs the whole batch in one place; set train.replicas = 1")]
    NotParallel {
        /// What it is.
        what: String,
    },
    /// The method looks ahead on the whole batch, which `train.accumulate` splits.
    #[error(
        "method {method:?} looks ahead on the whole batch, which train.accumulate takes apart; set \
         train.accumulate = 1, and a smaller train.batch-size if memory is short"
    )]
    LookAheadInParts {
        /// Name of the method.
        method: &'static str,
    },
    /// The backbone of `model.init-from` is another one.
    #[error(
        "model.init-from = {:?} holds {found}, which does not fit into {wanted}: {source}",
        path.display().to_string()
    )]
    InitFrom {
        /// The run folder.
        path: PathBuf,
        /// Its backbone.
        found: String,
        /// The recipe's backbone.
        wanted: String,
        /// What does not fit.
        source: Box<ParamError>,
    },
    /// Early stopping without validation images.
    #[error(
        "train.patience needs validation images: set data.val-fraction above 0, or no patience"
    )]
    NoValidation,
    /// Nothing to evaluate.
    #[error("the {split} split of {dataset} has no labelled images to evaluate")]
    NoImages {
        /// The split.
        split: String,
        /// The data set.
        dataset: String,
    },
}

/// What a device was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A step of training.
    Step {
        /// Its number, from 1.
        step: u64,
        /// Its images.
        images: usize,
        /// In how many parts they were computed.
        parts: usize,
        /// Whether the maps within blocks were kept for the backward pass: `train.checkpointing = "none"`.
        blocks_kept: bool,
    },
    /// Evaluation of a split.
    Scores {
        /// The split.
        split: Split,
        /// Steps done before.
        step: u64,
        /// Images at a time.
        images: usize,
    },
}

impl Work {
    /// What to try to save memory, of what is not in use yet; what a resumed run may change comes first.
    fn with_less_memory(self, resumable: bool) -> String {
        let (kept, others) = match self {
            Self::Step {
                images,
                parts,
                blocks_kept,
                ..
            } => {
                let accumulate = format!("--accumulate {}", 2 * parts);
                let batch = format!("train.batch-size = {}", images / 2);
                let others = [accumulate, batch].into_iter().zip([2 * parts, 2]);
                let others = others.filter(|(_, needs)| images >= *needs);
                (
                    blocks_kept.then(|| "--checkpointing blocks".to_owned()),
                    others.map(|(option, _)| option).collect(),
                )
            }
            Self::Scores { images, .. } => {
                let fewer = format!("train.eval-batch-size = {}", images / 2);
                (Some(fewer).filter(|_| images > 1), Vec::new())
            }
        };
        let (go_on, again) = if resumable {
            (kept, others)
        } else {
            (None, kept.into_iter().chain(others).collect())
        };
        let go_on = go_on.map(|option| format!("go on (--resume) with {option}"));
        let again = Some(again.join(" or ")).filter(|options| !options.is_empty());
        let again = again.map(|options| format!("start again with {options}"));
        let advice: Vec<String> = go_on.into_iter().chain(again).collect();
        if advice.is_empty() {
            "it is too small for this network".to_owned()
        } else {
            advice.join(", or ")
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { step, .. } => write!(f, "at step {step}"),
            Self::Scores { split, step, .. } => {
                write!(f, "while scoring the {split} images after step {step}")
            }
        }
    }
}

fn resumed(checkpoint: &Option<PathBuf>) -> String {
    match checkpoint {
        Some(path) => format!("--resume goes on from {}", path.display()),
        None => "there is no checkpoint yet (train.checkpoint.every-steps)".to_owned(),
    }
}

fn checkpoint_name(checkpoint: &Option<PathBuf>) -> String {
    match checkpoint {
        Some(path) => path.display().to_string(),
        None => "none, it would have been the first".into(),
    }
}

/// A run folder that cannot be used.
#[derive(Debug, Error)]
pub enum RunError {
    /// It holds a run already.
    #[error(
        "{} holds a run already: go on with it by --resume, or choose another folder with --out",
        path.display()
    )]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// It holds something else.
    #[error("{} is not empty and holds no run: choose another folder with --out", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// There is nothing to resume.
    #[error("{} holds no run to resume: begin one without --resume", path.display())]
    Nothing {
        /// The folder.
        path: PathBuf,
    },
    /// Another process trains there.
    #[error("another process is training in {}", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The run was begun with another recipe.
    #[error(
        "{}: the run was begun with `{key}` = {recorded}, the recipe now says {given}; resume it \
         as it was begun, or begin another one",
        path.display()
    )]
    OtherRecipe {
        /// Recipe of the run.
        path: PathBuf,
        /// The differing key.
        key: String,
        /// Its value in the run.
        recorded: String,
        /// Its value now.
        given: String,
    },
    /// The data have changed.
    #[error(
        "{}: an epoch had {recorded} steps when the run was begun and has {found} now: the data \
         of {dataset} have changed; begin another run",
        path.display()
    )]
    OtherData {
        /// The checkpoint.
        path: PathBuf,
        /// The data set.
        dataset: String,
        /// Steps per epoch in the checkpoint.
        recorded: u64,
        /// Steps per epoch now.
        found: u64,
    },
    /// The checkpoint of the best validation is gone.
    #[error("the best checkpoint, {}, is missing", path.display())]
    NoBest {
        /// The file.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(work: Work, checkpoint: Option<&str>) -> String {
        TrainError::DeviceFailed {
            device: DeviceSpec::Cuda(1),
            work,
            reason: "no memory".to_owned(),
            checkpoint: checkpoint.map(Into::into),
        }
        .to_string()
    }

    fn step(images: usize, parts: usize, blocks_kept: bool) -> Work {
        Work::Step {
            step: 6,
            images,
            parts,
            blocks_kept,
        }
    }

    fn scores(images: usize) -> Work {
        Work::Scores {
            split: Split::Val,
            step: 6,
            images,
        }
    }

    #[test]
    fn a_device_that_fails_is_told_with_what_needs_less_memory() {
        let advice = |work, checkpoint: Option<&str>| {
            let told = told(work, checkpoint);
            let advice = told.split("if its memory ran out, ").nth(1).unwrap();
            advice.split(';').next().unwrap().to_owned()
        };
        let some = Some("step-00000004.safetensors");
        assert_eq!(
            told(step(128, 1, true), some),
            "cuda:1 failed at step 6: no memory; if its memory ran out, go on (--resume) with \
             --checkpointing blocks, or start again with --accumulate 2 or train.batch-size = 64; \
             --resume goes on from step-00000004.safetensors"
        );
        assert_eq!(
            advice(step(128, 4, false), some),
            "start again with --accumulate 8 or train.batch-size = 64"
        );
        assert_eq!(
            advice(step(3, 2, true), None),
            "start again with --checkpointing blocks or train.batch-size = 1"
        );
        assert_eq!(
            advice(step(1, 1, false), None),
            "it is too small for this network"
        );
        assert!(
            told(scores(250), some).contains("failed while scoring the val images after step 6")
        );
        assert_eq!(
            advice(scores(250), some),
            "go on (--resume) with train.eval-batch-size = 125"
        );
        assert_eq!(
            advice(scores(250), None),
            "start again with train.eval-batch-size = 125"
        );
        assert_eq!(advice(scores(1), some), "it is too small for this network");
    }
}
