use serde::{Deserialize, Serialize};

use crate::{
    ConfidencePolicy, Criterion, DeadlinePolicy, Decision, EntropyPolicy, ExitPolicy, FitRows,
    Fitted, FixedExit, Gate, GatePolicy, MarginPolicy, Passed, PatiencePolicy, PolicyError,
    SchedulerPolicy, Scorer, Shown, Target, Thresholds, choose, fit, fit_gates, fit_scheduler,
};

/// Any policy a file or a command line can name.
///
/// In JSON the field `kind` carries the name of the [`registry`]:
///
/// ```
/// use offramp_policies::{AnyPolicy, Criterion};
///
/// let policy = AnyPolicy::with_thresholds(Criterion::Entropy, vec![0.3, f64::NEG_INFINITY, 0.0])?;
/// let json = r#"{"kind":"entropy","thresholds":[0.3,"-inf",0.0]}"#;
/// assert_eq!(serde_json::to_string(&policy)?, json);
/// assert_eq!(serde_json::from_str::<AnyPolicy>(json)?, policy);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AnyPolicy {
    /// See [`ConfidencePolicy`].
    Confidence(ConfidencePolicy),
    /// See [`EntropyPolicy`].
    Entropy(EntropyPolicy),
    /// See [`MarginPolicy`].
    Margin(MarginPolicy),
    /// See [`PatiencePolicy`].
    Patience(PatiencePolicy),
    /// See [`GatePolicy`].
    Gates(GatePolicy),
    /// See [`SchedulerPolicy`].
    Scheduler(SchedulerPolicy),
    /// See [`DeadlinePolicy`].
    Deadline(DeadlinePolicy),
    /// See [`FixedExit`].
    FixedExit(FixedExit),
}

impl AnyPolicy {
    /// The threshold policy on `criterion`, one threshold an exit in the criterion's own units.
    ///
    /// # Errors
    /// Those of [`Thresholds::new`].
    pub fn with_thresholds(
        criterion: Criterion,
        thresholds: Vec<f64>,
    ) -> Result<Self, PolicyError> {
        let thresholds = Thresholds::new(thresholds)?;
        Ok(match criterion {
            Criterion::Confidence => Self::Confidence(ConfidencePolicy { thresholds }),
            Criterion::Entropy => Self::Entropy(EntropyPolicy { thresholds }),
            Criterion::Margin => Self::Margin(MarginPolicy { thresholds }),
        })
    }

    /// Its name in the [`registry`].
    pub fn name(&self) -> &'static str {
        match self {
            Self::Confidence(_) => "confidence",
            Self::Entropy(_) => "entropy",
            Self::Margin(_) => "margin",
            Self::Patience(_) => "patience",
            Self::Gates(_) => "gates",
            Self::Scheduler(_) => "scheduler",
            Self::Deadline(_) => "deadline",
            Self::FixedExit(_) => "fixed-exit",
        }
    }

    /// What the thresholds compare with; `None` for a policy that looks at something else.
    pub fn criterion(&self) -> Option<Criterion> {
        match self {
            Self::Confidence(_) => Some(Criterion::Confidence),
            Self::Entropy(_) => Some(Criterion::Entropy),
            Self::Margin(_) => Some(Criterion::Margin),
            _ => None,
        }
    }

    /// Refuses a policy made for another number of exits.
    ///
    /// # Errors
    /// [`PolicyError::ExitCount`].
    pub fn check_exits(&self, exits: usize) -> Result<(), PolicyError> {
        check_exits(self, exits)
    }

    /// Refuses a policy fitted for another number of classes.
    ///
    /// # Errors
    /// [`PolicyError::Classes`].
    pub fn check_classes(&self, classes: usize) -> Result<(), PolicyError> {
        check_classes(self, classes)
    }

    fn inner(&self) -> &dyn ExitPolicy {
        match self {
            Self::Confidence(policy) => policy,
            Self::Entropy(policy) => policy,
            Self::Margin(policy) => policy,
            Self::Patience(policy) => policy,
            Self::Gates(policy) => policy,
            Self::Scheduler(policy) => policy,
            Self::Deadline(policy) => policy,
            Self::FixedExit(policy) => policy,
        }
    }
}

impl ExitPolicy for AnyPolicy {
    fn num_exits(&self) -> usize {
        self.inner().num_exits()
    }

    fn score(&self, exit: usize, shown: &Shown<'_>, passed: &[Passed]) -> f64 {
        self.inner().score(exit, shown, passed)
    }

    fn decide(&self, exit: usize, score: f64) -> Decision {
        self.inner().decide(exit, score)
    }

    fn thresholds(&self) -> &[f64] {
        self.inner().thresholds()
    }

    fn classes(&self) -> Option<usize> {
        self.inner().classes()
    }
}

