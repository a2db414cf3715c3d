//! The answers of the service.

use offramp_policies::Answer;
use offramp_run::known;
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Card;
use crate::models::Live;
use crate::worker::Done;

/// The answers to a request, in the order of its images.
#[derive(Serialize, ToSchema)]
pub(crate) struct PredictAnswer {
    /// The model that answered.
    pub(crate) model: String,
    /// A description of what decided where an image leaves.
    #[schema(example = "runs/demo/policy.json")]
    pub(crate) policy: String,
    /// One per image.
    pub(crate) predictions: Vec<Prediction>,
}

/// The answer to one image.
#[derive(Serialize, ToSchema)]
pub(crate) struct Prediction {
    /// Name of the most probable class.
    pub(crate) class: String,
    /// Its place in the list of classes.
    pub(crate) label: usize,
    /// Its probability at the exit taken.
    pub(crate) confidence: f32,
    /// The name of `confidence` in earlier versions.
    #[schema(deprecated)]
    pub(crate) probability: f32,
    /// The most probable classes, falling.
    pub(crate) top_k: Vec<ClassAnswer>,
    /// The exit taken, from 0.
    pub(crate) exit: usize,
    /// Multiply-accumulates up to that exit, heads of the exits passed counted.
    pub(crate) macs: u64,
    /// Milliseconds from its place in the queue to the answer.
    pub(crate) ms: f64,
    /// Milliseconds of that before the first segment began.
    pub(crate) waited_ms: f64,
    /// What every exit answers, asked for by `trace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<Vec<ExitAnswer>>,
}

/// A class and its probability.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClassAnswer {
    /// Its name.
    pub(crate) class: String,
    /// Its place in the list of classes.
    pub(crate) label: usize,
    /// Its probability.
    pub(crate) probability: f32,
}

/// The answer of one exit to an image.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExitAnswer {
    /// The exit, from 0.
    pub(crate) exit: usize,
    /// Name of its most probable class.
    pub(crate) class: String,
    /// The place of the class in the list.
    pub(crate) label: usize,
    /// Its probability.
    pub(crate) confidence: f32,
    /// The name of `confidence` in earlier versions.
    #[schema(deprecated)]
    pub(crate) probability: f32,
    /// Multiply-accumulates up to here.
    pub(crate) macs: u64,
    /// Milliseconds that one image alone takes up to here, measured when the model was loaded.
    pub(crate) ms: f64,
}

impl Prediction {
    pub(crate) fn new(done: &Done, classes: &[String], count: usize) -> Self {
        let answer = &done.answer;
        Self {
            class: name(classes, answer.class),
            label: answer.class,
            confidence: answer.confidence,
            probability: answer.confidence,
            top_k: top_k(answer, classes, count),
            exit: answer.exit,
            macs: answer.macs,
            ms: done.ms,
            waited_ms: done.waited_ms,
            trace: None,
        }
    }
}

impl ExitAnswer {
    pub(crate) fn new(done: &Done, card: &Card) -> Self {
        let answer = &done.answer;
        Self {
            exit: answer.exit,
            class: name(&card.classes, answer.class),
            label: answer.class,
            confidence: answer.confidence,
            probability: answer.confidence,
            macs: answer.macs,
            ms: card.exit_ms.get(answer.exit).copied().unwrap_or_default(),
        }
    }
}

fn name(classes: &[String], label: usize) -> String {
    classes.get(label).cloned().unwrap_or_default()
}

/// The most probable classes, falling.
fn top_k(answer: &Answer, classes: &[String], count: usize) -> Vec<ClassAnswer> {
    let labels = answer.top_k(count).into_iter();
    let class = |label| ClassAnswer {
        class: name(classes, label),
        label,
        probability: answer.probabilities[label],
    };
    labels.map(class).collect()
}

/// A model and what can be asked of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelAnswer {
    /// What requests call it.
    name: String,
    /// Names of the classes, in the order of the labels.
    classes: Vec<String>,
    /// The data set that it was trained on.
    dataset: String,
    /// Height and width of an input image.
    image_size: [usize; 2],
    /// The name of `image_size` in earlier versions.
    #[schema(deprecated)]
    image: [usize; 2],
    /// Its exits, shallowest first.
    exits: Vec<ExitFacts>,
    /// What decides where an image leaves, unless a request chooses.
    policy: String,
    /// Accuracy against cost on the test rows, cheapest first; empty without `calibrate.json`.
    curve: Vec<CurvePoint>,
    /// SHA-256 of the weights.
    sha256: String,
    /// Commit of the program that trained it.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    /// Version of the service.
    version: &'static str,
    /// Whether its engine runs.
    ready: bool,
}

/// An exit.
#[derive(Serialize, ToSchema)]
struct ExitFacts {
    /// From 0.
    exit: usize,
    /// Multiply-accumulates up to here.
    macs: u64,
    /// Milliseconds that one image alone takes up to here, measured when the model was loaded.
    ms: f64,
    /// Accuracy on the test rows, percent, if all left here.
    #[serde(skip_serializing_if = "Option::is_none")]
    top1: Option<f64>,
}

/// One point of the curve.
#[derive(Serialize, ToSchema)]
struct CurvePoint {
    /// Mean multiply-accumulates of an image.
    mean_macs: f64,
    /// Accuracy, percent.
    top1: f64,
    /// The share of images that leave at each exit.
    exit_fractions: Vec<f64>,
}

impl ModelAnswer {
    pub(crate) fn new(live: &Live) -> Self {
        let card = &live.card;
        let exits = (0..card.exits()).map(|exit| ExitFacts {
            exit,
            macs: card.macs[exit],
            ms: card.exit_ms[exit],
            top1: (card.facts.top1.as_ref()).and_then(|list| known(*list.get(exit)?)),
        });
        let points = card.facts.curve.iter().flat_map(|curve| curve.points());
        let points = points.map(|point| CurvePoint {
            mean_macs: point.mean_macs,
            top1: point.top1,
            exit_fractions: point.exit_fractions.clone(),
        });
        Self {
            name: card.name.clone(),
            classes: card.classes.clone(),
            dataset: card.dataset.clone(),
            image_size: [card.input.image.height, card.input.image.width],
            image: [card.input.image.height, card.input.image.width],
            exits: exits.collect(),
            policy: card.origin.clone(),
            curve: points.collect(),
            sha256: card.sha256.clone(),
            commit: card.commit.clone(),
            version: env!("CARGO_PKG_VERSION"),
            ready: live.worker.alive(),
        }
    }
}

/// All models; the first answers requests that name none.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelsAnswer {
    /// The models.
    pub(crate) models: Vec<ModelAnswer>,
}

/// A state in one word.
#[derive(Serialize, ToSchema)]
pub(crate) struct StateAnswer {
    /// `ok`, `ready` or `not ready`.
    pub(crate) status: &'static str,
}
