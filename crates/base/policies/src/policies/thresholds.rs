//! Thresholds, one per exit, and how they are written to JSON.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeSeq};

use crate::PolicyError;

/// One threshold per exit, shallowest first; none is NaN and there is at least one.
///
/// The last one has no effect, because the last exit always stops; it is kept so that the list has
/// the length of the list of exits.
///
/// JSON has no infinity: infinite thresholds are written as the strings `"inf"` and `"-inf"`, which
/// Python's `float()` and Rust's `f64::from_str` read; every other one is a number and comes back
/// bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawThresholds", into = "RawThresholds")]
pub struct Thresholds(Vec<f64>);

impl Thresholds {
    /// Checks the list.
    ///
    /// # Errors
    /// [`PolicyError::NoExits`] for an empty list, [`PolicyError::NanThreshold`] for a NaN.
    pub fn new(thresholds: Vec<f64>) -> Result<Self, PolicyError> {
        if thresholds.is_empty() {
            return Err(PolicyError::NoExits);
        }
        if let Some(exit) = thresholds.iter().position(|t| t.is_nan()) {
            return Err(PolicyError::NanThreshold { exit });
        }
        Ok(Self(thresholds))
    }

    /// The thresholds, shallowest exit first.
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct RawThresholds(#[serde(with = "extended_reals")] Vec<f64>);

impl From<Thresholds> for RawThresholds {
    fn from(thresholds: Thresholds) -> Self {
        Self(thresholds.0)
    }
}

impl TryFrom<RawThresholds> for Thresholds {
    type Error = PolicyError;

    fn try_from(raw: RawThresholds) -> Result<Self, PolicyError> {
        Self::new(raw.0)
    }
}

/// A list of numbers that may be infinite, for formats that may not.
pub(crate) mod extended_reals {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(values: &[f64], out: S) -> Result<S::Ok, S::Error> {
        let mut list = out.serialize_seq(Some(values.len()))?;
        for &value in values {
            if value == f64::INFINITY {
                list.serialize_element("inf")?;
            } else if value == f64::NEG_INFINITY {
                list.serialize_element("-inf")?;
            } else {
                list.serialize_element(&value)?;
            }
        }
        list.end()
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<f64>, D::Error> {
        Ok(Vec::<Extended>::deserialize(input)?
            .into_iter()
            .map(|Extended(value)| value)
            .collect())
    }

    struct Extended(f64);

    impl<'de> Deserialize<'de> for Extended {
        fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
            input.deserialize_any(ExtendedVisitor)
        }
    }

    struct ExtendedVisitor;

    impl de::Visitor<'_> for ExtendedVisitor {
        type Value = Extended;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a number, \"inf\" or \"-inf\"")
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<Extended, E> {
            Ok(Extended(value))
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<Extended, E> {
            Ok(Extended(value as f64))
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<Extended, E> {
            Ok(Extended(value as f64))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Extended, E> {
            match text {
                "inf" => Ok(Extended(f64::INFINITY)),
                "-inf" => Ok(Extended(f64::NEG_INFINITY)),
                _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinities_survive_standard_json() {
        let values = vec![f64::INFINITY, 0.1 + 0.2, -1e8, 1.0, f64::NEG_INFINITY];
        let json = serde_json::to_string(&Thresholds::new(values.clone()).unwrap()).unwrap();
        assert_eq!(
            json,
            r#"["inf",0.30000000000000004,-100000000.0,1.0,"-inf"]"#
        );
        assert_eq!(
            serde_json::from_str::<Thresholds>(&json)
                .unwrap()
                .as_slice(),
            values
        );
        assert_eq!(
            serde_json::from_str::<Thresholds>("[1, -2]")
                .unwrap()
                .as_slice(),
            [1.0, -2.0]
        );
    }

    #[test]
    fn what_is_no_threshold_is_refused() {
        assert!(matches!(Thresholds::new(vec![]), Err(PolicyError::NoExits)));
        assert!(matches!(
            Thresholds::new(vec![0.5, f64::NAN]),
            Err(PolicyError::NanThreshold { exit: 1 })
        ));
        for (json, message) in [
            ("[]", "no exits"),
            ("[null]", "expected a number, \"inf\" or \"-inf\""),
            ("[\"NaN\"]", "expected a number, \"inf\" or \"-inf\""),
        ] {
            let error = serde_json::from_str::<Thresholds>(json)
                .unwrap_err()
                .to_string();
            assert!(error.contains(message), "{json}: {error}");
        }
    }
}
