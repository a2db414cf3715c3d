//! Stops every sample at the same exit.

use serde::{Deserialize, Serialize};

use crate::{
    AnyPolicy, Decision, ExitPolicy, ExitView, FitRows, Fitted, NamedPolicy, PastExit, PolicyError,
    Target, choose,
};

/// Stops at one exit, whatever the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawFixedExit", rename_all = "kebab-case")]
pub struct FixedExit {
    exit: usize,
    num_exits: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawFixedExit {
    exit: usize,
    #[serde(alias = "num_exits")]
    num_exits: usize,
}

impl TryFrom<RawFixedExit> for FixedExit {
    type Error = PolicyError;

    fn try_from(raw: RawFixedExit) -> Result<Self, PolicyError> {
        Self::new(raw.exit, raw.num_exits)
    }
}

impl FixedExit {
    /// Stops at `exit` of a network with `num_exits` exits.
    ///
    /// # Errors
    /// [`PolicyError::NoExits`] or [`PolicyError::NoSuchExit`].
    pub fn new(exit: usize, num_exits: usize) -> Result<Self, PolicyError> {
        if num_exits == 0 {
            return Err(PolicyError::NoExits);
        }
        if exit >= num_exits {
            return Err(PolicyError::NoSuchExit { exit, num_exits });
        }
        Ok(Self { exit, num_exits })
    }

    /// The exit at which every sample stops.
    pub fn exit(&self) -> usize {
        self.exit
    }
}

impl ExitPolicy for FixedExit {
    fn num_exits(&self) -> usize {
        self.num_exits
    }

    fn score(&self, _exit: usize, _shown: &ExitView<'_>, _passed: &[PastExit]) -> f64 {
        0.0
    }

    fn decide(&self, exit: usize, _score: f64) -> Decision {
        if exit >= self.exit {
            Decision::Exit
        } else {
            Decision::Continue
        }
    }
}

impl NamedPolicy for FixedExit {
    const NAME: &'static str = "fixed-exit";
    const DOC: &'static str = "stop every sample at the same exit";

    fn deepest(num_exits: usize) -> Result<Self, PolicyError> {
        Self::new(num_exits.saturating_sub(1), num_exits)
    }

    fn fit(rows: &FitRows, macs: &[u64], target: Target) -> Result<Fitted, PolicyError> {
        let exits = rows.table().exits();
        let all = (0..exits).map(|exit| Self::new(exit, exits).map(AnyPolicy::from));
        choose(rows, all.collect::<Result<Vec<_>, _>>()?, macs, target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Evidence, exit_taken};

    #[test]
    fn stops_exactly_there() {
        let view = ExitView {
            evidence: Evidence::from_logits(&[9.0, 0.0]),
            probabilities: &[],
        };
        for exit in 0..3 {
            let policy = FixedExit::new(exit, 3).unwrap();
            assert_eq!(exit_taken(&policy, |_| view), exit);
        }
        assert!(matches!(FixedExit::new(0, 0), Err(PolicyError::NoExits)));
        assert!(matches!(
            FixedExit::new(3, 3),
            Err(PolicyError::NoSuchExit {
                exit: 3,
                num_exits: 3
            })
        ));
        let error = serde_json::from_str::<FixedExit>(r#"{"exit":3,"num_exits":3}"#).unwrap_err();
        assert!(
            error.to_string().contains("exit 3 does not exist"),
            "{error}"
        );
    }
}
