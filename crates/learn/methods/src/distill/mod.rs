//! Distillation from other networks: `[distill.NAME]` of a recipe.
//!
//! A method of `[method]` defines how exits are classified and teach each other; a distiller defines
//! what an exit learns from another network, trained before or beside it. The two combine freely:
//! any number of distillers, each for the exits and teachers that it names, beside any method.
//!
//! A distiller gets one exit at a time as if it were a network of its own ([`ExitFeatures`]): its stages,
//! the last map of its head, its embedding and its logits. So a method written for networks with
//! one exit applies to every exit of a student, and to every exit of a teacher.

mod adapt;
mod at;
mod atsc;
mod batch;
mod ca_mkd;
mod config;
mod crd;
mod distillers;
mod dkd;
mod dml;
mod ebkd;
mod fitnet;
mod kd;
mod pkt;
mod registry;
mod rkd;
mod semckd;
mod several;
mod simkd;
mod sp;
mod srrl;
mod teacher_space;
mod vid;

pub use at::{AtConfig, AttentionTransfer};
pub use atsc::{Atsc, AtscConfig};
pub use batch::{DistillBatch, DistillInfo, ExitFeatures, ExitShapes, TeacherInfo};
pub use ca_mkd::{CaMkd, CaMkdConfig};
pub use config::{DistillConfig, DistillError};
pub use crd::{Crd, CrdConfig};
pub use distillers::{Distillers, StepBatch, Student};
pub use dkd::{Dkd, DkdConfig};
pub use dml::{Dml, DmlConfig};
pub use ebkd::{Ebkd, EbkdConfig};
pub use fitnet::{FitNet, FitNetConfig};
pub use kd::{Kd, KdConfig};
pub use pkt::{PktConfig, ProbabilisticTransfer};
pub use registry::{
    AnyDistiller, BoxedDistiller, Distiller, DistillerConfig, DistillerEntry, DistillerKind,
    DistillerObject, TeacherCount, Uses, distillers,
};
pub use rkd::{Rkd, RkdConfig};
pub use semckd::{SemCkd, SemCkdConfig};
pub use simkd::{SimKd, SimKdConfig};
pub use sp::{SimilarityPreserving, SpConfig};
pub use srrl::{Srrl, SrrlConfig};
pub use vid::{Vid, VidConfig};
