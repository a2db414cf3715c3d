//! Learned gates of JEI-DNN.

use serde::{Deserialize, Serialize};

use crate::{
    Decision, ExitPolicy, ExitView, FitRows, Fitted, NamedPolicy, PastExit, PolicyError, Target,
    fit::fit_gates, state::exit_if,
};

/// A logistic gate on four numbers of the softmax `p` of its exit:
///
/// `g = sigmoid(a_1 max p + a_2 H(p) + a_3 (p_(1) - p_(2)) + a_4 H(p^2 / sum p^2) + b)`,
///
/// with `H` the entropy in nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Gate {
    /// Weight of the largest probability.
    pub confidence: f64,
    /// Weight of the entropy.
    pub entropy: f64,
    /// Weight of the margin.
    pub margin: f64,
    /// Weight of the entropy of the squared, normalised probabilities.
    #[serde(alias = "power_entropy")]
    pub power_entropy: f64,
    /// The bias.
    pub bias: f64,
}

impl Gate {
    /// The gate that looks at nothing.
    pub(crate) fn constant(bias: f64) -> Self {
        Self::from([0.0, 0.0, 0.0, 0.0, bias])
    }

    fn to_array(self) -> [f64; 5] {
        [
            self.confidence,
            self.entropy,
            self.margin,
            self.power_entropy,
            self.bias,
        ]
    }

    /// The weighted sum, before the sigmoid.
    fn logit(&self, view: &ExitView<'_>) -> f64 {
        let features = features(view);
        (self.to_array().iter().zip(features))
            .map(|(a, x)| a * x)
            .sum()
    }
}

impl From<[f64; 5]> for Gate {
    fn from([confidence, entropy, margin, power_entropy, bias]: [f64; 5]) -> Self {
        Self {
            confidence,
            entropy,
            margin,
            power_entropy,
            bias,
        }
    }
}

/// What a gate looks at, and a 1 for its bias.
pub(crate) fn features(view: &ExitView<'_>) -> [f64; 5] {
    let evidence = view.evidence;
    [
        evidence.confidence.into(),
        evidence.entropy.into(),
        evidence.margin.into(),
        power_entropy(view.probabilities),
        1.0,
    ]
}

/// The entropy of `p^2 / sum p^2`, nats: `ln s - (1 / s) sum p^2 ln p^2` with `s = sum p^2`.
fn power_entropy(probabilities: &[f32]) -> f64 {
    let (mut sum, mut weighted) = (0.0, 0.0);
    for &p in probabilities {
        let square = f64::from(p) * f64::from(p);
        sum += square;
        if square > 0.0 {
            weighted += square * square.ln();
        }
    }
    (sum.ln() - weighted / sum).max(0.0)
}

/// Stops at the first exit whose gate is open, `g_k >= 0.5`.
///
/// Regol, Chataoui, Coates, Jointly-Learned Exit and Inference for a Dynamic Neural Network (JEI-DNN),
/// ICLR 2024; public code networkslab/dynn. [`fit`](NamedPolicy::fit) trains the gates on a
/// network that is trained already; the paper trains network and gates in turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawGates")]
pub struct GatePolicy {
    gates: Vec<Gate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGates {
    gates: Vec<Gate>,
}

impl TryFrom<RawGates> for GatePolicy {
    type Error = PolicyError;

    fn try_from(raw: RawGates) -> Result<Self, PolicyError> {
        Self::new(raw.gates)
    }
}

impl GatePolicy {
    /// One gate for each exit but the last.
    ///
    /// # Errors
    /// [`PolicyError::InvalidParameter`] for a weight that is not finite.
    pub fn new(gates: Vec<Gate>) -> Result<Self, PolicyError> {
        for (exit, gate) in gates.iter().enumerate() {
            if let Some(&value) = gate.to_array().iter().find(|a| !a.is_finite()) {
                return Err(PolicyError::InvalidParameter {
                    what: "gate",
                    exit,
                    value,
                });
            }
        }
        Ok(Self { gates })
    }

    /// The gates, shallowest first.
    pub fn gates(&self) -> &[Gate] {
        &self.gates
    }
}

impl ExitPolicy for GatePolicy {
    fn num_exits(&self) -> usize {
        self.gates.len() + 1
    }

    /// How far the gate is open, 0 to 1; 1 at the last exit, which has none.
    fn score(&self, exit: usize, view: &ExitView<'_>, _passed: &[PastExit]) -> f64 {
        (self.gates.get(exit)).map_or(1.0, |gate| 1.0 / (1.0 + (-gate.logit(view)).exp()))
    }

    fn decide(&self, exit: usize, score: f64) -> Decision {
        exit_if(score >= 0.5, exit, self.num_exits())
    }
}

impl NamedPolicy for GatePolicy {
    const NAME: &'static str = "gates";
    const DOC: &'static str =
        "stop when the exit's trained gate on four uncertainties opens (JEI-DNN)";

    fn deepest(num_exits: usize) -> Result<Self, PolicyError> {
        let early = num_exits.checked_sub(1).ok_or(PolicyError::NoExits)?;
        Self::new(vec![Gate::constant(-1e8); early])
    }

    fn fit(rows: &FitRows, macs: &[u64], target: Target) -> Result<Fitted, PolicyError> {
        fit_gates(rows, macs, target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Evidence;

    /// Plain Python:
    /// `p=[.6,.3,.1]; q=[x*x/sum(y*y for y in p) for x in p]`
    /// `H=lambda p:-sum(x*math.log(x) for x in p); s=2*.6-1*H(p)+3*.3-.5*H(q)+.25`
    /// `print(H(p), H(q), 1/(1+math.exp(-s)))`
    #[test]
    fn golden_numbers() {
        let p = [0.6f32, 0.3, 0.1];
        let view = ExitView {
            evidence: Evidence::from_probabilities(&p.map(f64::from)),
            probabilities: &p,
        };
        assert!((features(&view)[1] - 0.897_945_724_856_780).abs() < 1e-6);
        assert!((power_entropy(&p) - 0.594_256_549_088_096).abs() < 1e-6);
        let gate = Gate::from([2.0, -1.0, 3.0, -0.5, 0.25]);
        let policy = GatePolicy::new(vec![gate]).unwrap();
        let score = policy.score(0, &view, &[]);
        assert!((score - 0.760_409_520_528_448).abs() < 1e-6, "{score}");
        assert_eq!(policy.num_exits(), 2);
    }

    #[test]
    fn bad_gates_are_named() {
        let error = GatePolicy::new(vec![Gate::constant(0.0), Gate::constant(f64::NAN)]);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("gate of exit 1") && error.contains("NaN"),
            "{error}"
        );
    }
}
