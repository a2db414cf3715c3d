//! The vocabulary of offramp: what a stage, an exit, a cost and a device are.
//!
//! Nothing here reads images, trains or decides; the crates that do agree on
//! these types. Exits are numbered from 0, shallowest first, everywhere.
//!
//! | feature | backend |
//! |---|---|
//! | `flex` (default) | CPU, with the kernels of `offramp-kernels` |
//! | `ndarray` | CPU, burn's older backend |
//! | `cuda` | NVIDIA GPUs |
//! | `wgpu`, `vulkan` | any GPU with Vulkan, Metal or DirectX 12 |

pub mod boxed;
mod device;
mod exit;
mod gradients;
pub mod images;
mod network;
pub mod params;
mod precision;
pub mod registry;

pub use boxed::{BoxedBackbone, BoxedHead};
pub use device::{DeviceError, DeviceSpec, default_device};
pub use exit::{ExitOutput, ExitOutputs, widened};
pub use gradients::{add_gradient, add_gradients};
pub use network::{Backbone, ExitHead, Features, StageInfo};
pub use offramp_graph::{Cost, MapShape};
pub use offramp_run::{files, nearest};
pub use precision::{Precision, PrecisionError};
