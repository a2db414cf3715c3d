//! Learned scores of EENet.

use serde::{Deserialize, Serialize};

use crate::{
    Criterion, Decision, ExitPolicy, ExitView, FitRows, Fitted, NamedPolicy, PastExit, PolicyError,
    Target, Thresholds, fit::fit_scheduler, state::exit_if,
};

/// How likely exit `k` is right, as a linear function of what is known there:
///
/// `q_k = u . p_k + v_1 max p_k + v_2 (1 - H(p_k) / ln C) + sum_{j<k} w_j clip(q_j, 0, 1)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scorer {
    /// `u`, one weight per class.
    pub classes: Vec<f64>,
    /// `v_1`, the weight of the largest probability.
    pub confidence: f64,
    /// `v_2`, the weight of 1 minus the normalised entropy.
    pub certainty: f64,
    /// `w`, one weight for each exit before.
    pub past: Vec<f64>,
}

impl Scorer {
    /// The scorer of `exit` that gives 0 always, for any number of classes.
    pub(crate) fn constant(exit: usize) -> Self {
        Self {
            classes: Vec::new(),
            confidence: 0.0,
            certainty: 0.0,
            past: vec![0.0; exit],
        }
    }

    fn score(&self, view: &ExitView<'_>, past: &[PastExit]) -> f64 {
        let classes = (self.classes.iter().zip(view.probabilities))
            .map(|(u, &p)| u * f64::from(p))
            .sum::<f64>();
        let past = (self.past.iter().zip(past))
            .map(|(w, past)| w * past.score.clamp(0.0, 1.0))
            .sum::<f64>();
        let [confidence, certainty] = certainties(view);
        classes + self.confidence * confidence + self.certainty * certainty + past
    }

    fn broken(&self) -> Option<f64> {
        let all = self.classes.iter().chain(&self.past);
        let mut all = all.chain([&self.confidence, &self.certainty]);
        all.find(|value| !value.is_finite()).copied()
    }
}

/// `max p` and `1 - H(p) / ln C`.
pub(crate) fn certainties(view: &ExitView<'_>) -> [f64; 2] {
    let nats = (view.probabilities.len() as f64).ln();
    let evidence = view.evidence;
    [
        evidence.confidence.into(),
        1.0 - f64::from(evidence.entropy) / nats,
    ]
}

/// Stops at exit `k` when its learned score `q_k` is at least `t_k`.
///
/// Ilhan, Chow, Hu, Huang, Tekin, Wei, Wu, Lee, Kompella, Latapie, Liu, Adaptive Deep Neural Network
/// Inference Optimization with EENet, WACV 2024; public code git-disl/EENet.
/// [`fit`](NamedPolicy::fit) trains scores and thresholds for a budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawScheduler")]
pub struct SchedulerPolicy {
    thresholds: Thresholds,
    scorers: Vec<Scorer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScheduler {
    thresholds: Thresholds,
    scorers: Vec<Scorer>,
}

impl TryFrom<RawScheduler> for SchedulerPolicy {
    type Error = PolicyError;

    fn try_from(raw: RawScheduler) -> Result<Self, PolicyError> {
        Self::new(raw.thresholds, raw.scorers)
    }
}

impl SchedulerPolicy {
    /// One threshold per exit, and one scorer for each exit but the last.
    ///
    /// # Errors
    /// [`PolicyError::ExitCount`] for a wrong number of scorers or of weights of earlier exits,
    /// [`PolicyError::Classes`] when scorers differ in their classes,
    /// [`PolicyError::InvalidParameter`] for a weight that is not finite.
    pub fn new(thresholds: Thresholds, scorers: Vec<Scorer>) -> Result<Self, PolicyError> {
        let expected = thresholds.as_slice().len();
        if scorers.len() + 1 != expected {
            return Err(PolicyError::ExitCount {
                what: "scorers, and one for the last exit,",
                found: scorers.len() + 1,
                expected,
            });
        }
        for (exit, scorer) in scorers.iter().enumerate() {
            if scorer.past.len() != exit {
                return Err(PolicyError::ExitCount {
                    what: "weights of earlier scores",
                    found: scorer.past.len(),
                    expected: exit,
                });
            }
            let (found, expected) = (scorer.classes.len(), scorers[0].classes.len());
            if found != expected {
                return Err(PolicyError::Classes { found, expected });
            }
            if let Some(value) = scorer.broken() {
                return Err(PolicyError::InvalidParameter {
                    what: "scorer",
                    exit,
                    value,
                });
            }
        }
        Ok(Self {
            thresholds,
            scorers,
        })
    }

