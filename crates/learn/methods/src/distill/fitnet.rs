//! Hints from a stage in the middle.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::conv_transpose2d;
use burn::tensor::ops::ConvTransposeOptions;
use offramp_core::MapShape;
use offramp_losses::mse;
use offramp_nn::{BatchNorm2d, Conv2d, Conv2dConfig, Init, shrink};
use serde::{Deserialize, Serialize};

use super::adapt::{smaller, teacher_stage};
use super::{DistillBatch, DistillInfo, Distiller};
use crate::check::Check;
use crate::{LossTerms, MethodError};

/// Settings of [`FitNet`].
///
/// ```toml
/// [distill.fitnet]
/// loss = { name = "fitnet", layer = 1 }
/// weight = 100.0
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct FitNetConfig {
    /// The student's stage that is guided, from 0; left out: the one in the middle of those up
    /// to the exit, the earlier of two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<usize>,
}

impl FitNetConfig {
    /// Sets the distiller up.
    ///
    /// # Errors
    /// When the exit that learns has no such stage.
    pub fn init(&self, info: &DistillInfo, init: &mut Init) -> Result<FitNet, MethodError> {
        let (student, teacher) = (&info.student.stages, &info.teachers[0].shape.stages);
        let layer = self.layer.unwrap_or((student.len() - 1) / 2);
        let range = "below the number of stages up to the exit";
        let within = layer < student.len();
        Check { method: "fitnet" }.value("layer", layer as f64, range, within)?;
        let hint = teacher_stage(layer, student.len(), teacher.len());
        let (student, teacher) = (&student[layer], &teacher[hint]);
        Ok(FitNet {
            conv: Resize::new(student, teacher, init),
            bn: BatchNorm2d::new(teacher.channels, init),
            layer,
            hint,
        })
    }
}

/// A stage of the student, mapped by a trained layer, is to equal a stage of the teacher.
///
/// ```text
/// L = mean (R(f_s) - f_t)^2      R = convolution, batch norm, ReLU
/// ```
///
/// `f_t` is the teacher's stage of the same relative depth. The convolution fits both channels
/// and size: 3x3 of stride 2 where the student's map is twice as large, a transposed 4x4 of
/// stride 2 where it is half as large, else 1x1 after the larger map has been pooled to the
/// smaller.
///
/// Romero et al., *FitNets: Hints for Thin Deep Nets*, ICLR 2015, in the one-stage form of the
/// public toolboxes: the term stays beside the cross-entropy, with weight 100, while the paper
/// trains the lower half by hints first. For other ratios of sizes they take a valid convolution
/// as large as the difference, which grows with the map.
#[derive(Module, Debug)]
pub struct FitNet {
    conv: Resize,
    bn: BatchNorm2d,
    layer: usize,
    hint: usize,
}

/// The convolution; batch norm follows, so it has no bias.
#[derive(Module, Debug)]
enum Resize {
    /// The same size, or half of it.
    Conv(Conv2d),
    /// Twice the size.
    Double(Double),
    /// Pooling to `size`, on both sides, where the ratio is another.
    Pooled(Pooled),
}

#[derive(Module, Debug)]
struct Pooled {
    conv: Conv2d,
    #[module(skip)]
    size: [usize; 2],
}

/// PyTorch's `ConvTranspose2d(.., kernel_size=4, stride=2, padding=1, bias=False)`.
#[derive(Module, Debug)]
struct Double {
    /// `[C_s, C_t, 4, 4]`.
    weight: Param<Tensor<4>>,
}

impl Resize {
    fn new(student: &MapShape, teacher: &MapShape, init: &mut Init) -> Self {
        let channels = [student.channels, teacher.channels];
        let sides = |f: &dyn Fn(usize, usize) -> bool| {
            f(student.height, teacher.height) && f(student.width, teacher.width)
        };
        let conv = |kernel| Conv2dConfig::new(channels[0], channels[1], kernel);
        if sides(&|s, t| s == t) {
            Self::Conv(conv(1).init(init))
        } else if sides(&|s, t| s == 2 * t) {
            Self::Conv(conv(3).with_stride(2).init(init))
        } else if sides(&|s, t| 2 * s == t) {
            // Four taps of every input channel meet in one output position.
            let std = (2.0 / (4 * channels[0]) as f64).sqrt();
            Self::Double(Double {
                weight: init.normal([channels[0], channels[1], 4, 4], std),
            })
        } else {
            Self::Pooled(Pooled {
                conv: conv(1).init(init),
                size: smaller(student, teacher),
            })
        }
    }

    /// The student's map with the teacher's channels, and the teacher's in the same size.
    fn forward(&self, student: Tensor<4>, teacher: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        match self {
            Self::Conv(conv) => (conv.forward(student), teacher),
            Self::Double(double) => {
                let options = ConvTransposeOptions::new([2, 2], [1, 1], [0, 0], [1, 1], 1);
                let weight = double.weight.val();
                (conv_transpose2d(student, weight, None, options), teacher)
            }
            Self::Pooled(Pooled { conv, size }) => {
                (conv.forward(shrink(student, *size)), shrink(teacher, *size))
            }
        }
    }
}

impl Distiller for FitNet {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        let student = batch.student.stages[self.layer].clone();
        let teacher = batch.teachers[0].stages[self.hint].clone();
        let (student, teacher) = self.conv.forward(student, teacher);
        LossTerms::single(mse(self.bn.forward_relu(student), teacher))
    }
}
