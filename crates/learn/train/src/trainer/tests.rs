//! Unit tests of single steps.

use std::path::Path;

use burn::module::{Flag, Module, ModuleMapper, Param};
use offramp_core::params::{self, NamedTensors};
use offramp_core::{DeviceSpec, Precision};

use super::session::Session;
use crate::progress::Silent;
use crate::recipe::Recipe;
use crate::run_folder::RunFolder;
use crate::{LossScale, TrainError};

const RECIPE: &str = "
    seed = 3
    [data]
    dataset = 'generated'
    val-fraction = 0.2
    generated = { train = 60, test = 20 }
    [model]
    backbone = 'resnet8'
    [method]
    name = 'mate'
    [train]
    epochs = 3
    batch-size = 12
    log-every = 50";

fn recipe(settings: &[&str]) -> Recipe {
    Recipe::parse(RECIPE, "tiny.toml".as_ref(), settings).unwrap()
}

fn device() -> DeviceSpec {
    DeviceSpec::from_env().unwrap().best()
}

fn session<'a>(recipe: &'a Recipe, out: &Path, progress: &'a mut Silent) -> Session<'a> {
    let folder = RunFolder::create(out, recipe).unwrap();
    Session::open(recipe, folder, None, device(), progress).unwrap()
}

/// Everything that a step may change.
#[derive(PartialEq)]
struct Snapshot {
    net: NamedTensors,
    statistics: NamedTensors,
    objective: NamedTensors,
    ema: NamedTensors,
    momentum: NamedTensors,
    updates: Vec<u64>,
    method: Vec<(String, f64)>,
}

fn snapshot(session: &Session) -> Snapshot {
    use offramp_methods::Method;

    let learner = session.learner.as_ref().unwrap();
    let (statistics, net) = params::collect(&learner.net)
        .into_iter()
        .partition(|(name, _)| name.contains("running_"));
    let slots = learner.optimizer.slots();
    let ema = learner.ema.as_ref();
    Snapshot {
        net,
        statistics,
        objective: params::collect(&learner.objective),
        ema: ema
            .map(|ema| params::collect(&ema.network(&learner.net)))
            .unwrap_or_default(),
        momentum: (slots.iter())
            .flat_map(|(name, slot)| {
                let momentum = slot.tensors.get("momentum");
                momentum.map(|tensor| (name.clone(), tensor.to_data()))
            })
            .collect(),
        updates: slots.values().map(|slot| slot.steps).collect(),
        method: learner.objective.method.scalars(),
    }
}

fn set_scale(session: &mut Session, factor: f32) {
    session.learner.as_mut().unwrap().scale = Some(LossScale::of(factor));
}

/// As PyTorch's GradScaler leaves a step out: weights, momentum and averages stay to the last bit, and the
/// running statistics of batch norms, which the forward pass moves, do not.
#[test]
fn a_step_that_overflows_changes_statistics_and_scale_alone() {
    if Precision::Fp16
        .check(device(), &device().device().unwrap())
        .is_err()
    {
        return;
    }
    let recipe = recipe(&[
        "train.precision=fp16",
        "train.ema={ decay = 0.9 }",
        "train.clip-norm=1.0",
    ]);
    let folder = tempfile::tempdir().unwrap();
    let mut silent = Silent;
    let mut session = session(&recipe, &folder.path().join("run"), &mut silent);
    set_scale(&mut session, 256.0);
    session.train(Some(2)).unwrap();
    assert_eq!(session.state.window.skipped, Some(0));
    let before = snapshot(&session);

    let huge = 2.0f32.powi(100);
    set_scale(&mut session, huge);
    session.train(Some(3)).unwrap();
    let after = snapshot(&session);
    assert!(before.net == after.net && before.objective == after.objective);
    assert!(before.ema == after.ema && before.momentum == after.momentum);
    assert_eq!(
        (before.updates, before.method),
        (after.updates, after.method)
    );
    assert!(before.statistics != after.statistics);
    let window = &session.state.window;
    assert_eq!(
        (session.state.step, window.steps, window.skipped),
        (3, 3, Some(1))
    );
    let scale = session.learner.as_ref().unwrap().scale.unwrap().factor();
    assert_eq!(scale, f64::from(huge) / 2.0);

    // The next step is taken where the scale fits.
    set_scale(&mut session, 256.0);
    session.train(Some(4)).unwrap();
    assert!(snapshot(&session).net != before.net);
}

