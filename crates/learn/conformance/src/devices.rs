//! The devices that the checks run on.

use offramp_core::{DeviceError, DeviceSpec};

use crate::Place;

/// The environment variable that names devices, separated by commas. They must be there.
const VARIABLE: &str = "OFFRAMP_DEVICES";

/// A device to check.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name.
    pub spec: DeviceSpec,
    /// The device, or why it cannot be had.
    pub place: Result<Place, DeviceError>,
}

/// The devices to check: those that `OFFRAMP_DEVICES` names (`cpu,wgpu`), or all that this build has.
///
/// # Errors
/// When the variable names something that is no device.
pub fn devices() -> Result<Vec<Found>, DeviceError> {
    let specs = match std::env::var(VARIABLE) {
        Err(_) => DeviceSpec::built(),
        Ok(names) => (names.split(','))
            .map(|name| name.trim().parse())
            .collect::<Result<_, _>>()?,
    };
    let found = |spec: DeviceSpec| Found {
        spec,
        place: spec.device().map(Place::on),
    };
    Ok(specs.into_iter().map(found).collect())
}
