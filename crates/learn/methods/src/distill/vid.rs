//! Variational information distillation.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::activation::{relu, softplus};
use offramp_losses::variational_information;
use offramp_nn::{Conv2d, Conv2dConfig, Init};
use serde::{Deserialize, Serialize};

use super::adapt::{stage_pairs, to_smaller};
use super::{DistillBatch, DistillInfo, Distiller};
use crate::check::Check;
use crate::{LossTerms, MethodError};

/// Settings of [`Vid`].
///
/// ```toml
/// [distill.vid]
/// loss = { name = "vid", initial-variance = 5.0 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct VidConfig {
    /// The variance of every channel at the start, above 1e-5.
    pub initial_variance: f64,
}

impl Default for VidConfig {
    fn default() -> Self {
        Self {
            initial_variance: 5.0,
        }
    }
}

/// The lower bound of every variance.
const LEAST_VARIANCE: f64 = 1e-5;

impl VidConfig {
    /// Sets the distiller up.
    ///
    /// # Errors
    /// When the variance is not above 1e-5.
    pub fn init(&self, info: &DistillInfo, init: &mut Init) -> Result<Vid, MethodError> {
        let variance = self.initial_variance;
        let within = variance > LEAST_VARIANCE;
        Check { method: "vid" }.value("initial-variance", variance, "above 1e-5", within)?;
        let (student, teacher) = (&info.student.stages, &info.teachers[0].shape.stages);
        let pairs = stage_pairs(student.len(), teacher.len()).into_iter();
        let regressors = pairs
            .map(|(s, t)| Regressor::new(student[s].channels, teacher[t].channels, variance, init));
        Ok(Vid {
            regressors: regressors.collect(),
        })
    }
}

/// The student's maps predict the teacher's under a normal distribution with trained variances.
///
/// ```text
/// L = sum over pairs of stages of mean_nchw 1/2 [ (mu(f_s) - f_t)^2 / v_c + log v_c ]
/// mu = 1x1, ReLU, 1x1, ReLU, 1x1 convolutions     v_c = log(1 + e^rho_c) + 1e-5, trained
/// ```
///
/// Stages are paired by relative depth, as many as the network with fewer has, and the larger map
/// of a pair is pooled to the smaller. The convolutions have no bias and the teacher's width.
///
/// Ahn, Hu, Damianou, Lawrence and Dai, *Variational Information Distillation for Knowledge
/// Transfer*, CVPR 2019. Weight 1 beside a cross-entropy of 1 in the public toolboxes.
#[derive(Module, Debug)]
pub struct Vid {
    regressors: Vec<Regressor>,
}

/// Mean and variance of one teacher's stage.
#[derive(Module, Debug)]
struct Regressor {
    conv1: Conv2d,
    conv2: Conv2d,
    conv3: Conv2d,
    /// `[C_t]`.
    rho: Param<Tensor<1>>,
}

impl Regressor {
    fn new(student: usize, teacher: usize, variance: f64, init: &mut Init) -> Self {
        // Where softplus is the identity in float64, its inverse must not overflow.
        let above = variance - LEAST_VARIANCE;
        let rho = above + (-(-above).exp()).ln_1p();
        Self {
            conv1: Conv2dConfig::new(student, teacher, 1).init(init),
            conv2: Conv2dConfig::new(teacher, teacher, 1).init(init),
            conv3: Conv2dConfig::new(teacher, teacher, 1).init(init),
            rho: init.full([teacher], rho),
        }
    }

    fn loss(&self, student: Tensor<4>, teacher: Tensor<4>) -> Tensor<1> {
        let x = relu(self.conv1.forward(student));
        let x = relu(self.conv2.forward(x));
        let variance = softplus(self.rho.val(), 1.0) + LEAST_VARIANCE;
        variational_information(self.conv3.forward(x), teacher, variance)
    }
}

impl Distiller for Vid {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        let (student, teacher) = (batch.student.stages, batch.teachers[0].stages);
        let pairs = stage_pairs(student.len(), teacher.len()).into_iter();
        let losses = pairs.zip(&self.regressors).map(|((s, t), regressor)| {
            let (f, target) = to_smaller(student[s].clone(), teacher[t].clone());
            regressor.loss(f, target)
        });
        let sum = losses.reduce(|sum, loss| sum + loss);
        LossTerms::single(sum.expect("a network has a stage"))
    }
}
