use offramp_core::{DeviceError, DeviceSpec};

use crate::Place;

/// The environment variable that names devices, separated by commas. They must be there.
const VARIABLE: &str = "OFFRAMP_DEVICES";

/// The devices to check: those that `OFFRAMP_DEVICES` names (`cpu,wgpu`), or all that this build has.
///
/// With each, why it cannot be used, if so.
///
/// # Errors
/// When the variable names something that is no device.
pub fn devices() -> Result<Vec<(DeviceSpec, Result<Place, DeviceError>)>, DeviceError> {
    let specs = match std::env::var(VARIABLE) {
        Err(_) => DeviceSpec::built(),
        Ok(names) => (names.split(','))
            .map(|name| name.trim().parse())
            .collect::<Result<_, _>>()?,
    };
    let place = |spec: DeviceSpec| (spec, spec.device().map(Place::on));
    Ok(specs.into_iter().map(place).collect())
}
