//! Distillers: the losses of each, the gradients of the student's outputs and of the distiller's
//! parameters, and its state after a step.

use std::cell::RefCell;

use burn::tensor::Tensor;
use offramp_core::{ExitOutput, ExitOutputs, MapShape, params};
use offramp_heads::{MODEL_FORMAT, ModelCard, MultiExitNet, NetConfig};
use offramp_methods::distill::{
    AnyDistiller, DistillBatch, DistillInfo, Distiller, DistillerEntry, ExitFeatures, ExitShapes,
    TeacherCount, TeacherInfo, distillers,
};
use offramp_methods::{LossTerm, Targets};
use offramp_teachers::{ExternalTeacher, StudentImages};
use serde_json::{Value, json};

use crate::methods::END;
use crate::place::values;
use crate::{Check, Numbers, Place};

/// Of everything but gradients.
const TOLERANCE: f64 = 2e-5;
/// Of `crd`, which divides by a temperature of 0.07 before the exponential.
const SHARP: f64 = 2e-4;
/// Of gradients, for distillers that have ReLUs of their own.
const TURNING: f64 = 1e-2;
const WITH_RELUS: [&str; 6] = ["fitnet", "vid", "srrl", "semckd", "ca-mkd", "dml"];
const LABELS: [i64; 5] = [0, 1, -1, 3, 1];
const CLASSES: usize = 4;
const INDICES: [usize; 5] = [0, 2, 3, 5, 6];
const IMAGE: MapShape = MapShape {
    channels: 3,
    height: 8,
    width: 8,
};

pub(crate) fn checks() -> Vec<Check> {
    // The teacher that `atsc` trains takes images in float32, so that there is nothing to compare with.
    let entries = distillers().iter().filter(|entry| entry.name != "atsc");
    let check = |entry: &'static DistillerEntry| {
        let name = format!("distillers/{}", entry.name);
        let compute = move |place: &Place| numbers(entry, place);
        let tolerance = match entry.name {
            "crd" => SHARP,
            _ => TOLERANCE,
        };
        let check = Check::new(name, tolerance, compute);
        if WITH_RELUS.contains(&entry.name) {
            check.with_turning_gradients(TURNING)
        } else {
            check
        }
    };
    entries.map(check).collect()
}

fn network(head: Value) -> NetConfig {
    serde_json::from_value(json!({"backbone": "resnet8", "head": head})).expect("a network")
}

/// An untrained network, which distillers ask for shapes and for its classifier.
fn teacher(place: &Place) -> ExternalTeacher {
    let config = network(json!("linear"));
    let net = config.init(CLASSES, IMAGE, &mut place.init(5));
    let images = StudentImages {
        classes: (0..CLASSES).map(|class| class.to_string()).collect(),
        image: IMAGE,
        mean: [0.5; 3],
        std: [0.25; 3],
    };
    let card = ModelCard {
        format: MODEL_FORMAT,
        net: config,
        classes: images.classes.clone(),
        image: IMAGE,
        resize: IMAGE,
        mean: images.mean,
        std: images.std,
        dataset: "none".into(),
        commit: None,
        sha256: String::new(),
    };
    ExternalTeacher::new("resnet8", net.expect("a network"), &card, &images)
}

/// Waves in the shapes of a network's deepest exit and of the stages on the way to it.
fn outputs(shape: &ExitShapes, wave: impl Fn(usize, [usize; 4]) -> Tensor<4>) -> ExitOutputs {
    let map = |seed, map: MapShape| wave(seed, [LABELS.len(), map.channels, map.height, map.width]);
    let last = map(10, shape.map);
    let exit = ExitOutput {
        embedding: last.clone().mean_dims(&[2, 3]).flatten(1, 3),
        map: last,
        logits: wave(20, [LABELS.len(), CLASSES, 1, 1]).flatten(1, 3) * 3.0,
    };
    let stages = (0..).zip(&shape.stages);
    ExitOutputs {
        exits: vec![exit],
        stages: stages.map(|(seed, &shape)| map(seed, shape)).collect(),
    }
}

/// A distiller with its defaults, and the number and shapes of its teachers.
struct Setup {
    distiller: AnyDistiller,
    teachers: usize,
    student: ExitShapes,
    teacher: ExitShapes,
}

fn setup(entry: &DistillerEntry, place: &Place) -> Setup {
    let teacher = teacher(place);
    let config = network(match entry.name {
        // For two teachers.
        "simkd" => json!({"name": "projector", "width": [64, 64], "size": 2}),
        _ => json!("linear"),
    });
    let student = config.init(CLASSES, IMAGE, &mut place.init(3));
    let exit = teacher.net().num_exits() - 1;
    let shape = |net: &MultiExitNet| ExitShapes::of(net, IMAGE, exit);
    let teacher_info = TeacherInfo {
        teacher: &teacher,
        shape: shape(teacher.net()),
    };
    let teachers = match entry.teachers {
        TeacherCount::None => 0,
        TeacherCount::One => 1,
        TeacherCount::All => 2,
    };
    let info = DistillInfo {
        student: shape(&student.expect("a network")),
        exit,
        net: &config,
        image: IMAGE,
        teachers: vec![teacher_info.clone(); teachers],
        train_images: 7,
        batch_size: LABELS.len(),
    };
    let distiller = (entry.config)().init(&info, &mut place.init(1));
    Setup {
        distiller: place.module(distiller.expect("the defaults suit such networks")),
        teachers,
        student: info.student,
        teacher: teacher_info.shape,
    }
}

fn numbers(entry: &DistillerEntry, place: &Place) -> Numbers {
    let mut setup = setup(entry, place);
    let leaves = RefCell::new(Vec::new());
    let student = outputs(&setup.student, |seed, shape| {
        let leaf = place.leaf(seed, shape);
        leaves.borrow_mut().push(leaf.clone());
        leaf
    });
    let constant = |seed: usize, shape| Tensor::from_inner(place.wave(seed, shape));
    let teachers: Vec<_> = (1..=setup.teachers)
        .map(|t| outputs(&setup.teacher, |seed, shape| constant(30 * t + seed, shape)))
        .collect();
    let stages = [setup.student.stages.len() - 1];
    let view = |outputs| ExitFeatures::new(outputs, &stages, 0);
    let batch = DistillBatch {
        student: view(&student),
        teachers: teachers.iter().map(view).collect(),
        targets: &Targets::new(place.labels(&LABELS)),
        images: &constant(1, [LABELS.len(), 3, IMAGE.height, IMAGE.width]),
        indices: &INDICES,
        context: &END,
    };
    let terms = setup.distiller.losses(&batch);
    let gradients = terms.total().backward();
    let term = |term: &LossTerm| (format!("term {}", term.name), values(term.value.clone()));
    let mut numbers: Numbers = terms.iter().map(term).collect();
    for (i, leaf) in leaves.take().into_iter().enumerate() {
        let gradient = leaf.grad(&gradients).map(values).unwrap_or_default();
        numbers.push((format!("gradient {i}"), gradient));
    }
    let own = params::gradients(&setup.distiller, &gradients).into_iter();
    numbers.extend(own.map(|(name, g)| (format!("gradient of {name}"), values(g))));
    setup.distiller.after_step(&batch);
    let after = params::collect(&setup.distiller).into_iter();
    numbers.extend(after.map(|(name, data)| (name, data.iter::<f64>().collect())));
    numbers
}
