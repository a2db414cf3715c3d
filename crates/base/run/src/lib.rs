//! What the folder of a run holds, and what every command does with it.
//!
//! Each document has one type that is written and read, one version, one checker of every value, and errors
//! that name file, key and value. The crate knows no tensors: `burn` is not among what it needs.
//!
//! | file | type |
//! |---|---|
//! | `model.json` | [`ModelCard`] |
//! | `eval.json` | [`EvalReport`] |
//! | `metrics.jsonl` | [`Record`], [`Metrics`] |
//! | `policy.json` | [`PolicyFile`] |
//! | `calibrate.json` | [`Calibration`], [`RuleCurve`] |
//! | `latency.json` | [`Latency`] |
//! | `rows.json` | [`Rows`] |
//! | `gallery.json` | [`Gallery`] |
//! | `recipe.toml` | [`RecipeText`]; the whole of it is `Recipe` of `offramp-train` |
//! | where they lie | [`RunPaths`] |
//!
//! | rule | items |
//! |---|---|
//! | files are there whole or not at all | [`files`] |
//! | the given policy, else that of the run, else the deepest exit | [`ChosenPolicy`] |
//! | what the run says beyond its card | [`RunFacts`] |
//! | from an image file to an input | [`ImageInput`] |
//! | what computes | [`Engine`] |
//! | how long it takes to each exit | [`ExitTimes`] |
//! | keys of a recipe that change no result | [`WITHOUT_EFFECT`] |
//! | "did you mean" | [`nearest`] |

mod calibration;
mod check;
mod document;
mod engine;
mod eval;
mod facts;
pub mod files;
mod folder;
mod gallery;
mod input;
mod latency;
mod metrics;
mod model;
mod policy;
mod policy_file;
mod recipe;
mod rows;
mod rule_curve;
mod suggest;
mod temporary;
mod time;

pub use calibration::{Calibration, Full};
pub use document::{Document, DocumentError, Fault};
pub use engine::{Engine, EngineError};
pub use eval::{EnsembleReport, EvalReport, ExitReport, known};
pub use facts::RunFacts;
pub use folder::{RunPaths, checkpoint_name};
pub use gallery::{Gallery, GalleryImage};
pub use input::{ImageInput, normalise};
pub use latency::Latency;
pub use metrics::{
    EvalRecord, FinalRecord, METRICS_FORMAT, Metrics, Record, StartRecord, TrainRecord,
};
pub use model::ModelCard;
pub use offramp_picture::DecodeError;
pub use policy::ChosenPolicy;
pub use policy_file::{FittedOn, PolicyFile};
pub use recipe::{Difference, RecipeText, WITHOUT_EFFECT, first_difference};
pub use rows::{Answers, Rows};
pub use rule_curve::RuleCurve;
pub use suggest::nearest;
pub use temporary::remove_stale_in_run;
pub use time::{ExitTimes, Repeats, Summary, Times, rules_at_exits};
