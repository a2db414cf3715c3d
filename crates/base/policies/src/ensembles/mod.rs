//! Ensembles of the exits so far.
//!
//! An ensemble replaces the softmax of exit `k` by a combination of the outputs of exits `0..=k`. It is
//! applied before the policy, like a temperature: any policy works on its outputs.

mod most_confident;
mod product;
mod zero_time_waste;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

pub use most_confident::MostConfident;
pub use product::ProductEnsemble;
pub use zero_time_waste::{ZtwEnsemble, ZtwExit};

use crate::{FitRows, PolicyError, fit, named};

/// Any ensemble a file or a command line can name; `name` in JSON is the name in [`ensembles`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Ensemble {
    /// See [`ZtwEnsemble`].
    ZeroTimeWaste(ZtwEnsemble),
    /// See [`ProductEnsemble`].
    Product(ProductEnsemble),
    /// See [`MostConfident`].
    MostConfident(MostConfident),
}

impl Serialize for Ensemble {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::ZeroTimeWaste(ensemble) => named::serialize("zero-time-waste", ensemble, out),
            Self::Product(ensemble) => named::serialize("product", ensemble, out),
            Self::MostConfident(ensemble) => named::serialize("most-confident", ensemble, out),
        }
    }
}

impl<'de> Deserialize<'de> for Ensemble {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let (name, fields) = named::deserialize(input)?;
        let entry = EnsembleEntry::named(&name).map_err(serde::de::Error::custom)?;
        (entry.read)(fields).map_err(serde::de::Error::custom)
    }
}

/// The output of one exit, before the ensemble.
pub(crate) struct ExitOutput<'a> {
    pub(crate) exit: usize,
    pub(crate) logits: &'a [f32],
    /// `ln p`, with the exit's temperature.
    pub(crate) log_probabilities: &'a [f64],
}

impl Ensemble {
    /// Adds an exit to `memory`, which is empty before exit 0, and writes the log-probabilities of the
    /// ensemble of the exits so far.
    pub(crate) fn add(&self, output: &ExitOutput<'_>, memory: &mut Vec<f64>, out: &mut Vec<f64>) {
        match self {
            Self::ZeroTimeWaste(ensemble) => ensemble.add(output, memory, out),
            Self::Product(ensemble) => ensemble.add(output, memory, out),
            Self::MostConfident(ensemble) => ensemble.add(output, memory, out),
        }
    }

    /// Refuses an ensemble fitted for another number of exits or classes.
    ///
    /// # Errors
    /// [`PolicyError::ExitCount`] or [`PolicyError::Classes`].
    pub fn check(&self, exits: usize, classes: usize) -> Result<(), PolicyError> {
        let (found, own_classes) = match self {
            Self::ZeroTimeWaste(ensemble) => (Some(ensemble.exits().len()), ensemble.classes()),
            Self::Product(ensemble) => (Some(ensemble.weights().len()), None),
            Self::MostConfident(_) => (None, None),
        };
        if let Some(found) = found.filter(|&found| found != exits) {
            return Err(PolicyError::ExitCount {
                what: "exits of the ensemble",
                found,
                expected: exits,
            });
        }
        match own_classes.filter(|&found| found != classes) {
            Some(found) => Err(PolicyError::Classes {
                found,
                expected: classes,
            }),
            None => Ok(()),
        }
    }
}

/// One line of [`ensembles`].
#[derive(Clone, Copy, Debug)]
pub struct EnsembleEntry {
    /// The name: `name` in JSON (`kind` in format 1), `--ensemble` on the command line.
    pub name: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
    /// Makes one for the network of the rows, trained on them where there is something to train.
    pub fit: fn(&FitRows) -> Result<Ensemble, PolicyError>,
    read: fn(Value) -> serde_json::Result<Ensemble>,
}

/// Every ensemble. Help, tables and the tests that run over all ensembles read this list.
pub fn ensembles() -> &'static [EnsembleEntry] {
    &[
        EnsembleEntry {
            name: "zero-time-waste",
            doc: "geometric mean of the exits so far, weights and biases trained (Zero Time Waste)",
            fit: |rows| Ok(Ensemble::ZeroTimeWaste(fit::fit_zero_time_waste(rows)?)),
            read: |fields| serde_json::from_value(fields).map(Ensemble::ZeroTimeWaste),
        },
        EnsembleEntry {
            name: "product",
            doc: "product of the exits' clipped logits so far, deep exits weigh more (Product Anytime)",
            fit: |rows| {
                let exits = rows.table().exits();
                Ok(Ensemble::Product(ProductEnsemble::rising(exits)?))
            },
            read: |fields| serde_json::from_value(fields).map(Ensemble::Product),
        },
        EnsembleEntry {
            name: "most-confident",
            doc: "the surest answer of the exits so far: confidence never falls (Caching Anytime)",
            fit: |_| Ok(Ensemble::MostConfident(MostConfident {})),
            read: |fields| serde_json::from_value(fields).map(Ensemble::MostConfident),
        },
    ]
}

/// Subtracts `ln sum exp`, so that the exponentials sum to 1. Nothing changes when all are `-inf`.
pub(crate) fn normalise(log_weights: &mut [f64]) {
    let max = log_weights
        .iter()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY {
        return;
    }
    let sum: f64 = log_weights.iter().map(|w| (w - max).exp()).sum();
    let ln_sum = sum.ln();
    for w in log_weights {
        *w = (*w - max) - ln_sum;
    }
}

impl EnsembleEntry {
    /// The entry called `name`.
    ///
    /// # Errors
    /// [`PolicyError::UnknownName`], with the names there are.
    pub fn named(name: &str) -> Result<Self, PolicyError> {
        let entry = ensembles().iter().find(|entry| entry.name == name);
        entry.copied().ok_or_else(|| PolicyError::UnknownName {
            what: "ensemble",
            name: name.to_owned(),
            known: named::list(ensembles().iter().map(|entry| entry.name)),
        })
    }
}
