//! Batches made by hand: small maps and logits, and teachers that are real networks.

#![allow(dead_code, missing_docs, reason = "every test file uses a part of it")]

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use offramp_core::params::{apply, collect};
use offramp_core::{ExitOutput, MapShape, default_device};
use offramp_heads::{MODEL_FORMAT, ModelCard, MultiExitNet, NetConfig};
use offramp_methods::distill::{
    AnyDistiller, DistillBatch, DistillInfo, DistillerConfig, ExitFeatures, ExitShapes, TeacherInfo,
};
use offramp_methods::{MethodError, StepContext, Targets};
use offramp_nn::Init;
use offramp_teachers::{ExternalTeacher, StudentImages};

use crate::support::END;

pub(crate) const CLASSES: usize = 3;

pub(crate) const IMAGE: MapShape = MapShape {
    channels: 3,
    height: 16,
    width: 16,
};

/// The same plain numbers as `fill` in tests/python/shared_classifier.py.
pub(crate) fn fill<const D: usize>(seed: usize, shape: [usize; D], device: &Device) -> Tensor<D> {
    let count = shape.iter().product();
    let numbers: Vec<f32> = (0..count)
        .map(|i| ((7 * i + 3 * seed) % 11) as f32 / 5.0 - 1.0)
        .collect();
    Tensor::from_data(TensorData::new(numbers, shape), device)
}

pub(crate) fn model(json: serde_json::Value) -> NetConfig {
    serde_json::from_value(json).unwrap()
}

/// A ResNet-8 whose only classifier looks at `width` channels at 1x1.
pub(crate) fn teacher_config(width: usize) -> NetConfig {
    model(serde_json::json!({
        "backbone": "resnet8", "exits": [2], "head": {"name": "conv", "width": width}
    }))
}

pub(crate) fn card(net: &NetConfig) -> ModelCard {
    ModelCard {
        format: MODEL_FORMAT,
        net: net.clone(),
        classes: ["a", "b", "c"].map(String::from).to_vec(),
        image: IMAGE,
        resize: IMAGE,
        mean: [0.5; 3],
        std: [0.25; 3],
        dataset: "none".into(),
        commit: None,
        sha256: String::new(),
    }
}

pub(crate) fn external(name: &str, net: MultiExitNet, config: &NetConfig) -> ExternalTeacher {
    let card = card(config);
    let images = StudentImages {
        classes: card.classes.clone(),
        image: IMAGE,
        // Another normalisation than the teacher's.
        mean: [0.4; 3],
        std: [0.5; 3],
    };
    ExternalTeacher::new(name, net, &card, &images)
}

pub(crate) fn teacher(name: &str, width: usize, seed: u64) -> ExternalTeacher {
    let config = teacher_config(width);
    let net = config.init(
        CLASSES,
        IMAGE,
        &mut Init::new(seed, &default_device().unwrap()),
    );
    external(name, net.unwrap(), &config)
}

/// Replaces tensors of a module by name.
pub(crate) fn with<M: Module>(module: M, replace: &[(&str, Tensor<1>)]) -> M {
    let mut tensors = collect(&module);
    for (name, values) in replace {
        let shape = tensors[*name].shape().to_vec();
        let data = TensorData::new(values.to_data().try_to_vec::<f32>().unwrap(), shape);
        tensors.insert((*name).to_owned(), data);
    }
    apply(module, tensors).unwrap()
}

/// A distiller for an exit with the given head and map, and teachers with the given maps.
pub(crate) fn distiller(
    loss: &str,
    head: serde_json::Value,
    map: [usize; 3],
    teachers: &[(&ExternalTeacher, [usize; 3])],
    device: &Device,
) -> Result<AnyDistiller, MethodError> {
    let config: DistillerConfig =
        serde_json::from_str(loss).unwrap_or_else(|_| serde_json::from_value(loss.into()).unwrap());
    let net = model(serde_json::json!({"backbone": "resnet8", "exits": [2], "head": head}));
    let shape = |[channels, height, width]: [usize; 3]| ExitShapes {
        classes: CLASSES,
        map: MapShape::new(channels, height, width),
        stages: Vec::new(),
    };
    let info = DistillInfo {
        student: shape(map),
        exit: 0,
        net: &net,
        image: IMAGE,
        teachers: (teachers.iter())
            .map(|(teacher, map)| TeacherInfo {
                teacher,
                shape: shape(*map),
            })
            .collect(),
        train_images: 10,
        batch_size: 3,
    };
    config.init(&info, &mut Init::new(7, device))
}

pub(crate) fn exit(map: Tensor<4>, logits: Tensor<2>) -> ExitOutput {
    let [n, c, h, w] = map.dims();
    let embedding = map.clone().reshape([n, c, h * w]).mean_dim(2);
    ExitOutput {
        embedding: embedding.reshape([n, c]),
        map,
        logits,
    }
}

/// An exit of which only the logits matter.
pub(crate) fn answer(logits: Tensor<2>) -> ExitOutput {
    let [n, _] = logits.dims();
    let map = Tensor::zeros([n, 1, 1, 1], &logits.device());
    exit(map, logits)
}

/// Everything that a [`DistillBatch`] borrows.
pub(crate) struct Scene {
    pub student: ExitOutput,
    pub teachers: Vec<ExitOutput>,
    pub targets: Targets,
    pub images: Tensor<4>,
    pub indices: Vec<usize>,
    pub context: StepContext,
}

impl Scene {
    pub(crate) fn new(student: ExitOutput, teachers: Vec<ExitOutput>, labels: &[i64]) -> Self {
        let device = student.logits.device();
        let [n, _] = student.logits.dims();
        Self {
            targets: Targets::new(Tensor::<1, Int>::from_data(labels, &device)),
            images: fill(3, [n, 3, IMAGE.height, IMAGE.width], &device),
            indices: (0..n).collect(),
            student,
            teachers,
            context: END,
        }
    }

    pub(crate) fn distill_batch(&self) -> DistillBatch<'_> {
        fn view(exit: &ExitOutput) -> ExitFeatures<'_> {
            ExitFeatures { exit, stages: &[] }
        }
        DistillBatch {
            student: view(&self.student),
            teachers: self.teachers.iter().map(view).collect(),
            targets: &self.targets,
            images: &self.images,
            indices: &self.indices,
            context: &self.context,
        }
    }
}
