//! Distillation from other networks: `[distill.NAME]` of a recipe.
//!
//! A method of `[method]` says how exits are classified and teach each other; a distiller says
//! what an exit learns from a trained network. The two combine freely: any number of distillers,
//! each for the exits and from the teachers it names, beside any method.
//!
//! A distiller sees one exit at a time as if it were a network of its own ([`View`]): its stages,
//! the last map of its head, its embedding and its logits. So a method written for networks with
//! one exit applies to every exit of a student, and to every exit of a teacher.

mod atsc;
mod ca_mkd;
mod config;
mod ebkd;
mod kd;
mod lesson;
mod plan;
mod registry;
mod several;
mod simkd;
mod teacher_space;

pub use atsc::{Atsc, AtscConfig};
pub use ca_mkd::{CaMkd, CaMkdConfig};
pub use config::{DistillConfig, DistillError};
pub use ebkd::{Ebkd, EbkdConfig};
pub use kd::{Kd, KdConfig};
pub use lesson::{Lesson, LessonPlan, TeacherPlan, View, ViewShape};
pub use plan::{Distillers, Student, TaughtBatch};
pub use registry::{
    AnyDistiller, Distiller, DistillerConfig, DistillerEntry, Teachers, distillers,
};
pub use simkd::{SimKd, SimKdConfig};
