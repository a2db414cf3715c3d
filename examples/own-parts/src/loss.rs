//! A loss: a function of tensors.

use burn::tensor::Tensor;
use offramp_losses::{SampleLosses, Targets, cross_entropy_each};

/// The focal loss, which counts images less the surer the network is of their class:
///
/// ```text
/// L = sum_n (1 - p_n)^gamma l_n / sum_n known_n      l_n: cross-entropy of image n, p_n = exp(-l_n)
/// ```
///
/// Lin et al., *Focal Loss for Dense Object Detection*, ICCV 2017. With `gamma` = 0 it is the
/// cross-entropy.
///
/// # Shapes
/// - `logits`: `[N, C]`, output: `[1]`
pub fn focal_loss(logits: Tensor<2>, targets: &Targets, gamma: f64) -> Tensor<1> {
    let SampleLosses { loss, known, .. } = cross_entropy_each(logits, targets);
    // Above 0, where the slope of a power below 1 is infinite: images without a label are there.
    let unsure = (-(-loss.clone()).exp() + 1.0).clamp_min(f32::EPSILON);
    (unsure.powf_scalar(gamma) * loss).sum() / known.sum().clamp_min(1.0)
}
