//! What a distiller sees.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{ExitOutput, ExitOutputs, MapShape, widened};
use offramp_heads::{MultiExitNet, NetConfig};
use offramp_losses::Targets;
use offramp_teachers::ExternalTeacher;

use crate::StepContext;

/// One exit of a network and the stages on the way to it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The exit's output.
    pub exit: &'a ExitOutput,
    /// The map after every stage up to the exit's, `[N, C_s, H_s, W_s]`.
    pub stages: &'a [Tensor<4>],
}

impl<'a> View<'a> {
    /// Exit `exit` of the outputs of a network whose exits look at `exit_stages`.
    pub fn new(outputs: &'a ExitOutputs, exit_stages: &[usize], exit: usize) -> Self {
        let count = (exit_stages[exit] + 1).min(outputs.stages.len());
        Self {
            exit: &outputs.exits[exit],
            stages: &outputs.stages[..count],
        }
    }
}

/// One exit of a student, what teaches it, and the labels, for one batch.
#[derive(Clone, Debug)]
pub struct Lesson<'a> {
    /// The exit that learns.
    pub student: View<'a>,
    /// The deepest exits of the teachers, constants; as many as the distiller's entry in the
    /// registry says, and of each what that entry says is used.
    pub teachers: Vec<View<'a>>,
    /// Labels.
    pub targets: &'a Targets,
    /// The images as the student takes them, `[N, 3, H, W]`.
    pub images: &'a Tensor<4>,
    /// Place of every image among the training rows, `[N]`.
    pub rows: &'a [usize],
    /// Where in the training the step is.
    pub context: &'a StepContext,
}

impl Lesson<'_> {
    /// Hands on the lesson in float32, as losses must be computed; see [`ExitOutputs::widened`].
    pub(super) fn widened<R>(&self, then: impl FnOnce(&Lesson) -> R) -> R {
        let wide = |view: &View| {
            let outputs = ExitOutputs {
                exits: vec![view.exit.clone()],
                stages: view.stages.to_vec(),
            };
            outputs.widened().into_owned()
        };
        let student = wide(&self.student);
        let teachers: Vec<ExitOutputs> = self.teachers.iter().map(wide).collect();
        let images = widened(self.images);
        fn view(outputs: &ExitOutputs) -> View<'_> {
            View {
                exit: &outputs.exits[0],
                stages: &outputs.stages,
            }
        }
        then(&Lesson {
            student: view(&student),
            teachers: teachers.iter().map(view).collect(),
            images: &images,
            ..*self
        })
    }
}

/// Shapes of a [`View`], for one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewShape {
    /// Number of classes.
    pub classes: usize,
    /// The last map of the head; its channels are the width of the embedding.
    pub map: MapShape,
    /// The map after every stage up to the exit's.
    pub stages: Vec<MapShape>,
}

impl ViewShape {
    /// The shapes at exit `exit`, found by computing one black image.
    pub fn of(net: &MultiExitNet, image: MapShape, exit: usize) -> Self {
        let net = net.valid();
        let device = net.devices().into_iter().next().unwrap_or_default();
        let x = Tensor::zeros([1, image.channels, image.height, image.width], &device);
        let outputs = net.forward(x);
        let view = View::new(&outputs, net.exit_stages(), exit);
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

/// A teacher before the first lesson.
#[derive(Clone, Debug)]
pub struct TeacherPlan<'a> {
    /// The network.
    pub teacher: &'a ExternalTeacher,
    /// Shapes at its deepest exit.
    pub shape: ViewShape,
}

/// What a distiller is set up for.
#[derive(Clone, Debug)]
pub struct LessonPlan<'a> {
    /// Shapes at the exit that learns.
    pub student: ViewShape,
    /// The exit that learns, from 0.
    pub exit: usize,
    /// The student's settings, for distillers that train networks like it.
    pub net: &'a NetConfig,
    /// Shape of an image.
    pub image: MapShape,
    /// Who teaches.
    pub teachers: Vec<TeacherPlan<'a>>,
    /// Number of training rows.
    pub rows: usize,
    /// Images a batch; the last one of an epoch may have fewer.
    pub batch_size: usize,
}
