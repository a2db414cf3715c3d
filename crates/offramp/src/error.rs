//! Errors of loading and predicting.

use std::path::PathBuf;

use offramp_executor::{ExecutorError, FileError};
use offramp_policies::PolicyError;
use offramp_run::{DecodeError, DocumentError};
use thiserror::Error;

/// A run that cannot be loaded, or an image that cannot be answered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither a folder nor a file.
    #[error("{}: there is no such run folder or plan", path.display())]
    NoRun {
        /// The path given.
        path: PathBuf,
    },
    /// A run folder without a plan.
    #[error(
        "{}: the folder holds no export/f32.plan or export/int8.plan; `offramp export {} --format plan` writes \
         one, and with the feature `model` a plan is made of the network itself",
        run.display(), run.display()
    )]
    NoPlan {
        /// The folder.
        run: PathBuf,
    },
    /// A plan that does not say of which network it is.
    #[error(
        "{}: the plan does not say of which network it is; write it with `offramp export RUN --format plan`",
        path.display()
    )]
    Unnamed {
        /// The file.
        path: PathBuf,
    },
    /// A plan of another network than that of the run.
    #[error(
        "{}: the plan is of the model {found}, the run's is {expected}; export it again, or remove it",
        path.display()
    )]
    OtherPlan {
        /// The file.
        path: PathBuf,
        /// First digits of the checksum in the plan.
        found: String,
        /// First digits of the checksum in `model.json`.
        expected: String,
    },
    /// An option of [`LoadOptions`](crate::LoadOptions) out of its range.
    #[error("{key} is {value}; it is 1 to {most}")]
    Option {
        /// The field.
        key: &'static str,
        /// Its value.
        value: usize,
        /// The largest value.
        most: usize,
    },
    /// An image without pixels.
    #[error("an image of {width}x{height} pixels has none to look at")]
    EmptyImage {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// The plan's file is damaged or of another version.
    #[error(transparent)]
    Plan(#[from] FileError),
    /// A document of the run folder, or the policy, is damaged or of another network.
    #[error(transparent)]
    Document(Box<DocumentError>),
    /// An exit that does not exist.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// An image file that cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The network cannot be compiled, or its weights give no finite answer.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The network of the run folder cannot be read or compiled.
    #[cfg(feature = "model")]
    #[error("{}: {source}", run.display())]
    Model {
        /// The folder.
        run: PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<DocumentError> for Error {
    fn from(error: DocumentError) -> Self {
        Self::Document(Box::new(error))
    }
}
