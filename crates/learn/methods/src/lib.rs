//! Training methods of multi-exit networks: outputs and labels become named loss terms.
//!
//! What exits learn from other, trained networks is in [`distill`].
//!
//! A method is a teacher ([`offramp_teachers`]), losses ([`offramp_losses`]) and a schedule.
//! Each has one file here, which states the paper, the equation, the terms and the defaults,
//! and one line in the table of `registry.rs`; help, documents and tests read that table
//! through [`registry`]. Methods of other crates are added by [`MethodConfig::register`].
//!
//! ```
//! use offramp_methods::{MethodConfig, registry};
//!
//! let names: Vec<_> = registry().iter().map(|entry| entry.name).collect();
//! assert!(names.contains(&"mate"));
//! assert_eq!(MethodConfig::default().name(), "plain");
//! ```

mod beed;
mod byot;
mod ce_weights;
mod check;
mod classification;
pub mod distill;
mod dml;
mod eed;
mod error;
mod l2w_den;
mod last_exit;
mod look_ahead;
mod mate;
mod method;
mod mlcsd;
mod mutual;
mod okddip;
mod one;
mod phuong_lampert;
mod plain;
mod ramp;
mod registry;
mod terms;

pub use beed::{Beed, BeedConfig};
pub use byot::{Byot, ByotConfig};
pub use ce_weights::CeWeights;
pub use dml::{Dml, DmlConfig};
pub use eed::{Eed, EedConfig, EedForm};
pub use error::MethodError;
pub use l2w_den::{L2wDen, L2wDenConfig, WeightInput, ZeroMean};
pub use last_exit::{LastExitTeaching, LastExitTeachingConfig};
pub use look_ahead::{LookAhead, TrialStep};
pub use mate::{Mate, MateConfig, MateWeights};
pub use method::{Method, NetworkInfo, StepContext};
pub use mlcsd::{FeatureForm, Mlcsd, MlcsdConfig, MlcsdForm};
pub use mutual::MutualTarget;
pub use okddip::{Okddip, OkddipConfig};
pub use one::{One, OneConfig};
pub use phuong_lampert::{PhuongLampert, PhuongLampertConfig};
pub use plain::{Plain, PlainConfig};
pub use ramp::{Ramp, RampLength, RampShape};
pub use registry::{
    AnyMethod, BoxedMethod, MethodConfig, MethodEntry, MethodKind, MethodObject, registry,
};
pub use terms::{LossTerm, LossTerms};

pub use offramp_losses::{SoftForm, Targets};
