//! Errors of a runner.

use offramp_policies::PolicyError;
use thiserror::Error;

/// A runner that cannot be made, or an input that it cannot answer.
#[derive(Debug, Error)]
pub enum InferError {
    /// The policy was made for another network.
    #[error("the policy does not fit the network: {0}")]
    Policy(#[from] PolicyError),
    /// The number of costs is not that of the exits.
    #[error("{found} costs were given for {exits} exits")]
    Costs {
        /// Number of costs.
        found: usize,
        /// Number of exits.
        exits: usize,
    },
    /// Images that the network was not trained for.
    #[error(
        "the images are {}x{} with {} channels, the network was trained on {}x{} with {}",
        found[1], found[2], found[0], expected[1], expected[2], expected[0]
    )]
    ImageShape {
        /// Channels, height and width of the images.
        found: [usize; 3],
        /// Those of the network.
        expected: [usize; 3],
    },
    /// A logit that is NaN or infinite: damaged weights or input.
    #[error(
        "exit {exit} gives image {image} a logit of {value} for class {class}: \
         the weights or the input hold values that are not finite"
    )]
    NonFiniteLogit {
        /// The image's place in the batch or the stream, from 0.
        image: u64,
        /// The exit, from 0.
        exit: usize,
        /// The class.
        class: usize,
        /// The logit.
        value: f32,
    },
}
