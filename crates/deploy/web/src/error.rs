//! Errors of a network and of requests to it.

use offramp_executor::{ExecutorError, FileError};
use offramp_policies::PolicyError;
use offramp_run::DocumentError;
use thiserror::Error;

/// A network that cannot be used, or a question that it cannot answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WebError {
    /// The plan is damaged.
    #[error("the plan is of no use: {0}")]
    Plan(#[from] FileError),
    /// An older program wrote it.
    #[error(
        "the plan does not say which network it is; write it again with `offramp export RUN --format plan`"
    )]
    Anonymous,
    /// More memory than a page should take.
    #[error("the network needs {needed} bytes of memory, at most {most} are given to it")]
    Memory {
        /// Bytes for one image.
        needed: usize,
        /// The limit.
        most: usize,
    },
    /// The policy is another network's.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// `policy.json` is damaged or another network's.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A text that is not what was asked for.
    #[error("{what}: {source}")]
    Json {
        /// What it should be.
        what: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A question before there is a network.
    #[error("no network is loaded")]
    NoNetwork,
    /// Several budgets at once.
    #[error("max_macs, exit and policy exclude each other; give one of them")]
    Several,
    /// An exit that is not there.
    #[error("exit = {exit}: the model has exits 0 to {last}")]
    Exit {
        /// The one asked for.
        exit: usize,
        /// The deepest.
        last: usize,
    },
    /// Less than anything costs.
    #[error("max_macs = {macs}: exit 0 alone costs {least}")]
    Budget {
        /// What was offered.
        macs: f64,
        /// Cost of the first exit, MACs.
        least: u64,
    },
    /// The size and the bytes of an image do not belong together.
    #[error(
        "an image of {width} x {height} pixels and {bytes} bytes; RGBA has four a pixel, and at least one pixel"
    )]
    Image {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes that there are.
        bytes: usize,
    },
    /// The network refuses.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
}
