//! Learning to weight samples (L2W-DEN).

mod adam;
mod config;
mod direction;
mod weight_net;

use std::collections::BTreeMap;
use std::ops::Range;

use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor, TensorData};
use offramp_core::{ExitOutputs, params};
use offramp_losses::{SampleLosses, Targets, cross_entropy, cross_entropy_each};

pub use config::{L2wDenConfig, WeightInput, ZeroMean};

use crate::{LookAhead, LossTerms, Method, MethodError, StepContext};
use adam::Adam;
use weight_net::WeightNet;

/// The step of the central difference, along `v / |v|`. Ten times as much, as in DARTS, gives an error of
/// a tenth on a small residual network: batch norms are not linear over that distance.
const DIFFERENCE: f64 = 1e-3;

const STEPS: &str = "weight-net-steps";

/// A small network gives every sample a weight at every exit. It is trained so that a step on the
/// weighted samples improves those that would leave at each exit.
///
/// ```text
/// L     = sum_k mean_n w_nk CE(z_nk, y_n)           w = 1 + eps (g - mean g)    g = MLP(losses)
/// MLP minimises L_meta(theta - lr dL/dtheta)        theta fixed, on the other half of the batch:
/// L_meta = sum_k mean_{n leaves at k} CE(z_nk, y_n)
/// ```
///
/// At exit `k` of `L_meta` leave the `floor(N P_k)` most confident of the remaining samples,
/// `P_k = q^k / sum_j q^j`; the last exit takes the rest. Each half of the batch is used once for the
/// step and once for `L_meta`.
///
/// Han et al., *Learning to Weight Samples for Dynamic Early-Exiting Networks*, ECCV 2022; public
/// code LeapLabTHU/L2W-DEN, whose CIFAR settings are the defaults. The derivative through the step
/// is found without second derivatives: `dL_meta/dw_nk` is, by the chain rule, `-lr / N` times the
/// derivative of sample `n`'s loss at exit `k` along the gradient `v` of `L_meta`, and that is a
/// central difference of two forward passes, at `theta +- 0.001 v / |v|` (as in Liu et al., *DARTS*,
/// ICLR 2019).
#[derive(Module, Debug)]
pub struct L2wDen {
    weight_net: WeightNet,
    adam: Adam,
    #[module(skip)]
    shares: Vec<f64>,
    #[module(skip)]
    config: L2wDenConfig,
}

/// Losses of a batch at every exit.
struct Losses {
    /// `[N, K]`.
    loss: Tensor<2>,
    /// The share that is labelled, `[N, 1]`.
    known: Tensor<2>,
}

impl Losses {
    fn of(outputs: &ExitOutputs, targets: &Targets) -> Self {
        let each = |logits: &Tensor<2>| cross_entropy_each(logits.clone(), targets);
        let (loss, known): (Vec<_>, Vec<_>) = outputs
            .logits()
            .map(each)
            .map(|SampleLosses { loss, known }| (loss, known))
            .unzip();
        let known = known.into_iter().next().expect("a network has an exit");
        Self {
            loss: Tensor::stack(loss, 1),
            known: known.unsqueeze_dim(1),
        }
    }

    /// Labelled samples, at least 1, `[1]`.
    fn count(&self) -> Tensor<1> {
        self.known.clone().sum().clamp_min(f32::MIN_POSITIVE)
    }
}

impl L2wDen {
    /// `w`, `[N, K]`; a function of the weight net alone.
    fn weights(&self, outputs: &ExitOutputs, losses: &Losses) -> Tensor<2> {
        let confidence = || {
            let confidence = |logits: &Tensor<2>| softmax(logits.clone(), 1).max_dim(1);
            Tensor::cat(outputs.logits().map(confidence).collect(), 1)
        };
        let input = match self.config.input {
            WeightInput::Loss => losses.loss.clone(),
            WeightInput::Confidence => confidence(),
            WeightInput::Both => Tensor::cat(vec![losses.loss.clone(), confidence()], 1),
        };
        self.scaled(self.weight_net.forward(input.detach()), losses)
    }

    /// `1 + eps (raw - mean)`, `[N, K]`.
    fn scaled(&self, raw: Tensor<2>, losses: &Losses) -> Tensor<2> {
        let [_, exits] = raw.dims();
        let known = losses.known.clone();
        // Samples without a label have no weight, and none in a mean either.
        let over_samples =
            |x: Tensor<2>| (x * known.clone()).sum_dim(0) / losses.count().unsqueeze();
        let mean = match self.config.zero_mean {
            ZeroMean::Sample => raw.clone().mean_dim(1),
            ZeroMean::Exit => over_samples(raw.clone()),
            ZeroMean::Batch => over_samples(raw.clone().sum_dim(1)) / exits as f64,
        };
        (raw - mean) * self.config.epsilon + 1.0
    }

