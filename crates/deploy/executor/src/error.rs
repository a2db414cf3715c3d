//! Errors of compiling and running.

use offramp_cpu::program::ProgramError;
use offramp_policies::PolicyError;
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
    /// A description that is another network's.
    #[error("the description does not fit the plan: {reason}")]
    About {
        /// What does not fit.
        reason: String,
    },
    /// The number of costs is not that of the exits.
    #[error("{found} costs were given for {exits} exits")]
    Costs {
        /// Number of costs.
        found: usize,
        /// Number of exits.
        exits: usize,
    },
    /// An image that the network cannot read.
    #[error(
        "an image of {found} values, the first {finite} of them finite; the network takes {expected} finite ones"
    )]
    Pixels {
        /// Values of the image.
        found: usize,
        /// How many come before the first that is NaN or infinite.
        finite: usize,
        /// Values of an image of the network.
        expected: usize,
    },
    /// A stream without room for another image.
    #[error("{waiting} images wait already, as many as the plan was compiled for; step first")]
    Full {
        /// Images that wait for the first segment.
        waiting: usize,
    },
    /// A policy of another network.
    #[error("the policy does not fit the network: {0}")]
    Policy(#[from] PolicyError),
    /// A logit that is NaN or infinite: the weights are damaged.
    #[error(
        "exit {exit} gives image {ticket} a logit of {value} for class {class}: the weights hold values \
         that are not finite, or too large"
    )]
    NonFiniteLogit {
        /// The image's ticket.
        ticket: u64,
        /// The exit, from 0.
        exit: usize,
        /// The class.
        class: usize,
        /// The logit.
        value: f32,
    },
    /// The steps do not fit their memory, or a port of a call has a wrong length.
    #[error(transparent)]
    Program(#[from] ProgramError),
}
