//! Softmax regression representation learning.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use offramp_losses::mse;
use offramp_nn::{BatchNorm2d, Conv2d, Conv2dConfig, Init, Linear};
use serde::{Deserialize, Serialize};

use super::teacher_space::classifiers_stand_alone;
use super::{DistillBatch, DistillInfo, Distiller};
use crate::check::Check;
use crate::{LossTerms, MethodError};

/// Settings of [`Srrl`].
///
/// ```toml
/// [distill.srrl]
/// loss = { name = "srrl", feature-weight = 1.0, logit-weight = 1.0 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct SrrlConfig {
    /// Weight of the embeddings.
    pub feature_weight: f64,
    /// Weight of the logits.
    pub logit_weight: f64,
}

impl Default for SrrlConfig {
    fn default() -> Self {
        Self {
            feature_weight: 1.0,
            logit_weight: 1.0,
        }
    }
}

impl SrrlConfig {
    /// Sets the distiller up, with a copy of the classifier of the teacher's deepest exit.
    ///
    /// # Errors
    /// When a weight is negative or not finite.
    pub fn init(&self, info: &DistillInfo, init: &mut Init) -> Result<Srrl, MethodError> {
        let check = Check { method: "srrl" };
        check.weight("feature-weight", self.feature_weight)?;
        check.weight("logit-weight", self.logit_weight)?;
        classifiers_stand_alone("srrl", &info.teachers)?;
        let net = info.teachers[0].teacher.net();
        let classifier = frozen(&net.classifier(net.num_exits() - 1), init);
        let (inputs, width) = (info.student.map.channels, classifier.inputs());
        Ok(Srrl {
            conv: Conv2dConfig::new(inputs, width, 1).init(init),
            bn: BatchNorm2d::new(width, init),
            classifier,
            config: self.clone(),
        })
    }
}

/// A frozen copy of a linear layer, on the device of `init`.
pub(super) fn frozen(layer: &Linear, init: &Init) -> Linear {
    let device = init.device();
    Linear {
        weight: Param::from_data(layer.weight.val().into_data(), device),
        bias: (layer.bias.as_ref()).map(|bias| Param::from_data(bias.val().into_data(), device)),
    }
    .no_grad()
}

/// The student's embedding, mapped to the teacher's width, is to equal the teacher's embedding and to
/// give the teacher's logits through the teacher's classifier.
///
/// ```text
/// L = mean (P(f_s) - f_t)^2 + mean (W_t P(f_s) + b_t - z_t)^2     P = 1x1 convolution, BN, ReLU
/// ```
///
/// Two terms, `feature` and `logit`. `W_t`, `b_t` are a frozen copy of the teacher's classifier;
/// at inference the student uses its own.
///
/// Yang, Martinez, Bulat and Tzimiropoulos, *Knowledge Distillation via Softmax Regression
/// Representation Learning*, ICLR 2021, in the form of the SimKD toolbox, with weight 1 beside
/// cross-entropy and KD of weight 1 each. The authors' code has no KD, and maps the last map, whose spatial
/// means it compares.
#[derive(Module, Debug)]
pub struct Srrl {
    conv: Conv2d,
    bn: BatchNorm2d,
    classifier: Linear,
    #[module(skip)]
    config: SrrlConfig,
}

impl Distiller for Srrl {
    fn losses(&self, batch: &DistillBatch) -> LossTerms {
        let teacher = batch.teachers[0].exit;
        let embedding: Tensor<4> = (batch.student.exit.embedding.clone()).unsqueeze_dims(&[2, 3]);
        let mapped = self.bn.forward_relu(self.conv.forward(embedding));
        let mapped = mapped.flatten::<2>(1, 3);
        let logits = self.classifier.forward(mapped.clone());
        let mut terms = LossTerms::new();
        let value = mse(mapped, teacher.embedding.clone());
        terms.push("feature", value, self.config.feature_weight);
        let value = mse(logits, teacher.logits.clone());
        terms.push("logit", value, self.config.logit_weight);
        terms
    }
}
