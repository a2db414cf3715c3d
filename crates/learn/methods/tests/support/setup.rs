//! A small student, a small teacher, and the gradients of what they compute.

#![allow(dead_code, missing_docs, reason = "every test file uses a part of it")]

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};
use offramp_core::params::Path;
use offramp_core::{ExitOutputs, MapShape};
use offramp_heads::{MultiExitNet, NetConfig};
use offramp_methods::LossTerms;
use offramp_methods::distill::{
    AnyDistiller, DistillBatch, DistillInfo, Distiller, DistillerConfig, DistillerEntry,
    ExitShapes, TeacherCount, TeacherInfo,
};
use offramp_nn::Init;
use offramp_teachers::ExternalTeacher;
use serde_json::json;

use super::batches::{Batch, Change, TRAIN_IMAGES, changed, net, net_config, teacher, wave};
use super::support::{END, device, targets};

pub(crate) const SAMPLES: usize = 5;
pub(crate) const IMAGE: MapShape = MapShape {
    channels: 3,
    height: 8,
    width: 8,
};

/// A student, a teacher, and a batch of theirs.
pub(crate) struct Setup {
    pub config: NetConfig,
    pub student: MultiExitNet,
    pub teacher: ExternalTeacher,
    pub batch: Batch,
}

impl Setup {
    pub(crate) fn new(student: &str, teacher_net: &str) -> Self {
        Self::with(net_config(student), teacher_net)
    }

    /// A setup whose student has the head that a distiller needs.
    pub(crate) fn of(entry: &DistillerEntry, student: &str, teacher_net: &str) -> Self {
        let mut config = net_config(student);
        if ["simkd", "atsc"].contains(&entry.name) {
            let teacher = teacher(teacher_net, IMAGE);
            let deepest = teacher.net().num_exits() - 1;
            let map = ExitShapes::of(teacher.net(), IMAGE, deepest).map;
            let head = json!({
                "name": "projector", "width": [map.channels, map.channels], "size": map.height
            });
            config.head = serde_json::from_value(head).expect("a head");
        }
        Self::with(config, teacher_net)
    }

    fn with(config: NetConfig, teacher_net: &str) -> Self {
        let student = net(&config, 3, IMAGE, &device());
        let teacher = teacher(teacher_net, IMAGE);
        let images: Tensor<4> = wave(1, [SAMPLES, 3, IMAGE.height, IMAGE.width], 1.0);
        let batch = Batch {
            student: changed(&student.forward(images.clone()), Change::Leaves),
            teacher: teacher.outputs(images.clone()),
            // Class 2 is missing.
            targets: targets(&[0, 1, -1, 3, 1]),
            images,
            indices: vec![0, 2, 3, 5, 6],
            context: END,
        };
        Self {
            config,
            student,
            teacher,
            batch,
        }
    }

    /// A distiller with its defaults.
    pub(crate) fn distiller(&self, entry: &DistillerEntry, exit: usize) -> AnyDistiller {
        self.distiller_of(&(entry.config)(), exit)
    }

    pub(crate) fn distiller_of(&self, config: &DistillerConfig, exit: usize) -> AnyDistiller {
        let deepest = self.teacher.net().num_exits() - 1;
        let shape = ExitShapes::of(self.teacher.net(), IMAGE, deepest);
        let teacher_info = TeacherInfo {
            teacher: &self.teacher,
            shape,
        };
        let info = DistillInfo {
            student: ExitShapes::of(&self.student, IMAGE, exit),
            exit,
            net: &self.config,
            image: IMAGE,
            teachers: match config.teachers() {
                TeacherCount::None => Vec::new(),
                TeacherCount::One => vec![teacher_info],
                TeacherCount::All => vec![teacher_info.clone(), teacher_info],
            },
            train_images: TRAIN_IMAGES,
            batch_size: SAMPLES,
        };
        let mut init = Init::new(1, &device());
        config.init(&info, &mut init).expect("it fits")
    }
}

/// A batch as a distiller takes it: with no teacher, one, or the same one twice.
pub(crate) fn distill_batch<'a>(
    entry: &DistillerEntry,
    batch: &'a Batch,
    exit: usize,
) -> DistillBatch<'a> {
    let mut distill_batch = batch.distill_batch(exit);
    match entry.teachers {
        TeacherCount::None => distill_batch.teachers.clear(),
        TeacherCount::One => {}
        TeacherCount::All => distill_batch.teachers.extend_from_within(..),
    }
    distill_batch
}

pub(crate) fn terms(
    distiller: &AnyDistiller,
    entry: &DistillerEntry,
    batch: &Batch,
    exit: usize,
) -> LossTerms {
    distiller.losses(&distill_batch(entry, batch, exit))
}

pub(crate) fn number<const D: usize>(x: Tensor<D>) -> f64 {
    x.into_data().iter::<f64>().sum()
}

/// The gradients of what requires some, by name.
pub(crate) fn gradients_of<M: Module>(
    module: &M,
    gradients: &Gradients,
) -> BTreeMap<String, Option<Vec<f64>>> {
    struct Visitor<'a> {
        path: Path,
        gradients: &'a Gradients,
        found: BTreeMap<String, Option<Vec<f64>>>,
    }

    impl ModuleVisitor for Visitor<'_> {
        fn enter_module(&mut self, name: &str, container_type: &str) {
            self.path.enter(name, container_type);
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.exit();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                let gradient = param.val().grad(self.gradients);
                let gradient = gradient.map(|g| g.into_data().iter::<f64>().collect());
                self.found.insert(self.path.name(), gradient);
            }
        }
    }

    let mut visitor = Visitor {
        path: Path::default(),
        gradients,
        found: BTreeMap::new(),
    };
    module.visit(&mut visitor);
    visitor.found
}

/// The gradients of all leaves of some outputs; none where the loss does not depend on one.
pub(crate) fn leaf_gradients(
    outputs: &ExitOutputs,
    gradients: &Gradients,
) -> Vec<Option<Vec<f64>>> {
    fn of<const D: usize>(x: &Tensor<D>, gradients: &Gradients) -> Option<Vec<f64>> {
        let gradient = x.grad(gradients)?;
        Some(gradient.into_data().iter::<f64>().collect())
    }
    let stages = outputs.stages.iter().map(|x| of(x, gradients));
    let exits = outputs.exits.iter().flat_map(|exit| {
        [
            of(&exit.map, gradients),
            of(&exit.embedding, gradients),
            of(&exit.logits, gradients),
        ]
    });
    stages.chain(exits).collect()
}
