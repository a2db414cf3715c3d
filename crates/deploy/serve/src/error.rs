//! Errors that keep a service from starting.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

/// Why a model could not be loaded, whatever it is loaded from.
pub type LoadError = Box<dyn std::error::Error + Send + Sync>;

/// A service that cannot start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// No model was given.
    #[error("there is no model to serve; name a run folder")]
    NoModels,
    /// Two models have one name.
    #[error("two models are called {name:?}; give one of them another name, NAME=RUN")]
    SameName {
        /// The name.
        name: String,
    },
    /// A model could not be loaded.
    #[error("model {name:?}: {source}")]
    Load {
        /// The model.
        name: String,
        /// Why.
        source: LoadError,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of API keys has none.
    #[error("{}: no keys; write one a line, of 16 characters or more", path.display())]
    NoKeys {
        /// The file.
        path: PathBuf,
    },
    /// An API key can be guessed.
    #[error("{}, line {line}: the key has {length} characters, at least 16 are needed", path.display())]
    ShortKey {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Characters of the key.
        length: usize,
    },
    /// A certificate or its key cannot be used.
    #[error("{}: {reason}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A limit makes no sense.
    #[error("{key} = {value}: {rule}")]
    Limit {
        /// The limit.
        key: &'static str,
        /// What was given.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
}