pub(crate) fn check_exits(
    policy: &(impl ExitPolicy + ?Sized),
    expected: usize,
) -> Result<(), PolicyError> {
    let found = policy.num_exits();
    if found == expected {
        return Ok(());
    }
    let what = match policy.thresholds() {
        [] => "exits of the policy",
        _ => "thresholds",
    };
    Err(PolicyError::ExitCount {
        what,
        found,
        expected,
    })
}

pub(crate) fn check_classes(
    policy: &(impl ExitPolicy + ?Sized),
    expected: usize,
) -> Result<(), PolicyError> {
    match policy.classes() {
        Some(found) if found != expected => Err(PolicyError::Classes { found, expected }),
        _ => Ok(()),
    }
}

/// One line of the [`registry`].
#[derive(Clone, Copy, Debug)]
pub struct PolicyEntry {
    /// The name: `kind` in JSON, `--policy` on the command line.
    pub name: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
    /// What its thresholds compare with; `None` for a policy that looks at something else.
    pub criterion: Option<Criterion>,
    /// The policy of this kind that always runs to the deepest of so many exits.
    pub run_to_the_end: fn(num_exits: usize) -> Result<AnyPolicy, PolicyError>,
    /// The policy of this kind that meets a target on the rows; costs as in [`fit()`].
    pub fit: fn(&FitRows, &[u64], Target) -> Result<Fitted, PolicyError>,
}

impl PolicyEntry {
    /// The entry called `name`.
    ///
    /// # Errors
    /// [`PolicyError::UnknownName`], with the names there are.
    pub fn named(name: &str) -> Result<Self, PolicyError> {
        let entry = registry().iter().find(|entry| entry.name == name);
        entry.copied().ok_or_else(|| PolicyError::UnknownName {
            what: "policy",
            name: name.to_owned(),
            known: names(registry().iter().map(|entry| entry.name)),
        })
    }
}

pub(crate) fn names(all: impl Iterator<Item = &'static str>) -> String {
    all.collect::<Vec<_>>().join(", ")
}

/// Every policy. Help, tables and the tests that run over all policies read this list.
pub fn registry() -> &'static [PolicyEntry] {
    &[
        PolicyEntry {
            name: "confidence",
            doc: "stop when the largest probability reaches the exit's threshold (MSDNet)",
            criterion: Some(Criterion::Confidence),
            run_to_the_end: |exits| never_early(Criterion::Confidence, exits),
            fit: |rows, macs, target| fit(rows, Criterion::Confidence, macs, target),
        },
        PolicyEntry {
            name: "entropy",
            doc: "stop when the entropy falls to the exit's threshold, in nats (BranchyNet)",
            criterion: Some(Criterion::Entropy),
            run_to_the_end: |exits| never_early(Criterion::Entropy, exits),
            fit: |rows, macs, target| fit(rows, Criterion::Entropy, macs, target),
        },
        PolicyEntry {
            name: "margin",
            doc: "stop when the two largest probabilities are far enough apart",
            criterion: Some(Criterion::Margin),
            run_to_the_end: |exits| never_early(Criterion::Margin, exits),
            fit: |rows, macs, target| fit(rows, Criterion::Margin, macs, target),
        },
        PolicyEntry {
            name: "patience",
            doc: "stop when so many exits in a row agree with the one before (PABEE)",
            criterion: None,
            run_to_the_end: |exits| {
                Ok(AnyPolicy::Patience(PatiencePolicy::new(
                    exits.max(1),
                    exits,
                )?))
            },
            fit: |rows, macs, target| {
                let exits = rows.table().exits();
                let all = (1..=exits).map(|patience| PatiencePolicy::new(patience, exits));
                choose(rows, list(all, AnyPolicy::Patience)?, macs, target)
            },
        },
        PolicyEntry {
            name: "gates",
            doc: "stop when the exit's trained gate on four uncertainties opens (JEI-DNN)",
            criterion: None,
            run_to_the_end: |exits| {
                let early = exits.checked_sub(1).ok_or(PolicyError::NoExits)?;
                let closed = vec![Gate::constant(-1e8); early];
                Ok(AnyPolicy::Gates(GatePolicy::new(closed)?))
            },
            fit: fit_gates,
        },
        PolicyEntry {
            name: "scheduler",
            doc: "stop when the exit's trained score reaches its threshold for the budget (EENet)",
            criterion: None,
            run_to_the_end: |exits| {
                let thresholds = Thresholds::new(vec![Criterion::Confidence.never(); exits])?;
                // Of no class: it does not look at the softmax, and so fits any network.
                let scorers = (0..exits - 1).map(Scorer::blind).collect();
                Ok(AnyPolicy::Scheduler(SchedulerPolicy::new(
                    thresholds, scorers,
                )?))
            },
            fit: fit_scheduler,
        },
        PolicyEntry {
            name: "deadline",
            doc: "stop at the deepest exit that answers within a time limit (anytime prediction)",
            criterion: None,
            run_to_the_end: |exits| {
                Ok(AnyPolicy::Deadline(DeadlinePolicy::new(
                    vec![0.0; exits],
                    0.0,
                )?))
            },
            fit: |_, _, _| {
                Err(PolicyError::NothingToFit {
                    name: "deadline",
                    why: "it needs measured times and a limit in milliseconds",
                })
            },
        },
        PolicyEntry {
            name: "fixed-exit",
            doc: "stop every sample at the same exit",
            criterion: None,
            run_to_the_end: |exits| {
                let deepest = FixedExit::new(exits.saturating_sub(1), exits)?;
                Ok(AnyPolicy::FixedExit(deepest))
            },
            fit: |rows, macs, target| {
                let exits = rows.table().exits();
                let all = (0..exits).map(|exit| FixedExit::new(exit, exits));
                choose(rows, list(all, AnyPolicy::FixedExit)?, macs, target)
            },
        },
    ]
}

