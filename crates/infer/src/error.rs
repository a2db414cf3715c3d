//! What can go wrong before anything is computed.

use offramp_policies::PolicyError;
use thiserror::Error;

/// A runner that cannot be made or an input that it cannot take.
#[derive(Debug, Error)]
pub enum InferError {
    /// The policy was made for another network.
    #[error("the policy does not fit the network: {0}")]
    Policy(#[from] PolicyError),
    /// One cost an exit is needed.
    #[error("{found} costs were given for {exits} exits")]
    Costs {
        /// Number of costs.
        found: usize,
        /// Number of exits.
        exits: usize,
    },
}
