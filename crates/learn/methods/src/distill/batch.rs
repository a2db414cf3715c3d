//! The inputs of a distiller: what it is set up for, and what it gets for each batch.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{ExitOutput, ExitOutputs, MapShape, widened};
use offramp_heads::{MultiExitNet, NetConfig};
use offramp_losses::Targets;
use offramp_teachers::ExternalTeacher;

use crate::StepContext;

/// The output of one exit of a network, and the maps after the stages up to it.
#[derive(Clone, Copy, Debug)]
pub struct ExitFeatures<'a> {
    /// The exit's output.
    pub exit: &'a ExitOutput,
    /// The map after every stage up to the exit's, `[N, C_s, H_s, W_s]`.
    pub stages: &'a [Tensor<4>],
}

impl<'a> ExitFeatures<'a> {
    /// Exit `exit` of the outputs of a network whose exits are attached to `exit_stages`.
    pub fn new(outputs: &'a ExitOutputs, exit_stages: &[usize], exit: usize) -> Self {
        let count = (exit_stages[exit] + 1).min(outputs.stages.len());
        Self {
            exit: &outputs.exits[exit],
            stages: &outputs.stages[..count],
        }
    }
}

/// One exit of the student, the features of its teachers, and the labels, for one batch.
#[derive(Clone, Debug)]
pub struct DistillBatch<'a> {
    /// The student's exit that learns.
    pub student: ExitFeatures<'a>,
    /// The deepest exits of the teachers, as constants: as many teachers as the distiller's entry in
    /// the registry says, and of each the features that the entry names.
    pub teachers: Vec<ExitFeatures<'a>>,
    /// Labels.
    pub targets: &'a Targets,
    /// The images, normalised as the student expects them, `[N, 3, H, W]`.
    pub images: &'a Tensor<4>,
    /// Index of every image in the training set, `[N]`.
    pub indices: &'a [usize],
    /// The position of the step in the training.
    pub context: &'a StepContext,
}

impl DistillBatch<'_> {
    /// Calls `then` with the batch in float32, as losses must be computed; see
    /// [`ExitOutputs::widened`].
    pub(super) fn widened<R>(&self, then: impl FnOnce(&DistillBatch) -> R) -> R {
        let wide = |view: &ExitFeatures| {
            let outputs = ExitOutputs {
                exits: vec![view.exit.clone()],
                stages: view.stages.to_vec(),
            };
            outputs.widened().into_owned()
        };
        let student = wide(&self.student);
        let teachers: Vec<ExitOutputs> = self.teachers.iter().map(wide).collect();
        let images = widened(self.images);
        fn view(outputs: &ExitOutputs) -> ExitFeatures<'_> {
            ExitFeatures {
                exit: &outputs.exits[0],
                stages: &outputs.stages,
            }
        }
        then(&DistillBatch {
            student: view(&student),
            teachers: teachers.iter().map(view).collect(),
            images: &images,
            ..*self
        })
    }
}

/// Shapes of [`ExitFeatures`], for one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitShapes {
    /// Number of classes.
    pub classes: usize,
    /// The last map of the head; its channels are the width of the embedding.
    pub map: MapShape,
    /// The map after every stage up to the exit's.
    pub stages: Vec<MapShape>,
}

impl ExitShapes {
    /// The shapes at exit `exit`, found by computing one black image.
    pub fn of(net: &MultiExitNet, image: MapShape, exit: usize) -> Self {
        let net = net.valid();
        let device = net.devices().into_iter().next().unwrap_or_default();
        let x = Tensor::zeros([1, image.channels, image.height, image.width], &device);
        let outputs = net.forward(x);
        let view = ExitFeatures::new(&outputs, net.exit_stages(), exit);
        let shape = |map: &Tensor<4>| {
            let [_, channels, height, width] = map.dims();
            MapShape::new(channels, height, width)
        };
        Self {
            classes: net.classes(),
            map: shape(&view.exit.map),
            stages: view.stages.iter().map(shape).collect(),
        }
    }
}

/// What a distiller must know of a teacher before training.
#[derive(Clone, Debug)]
pub struct TeacherInfo<'a> {
    /// The network.
    pub teacher: &'a ExternalTeacher,
    /// Shapes at its deepest exit.
    pub shape: ExitShapes,
}

/// What a distiller must know of the student's exit and its teachers before training.
#[derive(Clone, Debug)]
pub struct DistillInfo<'a> {
    /// Shapes at the exit that learns.
    pub student: ExitShapes,
    /// The exit that learns, from 0.
    pub exit: usize,
    /// The student's settings, for distillers that train networks like it.
    pub net: &'a NetConfig,
    /// Shape of an image.
    pub image: MapShape,
    /// The teachers.
    pub teachers: Vec<TeacherInfo<'a>>,
    /// Number of training images.
    pub train_images: usize,
    /// Images per batch; the last batch of an epoch may have fewer.
    pub batch_size: usize,
}