fn never_early(criterion: Criterion, exits: usize) -> Result<AnyPolicy, PolicyError> {
    AnyPolicy::with_thresholds(criterion, vec![criterion.never(); exits])
}

fn list<P>(
    policies: impl Iterator<Item = Result<P, PolicyError>>,
    wrap: fn(P) -> AnyPolicy,
) -> Result<Vec<AnyPolicy>, PolicyError> {
    policies.map(|policy| policy.map(wrap)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Evidence, exit_taken};

    fn shown(evidence: Evidence) -> Shown<'static> {
        Shown {
            evidence,
            probabilities: &[1.0, 0.0, 0.0],
        }
    }

    #[test]
    fn every_entry_is_what_it_says() {
        let certain = shown(Evidence::from_logits(&[500.0, 0.0, 0.0]));
        for entry in registry() {
            let policy = (entry.run_to_the_end)(3).unwrap();
            let json = serde_json::to_value(&policy).unwrap();
            assert_eq!(json["kind"], entry.name);
            assert_eq!(policy.name(), entry.name);
            assert_eq!(serde_json::from_value::<AnyPolicy>(json).unwrap(), policy);
            assert_eq!(policy.criterion(), entry.criterion);
            assert_eq!(policy.num_exits(), 3);
            assert_eq!(exit_taken(&policy, |_| certain), 2, "{}", entry.name);
            assert!((entry.run_to_the_end)(0).is_err(), "{}", entry.name);
            assert!(!entry.doc.contains('\n'));
            assert_eq!(PolicyEntry::named(entry.name).unwrap().name, entry.name);
        }
        let fitted: Vec<_> = registry()
            .iter()
            .filter_map(|entry| entry.criterion)
            .collect();
        assert_eq!(fitted, Criterion::ALL);
        let error = PolicyEntry::named("patient").unwrap_err().to_string();
        assert!(
            error.contains("`patient`") && error.contains("patience, gates"),
            "{error}"
        );
    }

    #[test]
    fn the_last_exit_stops_even_broken_evidence() {
        let broken = shown(Evidence::from_logits(&[f32::NAN, 0.0]));
        for criterion in Criterion::ALL {
            let eager = AnyPolicy::with_thresholds(criterion, vec![criterion.always(); 3]).unwrap();
            let score = eager.score(0, &broken, &[]);
            assert_eq!(eager.decide(0, score), Decision::Continue, "{criterion}");
            assert_eq!(eager.decide(2, score), Decision::Exit, "{criterion}");
            assert_eq!(eager.decide(7, score), Decision::Exit, "{criterion}");
            assert_eq!(exit_taken(&eager, |_| broken), 2, "{criterion}");
        }
    }

    #[test]
    fn a_policy_of_another_depth_is_refused() {
        let policy = AnyPolicy::with_thresholds(Criterion::Margin, vec![0.5, 0.0]).unwrap();
        assert!(policy.check_exits(2).is_ok());
        assert_eq!(
            policy.check_exits(3).unwrap_err().to_string(),
            "2 thresholds for 3 exit(s); give one for each exit, shallowest first"
        );
    }

    #[test]
    fn unknown_kinds_and_fields_are_refused() {
        for json in [
            r#"{"kind":"impatience","thresholds":[1.0]}"#,
            r#"{"kind":"confidence","thresholds":[0.5,0.5],"treshold":1}"#,
            r#"{"kind":"confidence"}"#,
        ] {
            assert!(serde_json::from_str::<AnyPolicy>(json).is_err(), "{json}");
        }
    }
}
