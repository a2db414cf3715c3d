use serde::{Deserialize, Serialize};

use crate::{
    ConfidencePolicy, Criterion, Decision, EntropyPolicy, Evidence, ExitPolicy, FixedExit,
    MarginPolicy, PolicyError, Thresholds,
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

    /// What the thresholds compare with; `None` for a policy without thresholds.
    pub fn criterion(&self) -> Option<Criterion> {
        match self {
            Self::Confidence(_) => Some(Criterion::Confidence),
            Self::Entropy(_) => Some(Criterion::Entropy),
            Self::Margin(_) => Some(Criterion::Margin),
            Self::FixedExit(_) => None,
        }
    }

    /// Refuses a policy made for another number of exits.
    ///
    /// # Errors
    /// [`PolicyError::ExitCount`].
    pub fn check_exits(&self, exits: usize) -> Result<(), PolicyError> {
        check_exits(self, exits)
    }

    fn inner(&self) -> &dyn ExitPolicy {
        match self {
            Self::Confidence(policy) => policy,
            Self::Entropy(policy) => policy,
            Self::Margin(policy) => policy,
            Self::FixedExit(policy) => policy,
        }
    }
}

impl ExitPolicy for AnyPolicy {
    fn num_exits(&self) -> usize {
        self.inner().num_exits()
    }

    fn decide(&self, exit: usize, evidence: &Evidence) -> Decision {
        self.inner().decide(exit, evidence)
    }

    fn thresholds(&self) -> &[f64] {
        self.inner().thresholds()
    }
}

pub(crate) fn check_exits(
    policy: &(impl ExitPolicy + ?Sized),
    expected: usize,
) -> Result<(), PolicyError> {
    let found = policy.num_exits();
    if found == expected {
        Ok(())
    } else {
        Err(PolicyError::ExitCount {
            what: "thresholds",
            found,
            expected,
        })
    }
}

/// One line of the [`registry`].
#[derive(Clone, Copy, Debug)]
pub struct PolicyEntry {
    /// The name: `kind` in JSON, `--policy` on the command line.
    pub name: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
    /// What `offramp calibrate` fits for it; `None` when there is nothing to fit.
    pub criterion: Option<Criterion>,
    /// The policy of this kind that always runs to the deepest of so many exits.
    pub run_to_the_end: fn(num_exits: usize) -> Result<AnyPolicy, PolicyError>,
}

/// Every policy. Help, tables and the tests that run over all policies read this list.
pub fn registry() -> &'static [PolicyEntry] {
    &[
        PolicyEntry {
            name: "confidence",
            doc: "stop when the largest probability reaches the exit's threshold (MSDNet)",
            criterion: Some(Criterion::Confidence),
            run_to_the_end: |exits| never_early(Criterion::Confidence, exits),
        },
        PolicyEntry {
            name: "entropy",
            doc: "stop when the entropy falls to the exit's threshold, in nats (BranchyNet)",
            criterion: Some(Criterion::Entropy),
            run_to_the_end: |exits| never_early(Criterion::Entropy, exits),
        },
        PolicyEntry {
            name: "margin",
            doc: "stop when the two largest probabilities are far enough apart",
            criterion: Some(Criterion::Margin),
            run_to_the_end: |exits| never_early(Criterion::Margin, exits),
        },
        PolicyEntry {
            name: "fixed-exit",
            doc: "stop every sample at the same exit",
            criterion: None,
            run_to_the_end: |exits| {
                Ok(AnyPolicy::FixedExit(FixedExit::new(
                    exits.saturating_sub(1),
                    exits,
                )?))
            },
        },
    ]
}

fn never_early(criterion: Criterion, exits: usize) -> Result<AnyPolicy, PolicyError> {
    AnyPolicy::with_thresholds(criterion, vec![criterion.never(); exits])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_taken;

    #[test]
    fn every_entry_is_what_it_says() {
        let certain = Evidence::from_logits(&[500.0, 0.0, 0.0]);
        for entry in registry() {
            let policy = (entry.run_to_the_end)(3).unwrap();
            let json = serde_json::to_value(&policy).unwrap();
            assert_eq!(json["kind"], entry.name);
            assert_eq!(serde_json::from_value::<AnyPolicy>(json).unwrap(), policy);
            assert_eq!(policy.criterion(), entry.criterion);
            assert_eq!(policy.num_exits(), 3);
            assert_eq!(exit_taken(&policy, |_| certain), 2, "{}", entry.name);
            assert!((entry.run_to_the_end)(0).is_err(), "{}", entry.name);
            assert!(!entry.doc.contains('\n'));
        }
        let fitted: Vec<_> = registry()
            .iter()
            .filter_map(|entry| entry.criterion)
            .collect();
        assert_eq!(fitted, Criterion::ALL);
    }

    #[test]
    fn the_last_exit_stops_even_broken_evidence() {
        let broken = Evidence::from_logits(&[f32::NAN, 0.0]);
        for criterion in Criterion::ALL {
            let eager = AnyPolicy::with_thresholds(criterion, vec![criterion.always(); 3]).unwrap();
            assert_eq!(eager.decide(0, &broken), Decision::Continue, "{criterion}");
            assert_eq!(eager.decide(2, &broken), Decision::Exit, "{criterion}");
            assert_eq!(eager.decide(7, &broken), Decision::Exit, "{criterion}");
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
            r#"{"kind":"patience","thresholds":[1.0]}"#,
            r#"{"kind":"confidence","thresholds":[0.5,0.5],"treshold":1}"#,
            r#"{"kind":"confidence"}"#,
        ] {
            assert!(serde_json::from_str::<AnyPolicy>(json).is_err(), "{json}");
        }
    }
}
