//! Errors that end the program with a message.

use std::path::PathBuf;

use offramp_backbones::BackboneError;
use offramp_core::DeviceError;
use offramp_data::DataError;
use offramp_executor::{ExecutorError, FileError as PlanError};
use offramp_graph::GraphError;
use offramp_heads::{ModelError, NetError};
use offramp_infer::InferError;
use offramp_interop::export::ExportError;
use offramp_interop::{ImportError, NameError, ReadError};
use offramp_policies::PolicyError;
use offramp_report::ReportError;
use offramp_run::files::FileError;
use offramp_run::{DecodeError, DocumentError, EngineError};
use offramp_serve::ServeError;
use offramp_train::TrainError;
use offramp_train::recipe::RecipeError;
use thiserror::Error;

/// Any error of the libraries, and those of the command line itself.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// There is no such backbone, or no such option of it.
    #[error(transparent)]
    Backbone(#[from] BackboneError),
    /// Data could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The device cannot be had.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A network could not be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// An image could not be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A document of a run folder could not be read or written.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// An image could not be written.
    #[error("an image for gallery.json: {0}")]
    GalleryImage(#[from] image::ImageError),
    /// Weights could not be imported.
    #[error(transparent)]
    Import(Box<ImportError>),
    /// A runner could not be made.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// A network that loads and does not answer.
    #[error("the network of `{}` cannot answer: {source}", run.display())]
    NoAnswer {
        /// The run's folder.
        run: PathBuf,
        /// What it gave instead.
        source: EngineError,
    },
    /// A plan could not be made or run.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// A network has no graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A plan's file could not be written or read.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A plan of another model.
    #[error(
        "{}: a plan of another model ({found:?}, the run's is {expected:?}); make one with `offramp export RUN \
         --format plan`",
        path.display()
    )]
    OtherPlan {
        /// The file.
        path: PathBuf,
        /// Beginning of its checksum.
        found: String,
        /// Beginning of the run's.
        expected: String,
    },
    /// The saved network could not be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A network cannot be built.
    #[error(transparent)]
    Net(#[from] NetError),
    /// Thresholds could not be fitted or read.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The recipe could not be read.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A report could not be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// An option about names of tensors cannot be used.
    #[error(transparent)]
    Rename(#[from] NameError),
    /// The threads of a service cannot be started.
    #[error("the service's threads cannot be started: {0}")]
    Runtime(std::io::Error),
    /// A service cannot start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Training or evaluation failed.
    #[error(transparent)]
    Train(Box<TrainError>),
    /// Files of a data set are not what they should be.
    #[error("`{name}` is damaged: {failed}; remove `{}` and fetch it again", folder.display())]
    Damaged {
        /// The data set.
        name: String,
        /// Its folder.
        folder: PathBuf,
        /// The checks that failed.
        failed: String,
    },
    /// A result could not be written as JSON.
    #[error("the result cannot be written as JSON: {0}")]
    Json(serde_json::Error),
    /// An option or a combination of options makes no sense.
    #[error("{0}")]
    Usage(String),
}

impl From<ImportError> for CliError {
    fn from(error: ImportError) -> Self {
        Self::Import(Box::new(error))
    }
}

impl From<ReadError> for CliError {
    fn from(error: ReadError) -> Self {
        ImportError::from(error).into()
    }
}

impl From<TrainError> for CliError {
    fn from(error: TrainError) -> Self {
        Self::Train(Box::new(error))
    }
}