    /// `dL_meta/dw`, `[N, K]`, for a step on the samples `train` and `L_meta` on the samples `judge`;
    /// with the weights `w`. `None` where `L_meta` has no gradient.
    fn derivative(
        &self,
        look_ahead: &LookAhead,
        train: Range<usize>,
        judge: Range<usize>,
    ) -> Option<(Tensor<2>, Tensor<2>)> {
        let LookAhead { net, optimizer, .. } = *look_ahead;
        let (images, targets) = part(look_ahead, train);
        // A copy, whose running statistics are discarded.
        let outputs = net.clone().forward(images.clone());
        let losses = Losses::of(&outputs, &targets);
        let weights = self.weights(&outputs, &losses);
        let weighted = (losses.loss.clone() * weights.clone().detach()).sum() / losses.count();
        let ahead = optimizer.step(net.clone(), &mut weighted.backward());

        let (others, labels) = part(look_ahead, judge);
        let judged = self.judged(&ahead.forward(others), &labels)?;
        let along = params::gradients(&ahead, &judged.backward());
        let step = DIFFERENCE / direction::norm(&along)?;
        let at = |step: f64| {
            let moved = direction::moved(net.clone(), &along, step);
            Losses::of(&moved.forward(images.clone()), &targets)
                .loss
                .detach()
        };
        let slope = (at(step) - at(-step)) / (2.0 * step);
        let scale = losses.count().detach().recip() * -optimizer.gain();
        Some((slope * scale.unsqueeze(), weights))
    }

    /// `L_meta`; `None` for a batch without samples or without an exit that learns.
    fn judged(&self, outputs: &ExitOutputs, targets: &Targets) -> Option<Tensor<1>> {
        let device = outputs.exits.first()?.logits.device();
        let leaving = leaving(outputs, &self.shares);
        let term = |(logits, rows): (&Tensor<2>, Vec<i64>)| {
            let count = rows.len();
            let rows: Tensor<1, Int> = Tensor::from_data(TensorData::new(rows, [count]), &device);
            cross_entropy(
                logits.clone().select(0, rows.clone()),
                &targets.select(rows),
            )
        };
        let filled = outputs
            .logits()
            .zip(leaving)
            .filter(|(_, rows)| !rows.is_empty());
        filled.map(term).reduce(|sum, term| sum + term)
    }

    /// One step of the weight net.
    fn adapt(&mut self, look_ahead: &LookAhead, train: Range<usize>, judge: Range<usize>) {
        let Some((slope, weights)) = self.derivative(look_ahead, train, judge) else {
            return;
        };
        let surrogate = (weights * slope).sum();
        if !surrogate.clone().into_scalar::<f64>().is_finite() {
            return;
        }
        let gradients = surrogate.backward();
        let lr = self.config.lr * look_ahead.optimizer.progress();
        self.weight_net = self.adam.step(
            self.weight_net.clone(),
            &gradients,
            lr,
            self.config.weight_decay,
        );
    }
}

/// Some images of the look-ahead's batch.
fn part(look_ahead: &LookAhead, rows: Range<usize>) -> (Tensor<4>, Targets) {
    let images = look_ahead.images.clone().slice_dim(0, rows.clone());
    let rows = Tensor::arange(rows.start as i64..rows.end as i64, &images.device());
    (images, look_ahead.targets.select(rows))
}

/// Which samples of a batch leave at each exit.
fn leaving(outputs: &ExitOutputs, shares: &[f64]) -> Vec<Vec<i64>> {
    let count = outputs
        .exits
        .first()
        .map_or(0, |exit| exit.logits.dims()[0]);
    let mut waiting: Vec<usize> = (0..count).collect();
    let last = shares.len().saturating_sub(1);
    let pick = |(exit, logits): (usize, &Tensor<2>)| {
        let confidence = softmax(logits.clone().detach(), 1).max_dim(1).into_data();
        let confidence: Vec<f32> = confidence.iter::<f32>().collect();
        let quota = if exit == last {
            waiting.len()
        } else {
            ((count as f64 * shares[exit]).floor() as usize).min(waiting.len())
        };
        waiting.sort_by(|a, b| confidence[*b].total_cmp(&confidence[*a]));
        waiting.drain(..quota).map(|row| row as i64).collect()
    };
    outputs.logits().enumerate().map(pick).collect()
}

impl Method for L2wDen {
    fn losses(&self, outputs: &ExitOutputs, targets: &Targets, _: &StepContext) -> LossTerms {
        let losses = Losses::of(outputs, targets);
        let weights = self.weights(outputs, &losses).detach();
        let sums = (losses.loss.clone() * weights)
            .sum_dim(0)
            .squeeze_dim::<1>(0);
        let mut terms = LossTerms::new();
        terms.push_each("ce", sums / losses.count(), |_| 1.0);
        terms
    }

    fn looks_ahead(&self, context: &StepContext) -> bool {
        context.step.is_multiple_of(self.config.every)
    }

    fn look_ahead(&mut self, look_ahead: &LookAhead) {
        let [count, ..] = look_ahead.images.dims();
        let half = count / 2;
        // A single sample cannot be set aside.
        if half > 0 {
            self.adapt(look_ahead, 0..half, half..count);
            self.adapt(look_ahead, half..count, 0..half);
        }
    }

    fn state(&self) -> BTreeMap<String, f64> {
        BTreeMap::from([(STEPS.to_owned(), self.adam.steps() as f64)])
    }

    fn load_state(&mut self, state: &BTreeMap<String, f64>) -> Result<(), MethodError> {
        if let Some(key) = state.keys().find(|key| *key != STEPS) {
            return Err(MethodError::UnknownState { key: key.clone() });
        }
        let steps = state.get(STEPS);
        let steps = *steps.ok_or(MethodError::MissingState { key: STEPS })?;
        self.adam.set_steps(steps as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