/// A factor of the loss that is a power of two changes nothing where nothing overflows or vanishes.
#[test]
fn a_scaled_loss_gives_the_same_step() {
    let one_step = |factor: Option<f32>| {
        let recipe = recipe(&["train.clip-norm=1.0"]);
        let folder = tempfile::tempdir().unwrap();
        let mut silent = Silent;
        let mut session = session(&recipe, &folder.path().join("run"), &mut silent);
        if let Some(factor) = factor {
            set_scale(&mut session, factor);
        }
        session.train(Some(1)).unwrap();
        (
            snapshot(&session),
            session.state.window.gradient_norm.unwrap(),
        )
    };
    let (plain, norm) = one_step(None);
    let (scaled, scaled_norm) = one_step(Some(1024.0));
    near(&scaled.momentum, &plain.momentum, 1e-5);
    assert!((norm - scaled_norm).abs() < 1e-5 * norm);
}

/// With a scale of 1 the gradients are those of the loss: they are too large, and no scale helps.
#[test]
fn gradients_that_no_scale_makes_finite_end_the_run() {
    let recipe = recipe(&["train.optimizer.lr=1e30", "train.epochs=9"]);
    let folder = tempfile::tempdir().unwrap();
    let mut silent = Silent;
    let mut session = session(&recipe, &folder.path().join("run"), &mut silent);
    set_scale(&mut session, 2.0);
    let error = session.train(None).unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { .. }), "{error}");
}

#[track_caller]
fn near(found: &NamedTensors, expected: &NamedTensors, tolerance: f32) {
    assert!(!expected.is_empty());
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (name, data) in found {
        let expected: Vec<f32> = expected[name].iter::<f32>().collect();
        let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        for (f, e) in data.iter::<f32>().zip(&expected) {
            assert!(
                (f - e).abs() <= tolerance * largest,
                "{name}: {f} {e}, largest {largest}"
            );
        }
    }
}

/// Batch norms with their running statistics, which do not depend on the other images of the batch.
struct Evaluating;

impl ModuleMapper for Evaluating {
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        flag.with_value(false)
    }
}

#[test]
fn parts_add_up_to_the_batch() {
    let one_step = |settings: &[&str]| {
        let recipe = recipe(settings);
        let folder = tempfile::tempdir().unwrap();
        let mut silent = Silent;
        let mut session = session(&recipe, &folder.path().join("run"), &mut silent);
        let learner = session.learner.as_mut().unwrap();
        learner.net = learner.net.clone().map(&mut Evaluating);
        session.train(Some(1)).unwrap();
        (snapshot(&session), session.state.window.clone())
    };
    let (whole, sums) = one_step(&[]);
    for parts in ["2", "5", "12"] {
        let accumulate = format!("train.accumulate={parts}");
        let (found, found_sums) = one_step(&[&accumulate, "train.checkpointing=blocks"]);
        near(&found.momentum, &whole.momentum, 1e-5);
        for ((name, weight), (_, expected)) in found.method.iter().zip(&whole.method) {
            assert!(
                (weight - expected).abs() < 1e-5,
                "{name}: {weight} {expected}"
            );
        }
        assert!((found_sums.loss - sums.loss).abs() < 1e-5 * sums.loss);
        for (name, value) in &sums.terms {
            assert!((found_sums.terms[name] - value).abs() < 1e-5, "{name}");
        }
        assert_eq!(found_sums.correct, sums.correct);
        assert_eq!((found_sums.images, found_sums.labelled), (12, 12));
    }
}
