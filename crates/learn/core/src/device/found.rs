//! What this machine has of the devices that this build can use.
//!
//! burn opens a device when the first tensor asks for it, and panics then if it cannot. These
//! functions ask before.

#[cfg(feature = "cuda")]
pub(super) use cuda::cuda;
#[cfg(feature = "wgpu")]
pub(super) use wgpu::{has_graphics_card, wgpu};

#[cfg(feature = "cuda")]
mod cuda {
    use burn::tensor::{Device, DeviceType};

    use crate::device::{DeviceError, DeviceSpec};

    /// The NVIDIA GPU of that index.
    pub(in crate::device) fn cuda(index: usize) -> Result<Device, DeviceError> {
        // Empty without a driver.
        let found = Device::enumerate(DeviceType::Cuda).into_iter().count();
        if index < found {
            return Ok(Device::cuda(index));
        }
        let (reason, hint) = match found {
            0 => (
                "libcuda, which comes with NVIDIA's driver, is not there or lists no GPU"
                    .to_owned(),
                "install the driver and look whether nvidia-smi lists the GPU; or take --device cpu",
            ),
            _ => (
                format!("it has {found}, cuda:0 to cuda:{}", found - 1),
                "take one of these",
            ),
        };
        let device = DeviceSpec::Cuda(index);
        Err(DeviceError::Missing {
            device,
            reason,
            hint,
        })
    }
}

#[cfg(feature = "wgpu")]
mod wgpu {
    use std::sync::OnceLock;

    use burn::tensor::{Device, DeviceKind, DeviceType};

    use crate::device::{DeviceError, DeviceSpec};

    /// The adapter that wgpu thinks best, software too. Opened once a process.
    pub(in crate::device) fn wgpu() -> Result<Device, DeviceError> {
        static OPENED: OnceLock<Result<(), DeviceError>> = OnceLock::new();
        let opened = OPENED.get_or_init(|| match Device::wgpu_options().init() {
            Ok(_) => Ok(()),
            Err(error) => Err(DeviceError::Missing {
                device: DeviceSpec::Wgpu,
                reason: error.to_string(),
                hint: "install a Vulkan driver (`vulkaninfo --summary` lists what there is): the graphics card's own, \
                       or Mesa's for a processor (Debian: mesa-vulkan-drivers); or take --device cpu",
            }),
        });
        opened.clone()?;
        Ok(Device::wgpu(DeviceKind::DefaultDevice))
    }

    /// Whether there is an adapter that is not a processor. Looked for once a process.
    pub(in crate::device) fn has_graphics_card() -> bool {
        static FOUND: OnceLock<bool> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let found = Device::enumerate(DeviceType::Wgpu);
            let cards = [
                DeviceKind::DiscreteGpu(0),
                DeviceKind::IntegratedGpu(0),
                DeviceKind::VirtualGpu(0),
            ];
            let cards = cards.map(Device::wgpu);
            found.into_iter().any(|device| cards.contains(&device))
        })
    }
}
