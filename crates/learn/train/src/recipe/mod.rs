//! A recipe: one experiment as a TOML file.
//!
//! Defaults are in the code; a recipe states only what it changes. Errors name file and key, and the
//! nearest key that exists.

mod overrides;
mod strict;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use offramp_core::DeviceSpec;
use offramp_data::DataConfig;
use offramp_methods::MethodConfig;
use offramp_methods::distill::DistillConfig;
use offramp_run::files::{self, FileError};
use offramp_run::{WITHOUT_EFFECT, first_difference};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use toml::{Table, Value};

pub use offramp_run::Difference;

use crate::config::{ModelConfig, TrainConfig};
use overrides::Override;

/// A whole experiment: data, network, method and training.
///
/// ```
/// use offramp_train::Recipe;
///
/// let recipe = Recipe::parse("[train]\nepochs = 3", "three.toml".as_ref(), &["seed=7"])?;
/// assert_eq!((recipe.name.as_str(), recipe.seed, recipe.train.epochs), ("three", 7, 3));
/// let error = Recipe::parse::<&str>("[train]\nepoch = 3", "three.toml".as_ref(), &[]).unwrap_err();
/// assert!(error.to_string().contains("did you mean `train.epochs`?"));
/// # Ok::<(), offramp_train::recipe::RecipeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Recipe {
    /// Name of the experiment; that of the file if absent.
    pub name: String,
    /// Seed of the initial weights, the order of the images and their augmentation.
    pub seed: u64,
    /// The device; the command line overrides it.
    pub device: DeviceSpec,
    /// The data set, its splits and augmentation.
    pub data: DataConfig,
    /// The network.
    pub model: ModelConfig,
    /// The training method.
    pub method: MethodConfig,
    /// External teachers by name.
    pub teachers: BTreeMap<String, TeacherConfig>,
    /// Distillers by name: what exits learn from the teachers.
    pub distill: BTreeMap<String, DistillConfig>,
    /// Optimiser, schedule and other settings of the training.
    pub train: TrainConfig,
}

/// A `[teachers.NAME]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TeacherConfig {
    /// Its run folder: one that was trained here, or imported.
    pub run: PathBuf,
    /// Whether its outputs for every training image are computed once and cached in `outputs/` of its run
    /// folder, for this student and others; needs training without augmentation.
    #[serde(default)]
    pub cache: bool,
}

/// A recipe that cannot be used.
#[derive(Debug, Error)]
pub enum RecipeError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not TOML.
    #[error("{}: not a TOML file: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The parser's message, with the line.
        reason: String,
    },
    /// A key that does not exist or a value that is not allowed.
    #[error("{origin}: `{key}`: {problem}")]
    Key {
        /// The file, or the setting on the command line.
        origin: String,
        /// Dotted path of the key.
        key: String,
        /// What is wrong.
        problem: String,
    },
    /// A setting on the command line that is not `key=value`.
    #[error("{text:?}: {reason}; write it as key=value, such as train.epochs=3")]
    Override {
        /// As given.
        text: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The recipe cannot be written as TOML.
    #[error("the recipe cannot be written as TOML: {reason}")]
    Unwritable {
        /// The writer's message.
        reason: String,
    },
}

impl Recipe {
    /// Reads a recipe and applies settings of the form `key=value` to it.
    ///
    /// # Errors
    /// [`RecipeError`] naming the file and the key.
    pub fn load<S: AsRef<str>>(path: &Path, overrides: &[S]) -> Result<Self, RecipeError> {
        Self::parse(&files::read_to_string(path)?, path, overrides)
    }

    /// As [`Recipe::load`], from the text of `path`.
    ///
    /// # Errors
    /// As [`Recipe::load`].
    pub fn parse<S: AsRef<str>>(
        text: &str,
        path: &Path,
        overrides: &[S],
    ) -> Result<Self, RecipeError> {
        let mut tree: Table =
            text.parse()
                .map_err(|error: toml::de::Error| RecipeError::Syntax {
                    path: path.to_owned(),
                    reason: error.to_string().trim_end().to_owned(),
                })?;
        let overrides = overrides
            .iter()
            .map(|text| Override::parse(text.as_ref()))
            .collect::<Result<Vec<_>, _>>()?;
        for setting in &overrides {
            setting.apply(&mut tree)?;
        }
        let name = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        tree.entry("name")
            .or_insert_with(|| Value::String(name.unwrap_or_default()));

        let known = Self::default().tree()?;
        fill_names(&mut tree, &known, true);
        let located = |at: &[String], problem| RecipeError::Key {
            origin: match overrides.iter().rev().find(|o| at.starts_with(&o.path)) {
                Some(setting) => format!("--set {}", setting.text),
                None => path.display().to_string(),
            },
            key: at.join("."),
            problem,
        };
        let recipe: Self =
            strict::decode(&tree, &known).map_err(|bad| located(&bad.path, bad.problem))?;
        let checks = [
            ("model", recipe.model.check()),
            ("train", recipe.train.check()),
        ];
        for (table, check) in checks {
            check.map_err(|(key, problem)| {
                let at: Vec<String> = [table]
                    .into_iter()
                    .chain(key.split('.'))
                    .map(String::from)
                    .collect();
                located(&at, problem)
            })?;
        }
        Ok(recipe)
    }

    /// The resolved recipe, every default written out.
    ///
    /// # Errors
    /// [`RecipeError::Unwritable`] when a value has no TOML form.
    pub fn to_toml(&self) -> Result<String, RecipeError> {
        toml::to_string_pretty(&self.tree()?).map_err(|error| RecipeError::Unwritable {
            reason: error.to_string(),
        })
    }

    /// The first key whose value differs from that of `other` and may change a result.
    ///
    /// # Errors
    /// [`RecipeError::Unwritable`] when a value has no TOML form.
    pub fn difference(&self, other: &Self) -> Result<Option<Difference>, RecipeError> {
        Ok(first_difference(
            &self.tree()?,
            &other.tree()?,
            &WITHOUT_EFFECT,
        ))
    }

    fn tree(&self) -> Result<Table, RecipeError> {
        Table::try_from(self).map_err(|error| RecipeError::Unwritable {
            reason: error.to_string(),
        })
    }
}

/// A table without a `name` has that of the default, so that
/// `[train.optimizer] lr = 0.05` needs no name.
fn fill_names(tree: &mut Table, known: &Table, root: bool) {
    if let (false, Some(name)) = (root, known.get("name")) {
        tree.entry("name").or_insert_with(|| name.clone());
    }
    for (key, value) in tree.iter_mut() {
        if let (Value::Table(inner), Some(Value::Table(known))) = (value, known.get(key)) {
            fill_names(inner, known, false);
        }
    }
}
