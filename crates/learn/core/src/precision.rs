//! What a network computes with in training.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, FloatDType, Tensor};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::DeviceSpec;

/// The numbers that a network computes with while it is trained: `f32`, `bf16` or `fp16`.
///
/// Weights, their gradients, statistics of batch norms and losses are float32 in any case; what is
/// narrower are the maps between layers, which take most of the memory and of the time (Micikevicius
/// et al., *Mixed Precision Training*, ICLR 2018).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Precision {
    /// float32: 24 bits of mantissa.
    #[default]
    F32,
    /// bfloat16: the range of float32 with 8 bits of mantissa.
    Bf16,
    /// float16: 11 bits of mantissa, and a range that ends at 65,504; gradients below 6e-8 are 0, so
    /// that the loss must be scaled.
    Fp16,
}

/// A precision that cannot be had.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PrecisionError {
    /// The name is not one of ours.
    #[error("no precision is called {name:?}; there are f32, bf16 and fp16")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The device has no arithmetic for these numbers.
    #[error(
        "the device {device} cannot compute in {precision}; choose {} or another device",
        alternatives(supported)
    )]
    Unsupported {
        /// The device.
        device: DeviceSpec,
        /// What was asked for.
        precision: Precision,
        /// What it can compute in.
        supported: Vec<Precision>,
    },
}

fn alternatives(supported: &[Precision]) -> String {
    let names: Vec<_> = supported.iter().map(Precision::to_string).collect();
    format!("--precision {}", names.join(" or "))
}

impl Precision {
    /// All of them, widest first.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Fp16];

    /// The type of the numbers, as burn calls it.
    pub fn dtype(self) -> FloatDType {
        match self {
            Self::F32 => FloatDType::F32,
            Self::Bf16 => FloatDType::BF16,
            Self::Fp16 => FloatDType::F16,
        }
    }

    /// A tensor in these numbers; the very same where it is in them already.
    pub fn cast<const D: usize>(self, tensor: Tensor<D>) -> Tensor<D> {
        if FloatDType::from(tensor.dtype()) == self.dtype() {
            tensor
        } else {
            tensor.cast(self.dtype())
        }
    }

    /// Checks that a device computes in these numbers; `spec` is what it is called. Storing them is not
    /// enough: many Vulkan devices store bfloat16 and cannot add it.
    ///
    /// # Errors
    /// [`PrecisionError::Unsupported`].
    pub fn check(self, spec: DeviceSpec, device: &Device) -> Result<(), PrecisionError> {
        let has =
            |precision: &Self| *precision == Self::F32 || device.supports_dtype(precision.dtype());
        if has(&self) {
            Ok(())
        } else {
            Err(PrecisionError::Unsupported {
                device: spec,
                precision: self,
                supported: Self::ALL.into_iter().filter(has).collect(),
            })
        }
    }
}

impl FromStr for Precision {
    type Err = PrecisionError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "f32" | "fp32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "fp16" | "f16" => Ok(Self::Fp16),
            _ => Err(PrecisionError::Unknown {
                name: name.to_owned(),
            }),
        }
    }
}

impl TryFrom<String> for Precision {
    type Error = PrecisionError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<Precision> for String {
    fn from(precision: Precision) -> Self {
        precision.to_string()
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Fp16 => "fp16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_named() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        let error = "half".parse::<Precision>().unwrap_err().to_string();
        assert!(
            error.contains("\"half\"") && error.contains("bf16"),
            "{error}"
        );
    }

    #[cfg(feature = "flex")]
    #[test]
    fn flex_computes_in_all_of_them() {
        let device = Device::flex().autodiff();
        for precision in Precision::ALL {
            assert_eq!(precision.check(DeviceSpec::Cpu, &device), Ok(()));
            let x = precision.cast(Tensor::<1>::from_floats([1.0, 2.0], &device));
            assert_eq!(FloatDType::from(x.dtype()), precision.dtype());
            assert_eq!((x.clone() + x).sum().into_scalar::<f32>(), 6.0);
        }
    }

    #[cfg(feature = "ndarray")]
    #[test]
    #[expect(deprecated, reason = "burn drops this backend in its next version")]
    fn ndarray_has_no_narrow_numbers() {
        let error = Precision::Bf16.check(DeviceSpec::Ndarray, &Device::ndarray());
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("ndarray")
                && error.contains("bf16")
                && error.contains("--precision f32"),
            "{error}"
        );
    }

    #[test]
    fn a_cast_to_the_type_at_hand_is_no_operation() {
        let device = crate::default_device().unwrap().autodiff();
        let x = Tensor::<1>::ones([2], &device).require_grad();
        // The leaf itself, not something made of it: only a leaf says that it requires a gradient.
        assert!(Precision::F32.cast(x.clone()).is_require_grad());
        assert!(!(x * 1.0).is_require_grad());
    }
}
