//! Batches for distillers: of sine waves, and of small networks.

#![allow(dead_code, missing_docs, reason = "every test file uses a part of it")]

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use offramp_core::params::{apply, collect};
use offramp_core::{ExitOutput, ExitOutputs, MapShape};
use offramp_heads::{MODEL_FORMAT, ModelCard, MultiExitNet, NetConfig};
use offramp_methods::distill::{
    AnyDistiller, DistillBatch, DistillInfo, DistillerConfig, ExitFeatures, ExitShapes, TeacherInfo,
};
use offramp_methods::{StepContext, Targets};
use offramp_nn::Init;
use offramp_teachers::{ExternalTeacher, StudentImages};
use serde_json::json;

use super::support::device;

pub(crate) const CLASSES: usize = 4;
pub(crate) const TRAIN_IMAGES: usize = 7;

/// Shapes of one side's stages and of its head's last map.
#[derive(Clone, Copy)]
pub(crate) struct Shapes<'a> {
    pub stages: &'a [[usize; 3]],
    pub map: [usize; 3],
}

impl Shapes<'_> {
    pub(crate) fn view(&self) -> ExitShapes {
        let shape = |[c, h, w]: [usize; 3]| MapShape::new(c, h, w);
        ExitShapes {
            classes: CLASSES,
            map: shape(self.map),
            stages: self.stages.iter().copied().map(shape).collect(),
        }
    }

    /// The outputs that `tests/python/distillers.py` computes for the same seed.
    pub(crate) fn waves(&self, seed: u64, samples: usize) -> ExitOutputs {
        let map = |seed, [c, h, w]: [usize; 3]| wave(seed, [samples, c, h, w], 1.0);
        let last = map(seed + 10, self.map);
        let embedding = last.clone().mean_dims(&[2, 3]).flatten::<2>(1, 3);
        let stages = (seed..).zip(self.stages);
        ExitOutputs {
            exits: vec![ExitOutput {
                map: last,
                embedding,
                logits: wave(seed + 20, [samples, CLASSES], 3.0),
            }],
            stages: stages.map(|(seed, shape)| map(seed, *shape)).collect(),
        }
    }
}

fn numbers(seed: u64, count: usize, scale: f64) -> Vec<f64> {
    let number = |i: usize| {
        let i = i as f64;
        scale * (0.9 * seed as f64 + 1.7 * i + 0.05 * i * i).sin()
    };
    (0..count).map(number).collect()
}

pub(crate) fn wave<const D: usize>(seed: u64, shape: [usize; D], scale: f64) -> Tensor<D> {
    let numbers = numbers(seed, shape.iter().product(), scale);
    let numbers: Vec<f32> = numbers.into_iter().map(|x| x as f32).collect();
    Tensor::from_data(TensorData::new(numbers, shape), &device())
}

/// Replaces all that a distiller learns or remembers by waves, numbered by name; running
/// statistics, scales and classes stay as they start.
pub(crate) fn fill(distiller: AnyDistiller) -> AnyDistiller {
    let mut tensors = collect(&distiller);
    let starts = [".running_mean", ".running_var", ".scale", "classes"];
    let filled = (tensors.iter_mut()).filter(|(name, _)| !starts.iter().any(|s| name.ends_with(s)));
    for (seed, (_, data)) in (100..).zip(filled) {
        let numbers = numbers(seed, data.num_elements(), 0.5);
        let numbers: Vec<f32> = numbers.into_iter().map(|x| x as f32).collect();
        *data = TensorData::new(numbers, data.shape().clone());
    }
    apply(distiller, tensors).expect("the names did not change")
}

pub(crate) fn config(table: &str) -> DistillerConfig {
    toml::from_str(table).expect("the settings of a distiller")
}

pub(crate) fn net_config(backbone: &str) -> NetConfig {
    serde_json::from_value(json!({ "backbone": backbone })).expect("a network")
}

pub(crate) fn net(config: &NetConfig, seed: u64, image: MapShape, device: &Device) -> MultiExitNet {
    let mut init = Init::new(seed, device);
    config.init(CLASSES, image, &mut init).expect("a network")
}

/// An untrained teacher.
pub(crate) fn teacher(backbone: &str, image: MapShape) -> ExternalTeacher {
    let config = net_config(backbone);
    let net = net(&config, 5, image, &offramp_core::default_device().unwrap());
    let images = StudentImages {
        classes: (0..CLASSES).map(|class| class.to_string()).collect(),
        image,
        mean: [0.5; 3],
        std: [0.25; 3],
    };
    let card = ModelCard {
        format: MODEL_FORMAT,
        net: config,
        classes: images.classes.clone(),
        image,
        resize: image,
        mean: images.mean,
        std: images.std,
        dataset: "none".into(),
        commit: None,
        sha256: String::new(),
    };
    ExternalTeacher::new(backbone, net, &card, &images)
}

/// The set-up for given shapes; of the teacher's network only the classifier matters.
pub(crate) fn info<'a>(
    student: Shapes,
    taught_by: Shapes,
    teacher: &'a ExternalTeacher,
    net: &'a NetConfig,
    batch_size: usize,
) -> DistillInfo<'a> {
    DistillInfo {
        student: student.view(),
        exit: 0,
        net,
        image: teacher.image(),
        teachers: vec![TeacherInfo {
            teacher,
            shape: taught_by.view(),
        }],
        train_images: TRAIN_IMAGES,
        batch_size,
    }
}

/// A batch of one student exit and one teacher exit.
pub(crate) struct Batch {
    pub student: ExitOutputs,
    pub teacher: ExitOutputs,
    pub targets: Targets,
    pub images: Tensor<4>,
    pub indices: Vec<usize>,
    pub context: StepContext,
}

impl Batch {
    /// The distiller's batch at the student's exit `exit`.
    pub(crate) fn distill_batch(&self, exit: usize) -> DistillBatch<'_> {
        fn view(outputs: &ExitOutputs, exit: usize) -> ExitFeatures<'_> {
            let stages: Vec<usize> = match outputs.exits.len() {
                1 => vec![outputs.stages.len() - 1],
                _ => (0..outputs.stages.len()).collect(),
            };
            ExitFeatures::new(outputs, &stages, exit)
        }
        DistillBatch {
            student: view(&self.student, exit),
            teachers: vec![view(&self.teacher, self.teacher.exits.len() - 1)],
            targets: &self.targets,
            images: &self.images,
            indices: &self.indices,
            context: &self.context,
        }
    }
}

/// Every tensor of some outputs, changed.
pub(crate) fn changed(outputs: &ExitOutputs, change: Change) -> ExitOutputs {
    ExitOutputs {
        stages: outputs.stages.iter().map(|x| change.of(x)).collect(),
        exits: (outputs.exits.iter())
            .map(|exit| ExitOutput {
                map: change.of(&exit.map),
                embedding: change.of(&exit.embedding),
                logits: change.of(&exit.logits),
            })
            .collect(),
    }
}

/// What [`changed`] does.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    /// Leaves for gradients.
    Leaves,
    /// The given number of samples from the first on.
    First(usize),
    /// All values times this.
    Times(f64),
    /// Of another type.
    Cast(FloatDType),
}

impl Change {
    fn of<const D: usize>(self, x: &Tensor<D>) -> Tensor<D> {
        match self {
            Self::Leaves => x.clone().detach().require_grad(),
            Self::First(count) => x.clone().narrow(0, 0, count),
            Self::Times(factor) => x.clone() * factor,
            Self::Cast(dtype) => x.clone().cast(dtype),
        }
    }
}
