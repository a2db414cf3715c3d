//! Why a device cannot be had.

use thiserror::Error;

use super::DeviceSpec;

/// A device that cannot be had.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DeviceError {
    /// The name is not one of ours.
    #[error("no device is called {name:?}; there are auto, cpu, ndarray, cuda, cuda:N and wgpu")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// This program was built without the backend.
    #[error(
        "this build has no {device} backend; build with `cargo build --release --features {feature}` \
         (built in: {available})"
    )]
    NotBuilt {
        /// What was asked for.
        device: DeviceSpec,
        /// The cargo feature that brings it.
        feature: &'static str,
        /// What this build has.
        available: String,
    },
    /// This machine has no such device, or no driver for it.
    #[error("this machine has no device {device}: {reason}; {hint}")]
    Missing {
        /// What was asked for.
        device: DeviceSpec,
        /// What was found instead.
        reason: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// Several devices of a kind of which offramp uses one.
    #[error(
        "{count} replicas need {count} devices; of {device} one is used: take cuda, or train.replicas = 1"
    )]
    Alone {
        /// What was asked for.
        device: DeviceSpec,
        /// How many.
        count: usize,
    },
    /// The environment variable [`DeviceSpec::VARIABLE`] names no device.
    #[error("the environment variable {}: {source}", DeviceSpec::VARIABLE)]
    Environment {
        /// What is wrong with its value.
        source: Box<DeviceError>,
    },
}
