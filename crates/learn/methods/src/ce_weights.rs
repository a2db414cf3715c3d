//! How much each exit's cross-entropy counts.

use std::fmt;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// The weights `w_i` of the exits' cross-entropies. In a recipe: `ce-weights = "even"`,
/// `"linear"`, or a list, shallowest exit first.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum CeWeights {
    /// 1 each.
    #[default]
    Even,
    /// `w_i = i / (1 + 2 + ... + K)`, `i` from 1: deep exits count more (PABEE: Zhou et al., *BERT
    /// Loses Patience*, NeurIPS 2020).
    Linear,
    /// As given.
    Each(Vec<f64>),
}

impl CeWeights {
    /// The weights of `exits` exits, as far as they are given.
    pub(crate) fn of(&self, exits: usize) -> Vec<f64> {
        match self {
            Self::Even => vec![1.0; exits],
            Self::Linear => {
                let sum = (exits * (exits + 1)) as f64 / 2.0;
                (1..=exits).map(|i| i as f64 / sum).collect()
            }
            Self::Each(weights) => weights.clone(),
        }
    }
}

impl fmt::Display for CeWeights {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Even => f.write_str("even"),
            Self::Linear => f.write_str("linear"),
            Self::Each(weights) => write!(f, "{weights:?}"),
        }
    }
}

impl Serialize for CeWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Each(weights) => weights.serialize(serializer),
            named => serializer.serialize_str(&named.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for CeWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match value.as_str() {
            Some("even") => return Ok(Self::Even),
            Some("linear") => return Ok(Self::Linear),
            _ => {}
        }
        match serde_json::from_value(value.clone()) {
            Ok(weights) => Ok(Self::Each(weights)),
            Err(_) => Err(D::Error::custom(format!(
                "ce-weights are \"even\", \"linear\" or a list of numbers, one per exit, not {value}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_recipe_may_say() {
        let read = |text: &str| {
            #[derive(Deserialize)]
            struct Table {
                weights: CeWeights,
            }
            toml::from_str::<Table>(&format!("weights = {text}")).map(|table| table.weights)
        };
        // PABEE's sum_i i CE_i / sum_i i.
        assert_eq!(
            read("\"linear\"").unwrap().of(3),
            [1.0 / 6.0, 2.0 / 6.0, 3.0 / 6.0]
        );
        assert_eq!(read("\"even\"").unwrap().of(2), [1.0, 1.0]);
        assert_eq!(read("[2, 0.5]").unwrap(), CeWeights::Each(vec![2.0, 0.5]));
        for wrong in ["\"lineal\"", "[\"a\"]", "3"] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("\"linear\" or a list"), "{error}");
        }
    }
}
