//! The small JSON files of a run folder, as far as the report needs them.

use offramp_policies::OperatingPoint;
use serde::{Deserialize, Serialize};

/// `eval.json`; a number that was not finite is `None`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Scores {
    pub(crate) split: String,
    pub(crate) samples: usize,
    pub(crate) exits: Vec<ExitScore>,
    pub(crate) ensemble: Option<EnsembleScore>,
}

/// One exit on its own.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ExitScore {
    pub(crate) top1: Option<f64>,
    pub(crate) top5: Option<f64>,
    pub(crate) nll: Option<f64>,
    pub(crate) ece: Option<f64>,
    pub(crate) macs: u64,
    pub(crate) params: u64,
}

/// All exits together.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct EnsembleScore {
    pub(crate) top1: Option<f64>,
}

/// `model.json`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Card {
    #[serde(default)]
    pub(crate) classes: Vec<String>,
    pub(crate) dataset: Option<String>,
    pub(crate) commit: Option<String>,
    #[serde(default)]
    pub(crate) sha256: String,
}

/// `calibrate.json`, what `offramp calibrate RUN --json` prints.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Calibration {
    pub(crate) rows: Vec<OperatingPoint>,
    pub(crate) scored: Option<OperatingPoint>,
    policy: Option<Fitted>,
}

#[derive(Clone, Debug, Deserialize)]
struct Fitted {
    model: String,
}

impl Calibration {
    /// Why the file does not belong to the run.
    pub(crate) fn fault(&self, sha256: &str) -> Option<String> {
        let other = self.policy.as_ref().filter(|fitted| fitted.model != sha256);
        other.map(|fitted| {
            format!(
                "it was made for model {:.12}, not for this one",
                fitted.model
            )
        })
    }
}

/// `latency.json`: the time of an image that leaves at each exit, measured on some machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// A description of the machine.
    pub hardware: String,
    /// Milliseconds for one image, by the exit at which it leaves, shallowest first.
    pub exits_ms: Vec<f64>,
}

impl Latency {
    pub(crate) fn fault(&self, exits: Option<usize>) -> Option<String> {
        if exits.is_some_and(|exits| exits != self.exits_ms.len()) {
            return Some(format!(
                "it has {} exits, the run others",
                self.exits_ms.len()
            ));
        }
        let bad = self
            .exits_ms
            .iter()
            .find(|ms| !(ms.is_finite() && **ms > 0.0));
        bad.map(|ms| format!("{ms} ms is no time"))
    }
}

/// `gallery.json`: test images that left at each exit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gallery {
    /// A description of the policy.
    pub policy: String,
    /// The images, in the order to show them in.
    pub pictures: Vec<Picture>,
}

/// An image of a [`Gallery`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Picture {
    /// The exit it left at.
    pub exit: usize,
    /// Name of the class it shows.
    pub label: String,
    /// Name of the class that the exit answered.
    pub prediction: String,
    /// The exit's probability of that class, 0 to 1.
    pub confidence: f64,
    /// The image, a PNG in base64.
    pub png: String,
}

impl Gallery {
    pub(crate) fn fault(&self) -> Option<String> {
        let bad = self.pictures.iter().position(|picture| !picture.is_png());
        bad.map(|at| format!("image {at} is no PNG in base64"))
    }
}

impl Picture {
    /// Whether the data can be nothing but a PNG; anything else is kept out of the page.
    fn is_png(&self) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        self.png.starts_with("iVBORw0KGgo") && self.png.bytes().all(plain)
    }
}
