//! Slow start of a loss term.

use serde::{Deserialize, Serialize};

use crate::StepContext;

/// How far the ramp reaches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RampLength {
    /// The given number of epochs.
    Epochs(f64),
    /// This share of the whole training.
    Fraction(f64),
}

/// How the factor rises, with `t` from 0 at the start of training to 1 at the ramp's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RampShape {
    /// `exp(-5 (1 - t)^2)`, from 0.0067 (Laine and Aila, *Temporal Ensembling for
    /// Semi-Supervised Learning*, ICLR 2017).
    #[default]
    Sigmoid,
    /// `t`, from 0.
    Linear,
}

/// A factor that rises to 1 over the first part of training, and stays there.
///
/// In a recipe: `ramp = { fraction = 0.25 }`, `ramp = { epochs = 80, shape = "linear" }`. Of
/// length 0, the factor is 1 from the first step on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RampTable", into = "RampTable")]
pub struct Ramp {
    /// How far it reaches.
    pub length: RampLength,
    /// How it rises.
    pub shape: RampShape,
}

impl Ramp {
    /// The factor 1 throughout.
    pub const NONE: Self = Self::over(0.0);

    /// The sigmoid ramp over the first `fraction` of training.
    pub const fn over(fraction: f64) -> Self {
        Self {
            length: RampLength::Fraction(fraction),
            shape: RampShape::Sigmoid,
        }
    }

    /// The factor at a step.
    pub fn factor(&self, context: &StepContext) -> f64 {
        let end = match self.length {
            RampLength::Epochs(epochs) => epochs,
            RampLength::Fraction(fraction) => fraction * context.epochs,
        };
        if context.epoch >= end {
            return 1.0;
        }
        let t = context.epoch / end;
        match self.shape {
            RampShape::Sigmoid => (-5.0 * (1.0 - t).powi(2)).exp(),
            RampShape::Linear => t,
        }
    }
}

impl Default for Ramp {
    fn default() -> Self {
        Self::NONE
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RampTable {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epochs: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fraction: Option<f64>,
    #[serde(default)]
    shape: RampShape,
}

impl TryFrom<RampTable> for Ramp {
    type Error = String;

    fn try_from(table: RampTable) -> Result<Self, Self::Error> {
        let length = match (table.epochs, table.fraction) {
            (Some(epochs), None) if epochs.is_finite() && epochs >= 0.0 => {
                RampLength::Epochs(epochs)
            }
            (None, Some(fraction)) if (0.0..=1.0).contains(&fraction) => {
                RampLength::Fraction(fraction)
            }
            (Some(epochs), None) => {
                return Err(format!(
                    "ramp: epochs = {epochs} must be finite and at least 0"
                ));
            }
            (None, Some(fraction)) => {
                return Err(format!(
                    "ramp: fraction = {fraction} must be between 0 and 1"
                ));
            }
            (Some(_), Some(_)) => return Err("ramp: give epochs or fraction, not both".into()),
            (None, None) => return Err("ramp: give its length, epochs or fraction".into()),
        };
        Ok(Self {
            length,
            shape: table.shape,
        })
    }
}

impl From<Ramp> for RampTable {
    fn from(ramp: Ramp) -> Self {
        let (epochs, fraction) = match ramp.length {
            RampLength::Epochs(epochs) => (Some(epochs), None),
            RampLength::Fraction(fraction) => (None, Some(fraction)),
        };
        Self {
            epochs,
            fraction,
            shape: ramp.shape,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: f64) -> StepContext {
        StepContext {
            epoch,
            epochs: 24.0,
            step: 0,
            seed: 0,
        }
    }

    /// exp(-5) at the start, exp(-5/4) half-way, exp(-5/16) after three quarters.
    #[test]
    fn the_sigmoid_over_a_quarter() {
        let ramp = Ramp::over(0.25);
        let cases = [(0.0, 0.006737947), (3.0, 0.286504797), (4.5, 0.731615629)];
        for (epoch, expected) in cases {
            assert!((ramp.factor(&at(epoch)) - expected).abs() < 1e-9, "{epoch}");
        }
        assert_eq!(ramp.factor(&at(6.0)), 1.0);
        assert_eq!(ramp.factor(&at(20.0)), 1.0);
    }

    #[test]
    fn other_lengths_and_shapes() {
        let ramp: Ramp = toml::from_str("epochs = 12\nshape = \"linear\"").unwrap();
        assert_eq!(ramp.factor(&at(3.0)), 0.25);
        assert_eq!(Ramp::NONE.factor(&at(0.0)), 1.0);
    }

    #[test]
    fn tables_round_trip_and_bad_ones_say_why() {
        let ramp = Ramp::over(0.25);
        let text = toml::to_string(&ramp).unwrap();
        assert_eq!(toml::from_str::<Ramp>(&text).unwrap(), ramp);
        for (text, reason) in [
            ("", "epochs or fraction"),
            ("epochs = 1\nfraction = 0.5", "not both"),
            ("fraction = 1.5", "1.5"),
            ("epochs = -1", "-1"),
            ("epoch = 1", "epoch"),
        ] {
            let error = toml::from_str::<Ramp>(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