    /// The scorers, shallowest first.
    pub fn scorers(&self) -> &[Scorer] {
        &self.scorers
    }
}

impl ExitPolicy for SchedulerPolicy {
    fn num_exits(&self) -> usize {
        self.thresholds.as_slice().len()
    }

    /// The exit's score; 1 at the last exit, which needs none.
    fn score(&self, exit: usize, view: &ExitView<'_>, past: &[PastExit]) -> f64 {
        (self.scorers.get(exit)).map_or(1.0, |scorer| scorer.score(view, past))
    }

    fn decide(&self, exit: usize, score: f64) -> Decision {
        let thresholds = self.thresholds.as_slice();
        let met = thresholds
            .get(exit)
            .is_some_and(|&threshold| score >= threshold);
        exit_if(met, exit, thresholds.len())
    }

    fn thresholds(&self) -> &[f64] {
        self.thresholds.as_slice()
    }

    fn classes(&self) -> Option<usize> {
        let classes = self.scorers.first().map(|scorer| scorer.classes.len());
        classes.filter(|&classes| classes > 0)
    }
}

impl NamedPolicy for SchedulerPolicy {
    const NAME: &'static str = "scheduler";
    const DOC: &'static str =
        "stop when the exit's trained score reaches its threshold for the budget (EENet)";

    fn deepest(num_exits: usize) -> Result<Self, PolicyError> {
        let thresholds = Thresholds::new(vec![Criterion::Confidence.never(); num_exits])?;
        // Of no class: it does not look at the softmax, and so fits any network.
        let scorers = (0..num_exits - 1).map(Scorer::constant).collect();
        Self::new(thresholds, scorers)
    }

    fn fit(rows: &FitRows, macs: &[u64], target: Target) -> Result<Fitted, PolicyError> {
        fit_scheduler(rows, macs, target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Evidence, PolicyState};

    fn scorer(past: Vec<f64>) -> Scorer {
        Scorer {
            classes: vec![0.5, -0.25, 0.1],
            confidence: 0.75,
            certainty: 0.3,
            past,
        }
    }

    fn view(p: &[f32; 3]) -> ExitView<'_> {
        ExitView {
            evidence: Evidence::from_probabilities(&p.map(f64::from)),
            probabilities: p,
        }
    }

    /// Plain Python:
    /// `c=lambda p:1+sum(x*math.log(x) for x in p)/math.log(3)`
    /// `f=lambda p:.5*p[0]-.25*p[1]+.1*p[2]+.75*max(p)+.3*c(p)`
    /// `q0=f([.6,.3,.1]); q1=f([.9,.05,.05])+.4*min(max(q0,0),1); print(q0,q1)`
    #[test]
    fn golden_numbers() {
        let thresholds = Thresholds::new(vec![0.8, 1.5, 0.0]).unwrap();
        let policy = SchedulerPolicy::new(thresholds, vec![scorer(vec![]), scorer(vec![0.4])]);
        let policy = policy.unwrap();
        let (first, second) = ([0.6, 0.3, 0.1], [0.9, 0.05, 0.05]);
        let q0 = policy.score(0, &view(&first), &[]);
        assert!((q0 - 0.739_796_373_356_047).abs() < 1e-6, "{q0}");
        let mut state = PolicyState::default();
        assert_eq!(state.step(&policy, &view(&first)), Decision::Continue);
        assert_eq!(state.step(&policy, &view(&second)), Decision::Exit);
        let past = [PastExit {
            prediction: 0,
            score: q0,
        }];
        let q1 = policy.score(1, &view(&second), &past);
        assert!((q1 - 1.605_719_674_448_46).abs() < 1e-6, "{q1}");
    }

    #[test]
    fn parts_that_do_not_fit_are_named() {
        let list = |n: usize| Thresholds::new(vec![0.5; n]).unwrap();
        let message = |thresholds, scorers| {
            let error = SchedulerPolicy::new(thresholds, scorers).unwrap_err();
            error.to_string()
        };
        assert!(message(list(3), vec![scorer(vec![])]).contains("2 scorers"));
        let error = message(list(2), vec![scorer(vec![1.0])]);
        assert!(error.contains("1 weights of earlier scores"), "{error}");
        let mut other = scorer(vec![0.0]);
        other.classes.pop();
        let error = message(list(3), vec![scorer(vec![]), other]);
        assert!(
            error.contains("2 classes") && error.contains('3'),
            "{error}"
        );
        let mut broken = scorer(vec![]);
        broken.certainty = f64::INFINITY;
        assert!(message(list(2), vec![broken]).contains("scorer of exit 0"));
    }
}
