//! What can go wrong.

use offramp_cpu::program::ProgramError;
use thiserror::Error;

/// A network that cannot be compiled, or a call that does not fit its plan.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExecutorError {
    /// An operation with sizes that no step is made for.
    #[error("{node}: {reason}")]
    Unsupported {
        /// The node of the graph.
        node: String,
        /// What is not served.
        reason: String,
    },
    /// Segments that do not follow each other.
    #[error("segment {segment} does not fit the chain: {reason}")]
    Chain {
        /// Its number, from 0.
        segment: usize,
        /// What is wrong.
        reason: String,
    },
    /// More images than the plan was compiled for.
    #[error("{images} images are more than the {most} that the plan was compiled for")]
    Batch {
        /// Images of the call.
        images: usize,
        /// The most that the plan takes.
        most: usize,
    },
    /// The steps do not fit their memory, or a port of a call has a wrong length.
    #[error(transparent)]
    Program(#[from] ProgramError),
}
