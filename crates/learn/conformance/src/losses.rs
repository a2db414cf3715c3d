//! Losses and their gradients.

use burn::tensor::Tensor;
use offramp_losses::{
    Targets, attention_transfer, byot_hint, contrastive, cross_entropy, cross_entropy_soft,
    decoupled, kl_divergence, masked_mse, mse, probabilistic_transfer, relational_angle,
    relational_distance, similarity_preserving, variational_information,
};

use crate::place::values;
use crate::{Check, Numbers, Place};

const TOLERANCE: f64 = 2e-5;
/// Logits and embeddings, `[N, C]`.
const ROWS: [usize; 2] = [6, 5];
const MAP: [usize; 4] = [3, 4, 5, 5];

/// A loss of the first tensor, with its gradient, and of a second that is constant.
fn check<const D: usize>(
    name: &str,
    shape: [usize; D],
    f: impl Fn(&Place, Tensor<D>, Tensor<D>) -> Tensor<1> + Send + Sync + 'static,
) -> Check {
    Check::new(format!("losses/{name}"), TOLERANCE, move |place| {
        let student = place.leaf(1, shape);
        let target = Tensor::from_inner(place.wave(2, shape));
        let loss = f(place, student.clone() * 2.0, target * 2.0);
        let gradients = loss.backward();
        let gradient = student.grad(&gradients).map(values).unwrap_or_default();
        Numbers::from([("loss".into(), values(loss)), ("gradient".into(), gradient)])
    })
}

/// Labels of which one is missing, softened, with another image mixed in.
fn targets(place: &Place) -> Targets {
    let mut targets = Targets::new(place.labels(&[0, 4, -1, 2, 2, 1]));
    let share = Tensor::from_inner(place.wave(9, [6])).square();
    targets.mix = Some((place.labels(&[1, 4, -1, 0, 3, 1]), share));
    targets.smoothing = 0.1;
    targets
}

pub(crate) fn checks() -> Vec<Check> {
    vec![
        check("cross-entropy", ROWS, |place, z, _| {
            cross_entropy(z, &targets(place))
        }),
        check("kl-divergence", ROWS, |_, z, t| kl_divergence(z, t, 3.0)),
        check("cross-entropy-soft", ROWS, |_, z, t| {
            cross_entropy_soft(z, t, 2.0)
        }),
        check("decoupled", ROWS, |place, z, t| {
            let terms = decoupled(z, t, &targets(place), 4.0);
            terms.target + terms.non_target * 8.0
        }),
        check("mse", ROWS, |_, z, t| mse(z, t)),
        check("masked-mse", ROWS, |_, z, t| masked_mse(z, t)),
        check("byot-hint", ROWS, |_, z, t| byot_hint(z, t)),
        check("similarity-preserving", ROWS, |_, z, t| {
            similarity_preserving(z, t)
        }),
        check("probabilistic-transfer", ROWS, |_, z, t| {
            probabilistic_transfer(z, t)
        }),
        check("relational-distance", ROWS, |_, z, t| {
            relational_distance(z, t)
        }),
        check("relational-angle", ROWS, |_, z, t| relational_angle(z, t)),
        check("contrastive", ROWS, |_, z, t| {
            let (right, wrong) = (z.clone().narrow(1, 0, 1), z.narrow(1, 1, 4));
            contrastive(right, wrong, t.narrow(1, 1, 4).square() + 0.1, 0.5)
        }),
        check("attention-transfer", MAP, |_, x, t| {
            attention_transfer(x, t, 2.0)
        }),
        check("variational-information", MAP, |place, x, t| {
            let variance = Tensor::from_inner(place.wave(5, [4])).square() + 0.5;
            variational_information(x, t, variance)
        }),
    ]
}
