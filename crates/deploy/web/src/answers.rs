//! Answers to the page: those of the service, as far as a page needs them.

use offramp_policies::ExitView;
use serde::Serialize;

/// A network and what can be asked of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelAnswer {
    /// Its name.
    pub name: String,
    /// Names of the classes, in the order of the labels.
    pub classes: Vec<String>,
    /// The data set that it was trained on.
    pub dataset: String,
    /// Height and width of an input image.
    pub image_size: [usize; 2],
    /// The name of `image_size` in earlier versions.
    pub image: [usize; 2],
    /// Its exits, shallowest first.
    pub exits: Vec<ExitFacts>,
    /// What decides where an image leaves, unless the page chooses.
    pub policy: String,
    /// Accuracy against cost on the test rows, cheapest first; empty without `calibrate.json`.
    pub curve: Vec<CurvePoint>,
    /// SHA-256 of the weights.
    pub sha256: String,
    /// Files that were left out, and why.
    pub notes: Vec<String>,
}

/// An exit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExitFacts {
    /// From 0.
    pub exit: usize,
    /// Multiply-accumulates up to here.
    pub macs: u64,
    /// Accuracy on the test rows, percent, if all left here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
}

/// One point of the curve.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Mean multiply-accumulates of an image.
    pub mean_macs: f64,
    /// Accuracy, percent.
    pub top1: f64,
    /// The share of images that leave at each exit.
    pub exit_fractions: Vec<f64>,
}

/// The answer of one exit to an image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExitAnswer {
    /// The exit, from 0.
    pub exit: usize,
    /// Name of its most probable class.
    pub class: String,
    /// The place of the class in the list.
    pub label: usize,
    /// Its probability.
    pub confidence: f32,
    /// The name of `confidence` in earlier versions.
    pub probability: f32,
    /// Multiply-accumulates up to here.
    pub macs: u64,
    /// Whether the image leaves here; exits after the first such one would not be computed.
    pub stops: bool,
    /// The five most probable classes, falling.
    pub top_k: Vec<ClassAnswer>,
}

/// A class and its probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassAnswer {
    /// Its name.
    pub class: String,
    /// Its place in the list of classes.
    pub label: usize,
    /// Its probability.
    pub probability: f32,
}

impl ClassAnswer {
    /// The most probable classes, falling; of equals the lower class.
    pub(crate) fn top_k(view: &ExitView<'_>, classes: &[String], count: usize) -> Vec<Self> {
        let answer = |label: usize| Self {
            class: classes[label].clone(),
            label,
            probability: view.probabilities[label],
        };
        view.top_k(count).into_iter().map(answer).collect()
    }
}
