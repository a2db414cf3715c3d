//! Distillation-based training of Phuong and Lampert.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::activation::softmax;
use offramp_core::ExitOutputs;
use offramp_losses::{Distillation, SoftForm, Targets};
use offramp_nn::Init;
use offramp_teachers::{LastExit, Level, Teacher, stack};
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::classification::cross_entropies;
use crate::method::teacher_scalars;
use crate::{CeWeights, LossTerms, Method, MethodError, NetworkInfo, Ramp, StepContext};

const TEMPERATURE: &str = "temperature";

/// Settings of [`PhuongLampert`].
///
/// ```toml
/// [method]
/// name = "phuong-lampert"       # annealing from T = 1
/// # annealing = false           # the constant-temperature variant ...
/// # temperature = 4.0           # ... of the public code
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct PhuongLampertConfig {
    /// Weight of every exit's cross-entropy, shallowest first, beside `1 - C`; empty: 1 each.
    pub ce_weights: CeWeights,
    /// `C`, the share of distillation; classification has `1 - C`.
    pub kd_share: f64,
    /// The factor of the whole loss; default: the public code's `2 * 5 / K`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_scale: Option<f64>,
    /// `T`, at the start when annealing.
    pub temperature: f64,
    /// Whether `T` grows while the teacher is confident.
    pub annealing: bool,
    /// The factor by which `T` grows.
    pub growth: f64,
    /// The mean confidence of the teacher above which `T` grows.
    pub max_confidence: f64,
    /// KL divergence or cross-entropy.
    pub form: SoftForm,
    /// Slow start of the taught terms; not in the paper.
    pub ramp: Ramp,
}

impl Default for PhuongLampertConfig {
    fn default() -> Self {
        Self {
            ce_weights: CeWeights::default(),
            kd_share: 0.5,
            global_scale: None,
            temperature: 1.0,
            annealing: true,
            growth: 1.05,
            max_confidence: 0.5,
            form: SoftForm::CrossEntropy,
            ramp: Ramp::NONE,
        }
    }
}

impl PhuongLampertConfig {
    /// Sets the method up for a network.
    ///
    /// # Errors
    /// When a setting is out of range or the network has one exit.
    pub fn init(&self, net: &NetworkInfo, _init: &mut Init) -> Result<PhuongLampert, MethodError> {
        let check = Check {
            method: "phuong-lampert",
        };
        let scale = self.global_scale.unwrap_or(10.0 / net.exits as f64);
        check.several_exits(net)?;
        check.share("kd-share", self.kd_share)?;
        check.positive("global-scale", scale)?;
        check.positive(TEMPERATURE, self.temperature)?;
        check.value("growth", self.growth, "at least 1", self.growth >= 1.0)?;
        check.share("max-confidence", self.max_confidence)?;
        Ok(PhuongLampert {
            ce_weights: check.ce_weights(&self.ce_weights, net)?,
            scale,
            temperature: self.temperature,
            teacher: LastExit { exits: net.exits },
            config: self.clone(),
        })
    }
}

/// The last exit teaches, at a temperature that grows with its confidence.
///
/// ```text
/// L = scale { sum_m (1 - C) CE(z_m, y) + sum_{m<K} C T^2 D_m }
/// D_m = -mean_n sum_c p_c log softmax(z_m / T)_c        p = softmax(sg z_K / T)
/// after every step:  T <- 1.05 T  if  mean_n max_c p_c > 0.5        (T starts at 1)
/// ```
///
/// Phuong and Lampert, *Distillation-Based Training for Multi-Exit Architectures*, ICCV 2019;
/// public code mary-phuong/multiexit-distillation. Unlabelled samples (label -1) take part in
/// `D` alone: the semi-supervised form. A batch without labels, where that code gives NaN, has
/// cross-entropy 0 here.
#[derive(Module, Debug)]
pub struct PhuongLampert {
    ce_weights: Vec<f64>,
    scale: f64,
    temperature: f64,
    #[module(skip)]
    teacher: LastExit,
    #[module(skip)]
    config: PhuongLampertConfig,
}

impl Method for PhuongLampert {
    fn losses(&self, outputs: &ExitOutputs, targets: &Targets, context: &StepContext) -> LossTerms {
        let config = &self.config;
        let ce_weight = self.scale * (1.0 - config.kd_share);
        let mut terms = cross_entropies(outputs, targets, |exit| ce_weight * self.ce_weights[exit]);
        if config.kd_share != 0.0 {
            let students = stack(outputs.logits().take(outputs.len() - 1).cloned());
            let teacher = self.teacher.targets(outputs, Level::Logits);
            let kd = Distillation::new(self.temperature, config.form).rows(students, teacher);
            let weight = self.scale * config.kd_share * config.ramp.factor(context);
            terms.push_each("kd", kd, |_| weight);
        }
        terms
    }

    fn after_step(&mut self, outputs: &ExitOutputs) {
        if !self.config.annealing {
            return;
        }
        let teacher = self.teacher.targets(outputs, Level::Logits);
        let confidence = softmax(teacher / self.temperature, 2).max_dim(2).mean();
        if confidence.into_scalar::<f64>() > self.config.max_confidence {
            self.temperature *= self.config.growth;
        }
    }

    fn scalars(&self) -> Vec<(String, f64)> {
        let mut scalars = teacher_scalars(&self.teacher.weights());
        scalars.push((TEMPERATURE.to_owned(), self.temperature));
        scalars
    }

    fn state(&self) -> BTreeMap<String, f64> {
        BTreeMap::from([(TEMPERATURE.to_owned(), self.temperature)])
    }

    fn load_state(&mut self, state: &BTreeMap<String, f64>) -> Result<(), MethodError> {
        if let Some(key) = state.keys().find(|key| *key != TEMPERATURE) {
            return Err(MethodError::UnknownState { key: key.clone() });
        }
        let key = TEMPERATURE;
        self.temperature = *state.get(key).ok_or(MethodError::MissingState { key })?;
        Ok(())
    }
}
