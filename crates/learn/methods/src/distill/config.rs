//! The `[distill.NAME]` tables of a recipe.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::DistillerConfig;
use crate::{MethodError, Ramp};

/// What some exits learn from some teachers.
///
/// ```toml
/// [teachers.resnet56]
/// run = "runs/resnet56"
///
/// [distill.dkd]
/// loss = { name = "dkd", temperature = 4.0 }   # or just "dkd"
/// exits = [1, 2]                               # left out: all
/// teachers = ["resnet56"]                      # left out: all
/// weight = 0.5
/// ramp = { epochs = 20, shape = "linear" }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DistillConfig {
    /// The distiller and its settings.
    pub loss: DistillerConfig,
    /// Weight of its terms, for each exit.
    #[serde(default = "one")]
    pub weight: f64,
    /// The exits that learn; empty: all.
    #[serde(default)]
    pub exits: Vec<usize>,
    /// Names of the teachers; empty: all.
    #[serde(default)]
    pub teachers: Vec<String>,
    /// Ramp-up of the weight.
    #[serde(default = "no_ramp")]
    pub ramp: Ramp,
}

fn one() -> f64 {
    1.0
}

fn no_ramp() -> Ramp {
    Ramp::NONE
}

/// Distillation that cannot be set up.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum DistillError {
    /// The distiller's settings, or student and teacher do not fit.
    #[error("distill.{table}, exit {exit}: {source}")]
    Distiller {
        /// The table's name.
        table: String,
        /// The exit that was to learn.
        exit: usize,
        /// What is wrong.
        source: MethodError,
    },
    /// The weight is negative or not finite.
    #[error("distill.{table}.weight = {weight} must be finite and at least 0")]
    Weight {
        /// The table's name.
        table: String,
        /// The weight.
        weight: f64,
    },
    /// An exit that the network does not have.
    #[error("distill.{table}.exits names exit {exit}; this network's exits are 0 to {last}")]
    Exit {
        /// The table's name.
        table: String,
        /// The exit.
        exit: usize,
        /// The network's last exit.
        last: usize,
    },
    /// An exit or a teacher that is named twice, and would count twice.
    #[error(
        "distill.{table}.{key} names {value} twice; name it once, and raise the weight if meant"
    )]
    Twice {
        /// The table's name.
        table: String,
        /// `exits` or `teachers`.
        key: &'static str,
        /// The exit or the teacher.
        value: String,
    },
    /// A teacher that the recipe does not have.
    #[error("distill.{table}.teachers names {name:?}; the teachers of this recipe are {known}")]
    Teacher {
        /// The table's name.
        table: String,
        /// The teacher.
        name: String,
        /// The teachers of the recipe.
        known: String,
    },
    /// Teachers for a distiller that takes none.
    #[error(
        "distill.{table} names teachers, and {loss:?} trains networks of its own instead; leave \
         them out"
    )]
    Unwanted {
        /// The table's name.
        table: String,
        /// The distiller.
        loss: &'static str,
    },
    /// No teacher for a distiller that needs one.
    #[error("distill.{table} needs a teacher; add a table [teachers.NAME] with run = \"FOLDER\"")]
    NoTeacher {
        /// The table's name.
        table: String,
    },
}
