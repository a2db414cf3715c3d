//! Choosing a device at run time.

mod error;
mod found;

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

pub use error::DeviceError;

/// A device as a user names it: `auto`, `cpu`, `ndarray`, `cuda`, `cuda:1` or `wgpu`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceSpec {
    /// The best one that this build has and this machine too: `cuda`, else `wgpu` on a graphics card,
    /// else `cpu`.
    #[default]
    Auto,
    /// burn's `flex` backend with the kernels of this project.
    Cpu,
    /// burn's `ndarray` backend.
    Ndarray,
    /// An NVIDIA GPU, by index.
    Cuda(usize),
    /// A GPU through Vulkan, Metal or DirectX 12, or a processor behind one of them (Mesa's llvmpipe). Of
    /// several the one that `CUBECL_WGPU_DEFAULT_DEVICE` names.
    Wgpu,
}

impl FromStr for DeviceSpec {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let unknown = || DeviceError::Unknown {
            name: name.to_owned(),
        };
        Ok(match name {
            "auto" => Self::Auto,
            "cpu" | "flex" => Self::Cpu,
            "ndarray" => Self::Ndarray,
            "cuda" => Self::Cuda(0),
            "wgpu" => Self::Wgpu,
            _ => match name.strip_prefix("cuda:") {
                Some(index) => Self::Cuda(index.parse().map_err(|_| unknown())?),
                None => return Err(unknown()),
            },
        })
    }
}

impl TryFrom<String> for DeviceSpec {
    type Error = DeviceError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<DeviceSpec> for String {
    fn from(spec: DeviceSpec) -> Self {
        spec.to_string()
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Ndarray => f.write_str("ndarray"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Wgpu => f.write_str("wgpu"),
        }
    }
}

impl DeviceSpec {
    /// The environment variable that names the device of a process: the default of `--device`,
    /// and the device on which this project's tests, examples and benches run.
    pub const VARIABLE: &str = "OFFRAMP_DEVICE";

    /// The device that [`DeviceSpec::VARIABLE`] names; [`DeviceSpec::Auto`] if it is not set.
    ///
    /// # Errors
    /// [`DeviceError::Environment`] when the value is not the name of a device.
    pub fn from_env() -> Result<Self, DeviceError> {
        match std::env::var_os(Self::VARIABLE) {
            None => Ok(Self::Auto),
            Some(name) => Self::from_variable(&name.to_string_lossy()),
        }
    }

    fn from_variable(name: &str) -> Result<Self, DeviceError> {
        name.parse().map_err(|source| DeviceError::Environment {
            source: Box::new(source),
        })
    }

    /// The devices that this build has, best first; whether the machine has them is another matter.
    pub fn built() -> Vec<Self> {
        [
            cfg!(feature = "cuda").then_some(Self::Cuda(0)),
            cfg!(feature = "wgpu").then_some(Self::Wgpu),
            cfg!(feature = "flex").then_some(Self::Cpu),
            cfg!(feature = "ndarray").then_some(Self::Ndarray),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// This device, or what [`Auto`](Self::Auto) stands for in this build on this machine.
    pub fn best(self) -> Self {
        match self {
            Self::Auto => {
                let mut candidates = Self::built().into_iter();
                candidates.find(|spec| spec.is_found()).unwrap_or(self)
            }
            device => device,
        }
    }

    /// The burn device, without gradients (call [`Device::autodiff`] to train).
    ///
    /// # Errors
    /// [`DeviceError::NotBuilt`] when this build lacks the backend, [`DeviceError::Missing`] when this
    /// machine lacks the device or its driver.
    pub fn device(self) -> Result<Device, DeviceError> {
        match self.best() {
            Self::Auto => Err(self.not_built("flex")),
            #[cfg(feature = "flex")]
            Self::Cpu => Ok(Device::flex()),
            #[cfg(not(feature = "flex"))]
            Self::Cpu => Err(self.not_built("flex")),
            #[cfg(feature = "ndarray")]
            #[expect(deprecated, reason = "burn drops this backend in its next version")]
            Self::Ndarray => Ok(Device::ndarray()),
            #[cfg(not(feature = "ndarray"))]
            Self::Ndarray => Err(self.not_built("ndarray")),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => found::cuda(index),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Err(self.not_built("cuda")),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => found::wgpu(),
            #[cfg(not(feature = "wgpu"))]
            Self::Wgpu => Err(self.not_built("wgpu")),
        }
    }

    /// `count` devices for data-parallel training: with CUDA this one and those after it, else the processor
    /// `count` times.
    ///
    /// # Errors
    /// [`DeviceError::Alone`] for devices that are not numbered.
    pub fn neighbours(self, count: usize) -> Result<Vec<Self>, DeviceError> {
        let device = |k: usize| match self.best() {
            Self::Cuda(index) => Ok(Self::Cuda(index + k)),
            device @ (Self::Cpu | Self::Ndarray) => Ok(device),
            device => Err(DeviceError::Alone { device, count }),
        };
        (0..count).map(device).collect()
    }

    /// Whether [`Auto`](Self::Auto) may stand for it.
    fn is_found(self) -> bool {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => found::cuda(index).is_ok(),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => found::has_graphics_card(),
            _ => true,
        }
    }

    fn not_built(self, feature: &'static str) -> DeviceError {
        let available: Vec<_> = Self::built().iter().map(Self::to_string).collect();
        DeviceError::NotBuilt {
            device: self,
            feature,
            available: if available.is_empty() {
                "none".into()
            } else {
                available.join(", ")
            },
        }
    }
}

/// The burn device that the environment asks for, see [`DeviceSpec::from_env`], without gradients.
///
/// # Errors
/// [`DeviceError::Environment`] when the variable names no device, [`DeviceError::NotBuilt`] when
/// this build lacks its backend.
pub fn default_device() -> Result<Device, DeviceError> {
    DeviceSpec::from_env()?.device()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in ["auto", "cpu", "ndarray", "cuda:3", "wgpu"] {
            assert_eq!(name.parse::<DeviceSpec>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse(), Ok(DeviceSpec::Cuda(0)));
    }

    #[test]
    fn replicas_are_the_devices_that_follow_or_one_processor() {
        let two = |spec: DeviceSpec| spec.neighbours(2);
        assert_eq!(
            two(DeviceSpec::Cuda(1)),
            Ok(vec![DeviceSpec::Cuda(1), DeviceSpec::Cuda(2)])
        );
        assert_eq!(two(DeviceSpec::Cpu), Ok(vec![DeviceSpec::Cpu; 2]));
        let error = two(DeviceSpec::Wgpu).unwrap_err().to_string();
        assert!(
            error.contains("wgpu") && error.contains("train.replicas"),
            "{error}"
        );
    }

    #[test]
    fn unknown_names_are_named() {
        for name in ["gpu", "cuda:", "cuda:x", ""] {
            let error = name.parse::<DeviceSpec>().unwrap_err();
            assert!(error.to_string().contains(&format!("{name:?}")));
        }
    }

    #[test]
    fn a_wrong_variable_is_named() {
        assert_eq!(
            DeviceSpec::from_variable("ndarray"),
            Ok(DeviceSpec::Ndarray)
        );
        let error = DeviceSpec::from_variable("npu").unwrap_err().to_string();
        assert!(
            error.contains("OFFRAMP_DEVICE") && error.contains("\"npu\""),
            "{error}"
        );
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_missing_backend_says_how_to_build_it() {
        let error = DeviceSpec::Cuda(0).device().unwrap_err().to_string();
        assert!(error.contains("--features cuda"), "{error}");
    }
}
