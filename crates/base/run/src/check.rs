//! Checks that several documents share.

use crate::document::Fault;

/// A finite number that is not negative.
pub(crate) fn not_negative(key: impl Into<String>, value: f64) -> Result<(), Fault> {
    match value.is_finite() && value >= 0.0 {
        true => Ok(()),
        false => Err(Fault::new(
            key,
            json(value),
            "a finite number of at least 0 is meant",
        )),
    }
}

/// A number that may be missing (`null`, here NaN), but is not negative or infinite.
pub(crate) fn missing_or_not_negative(key: impl Into<String>, value: f64) -> Result<(), Fault> {
    match value.is_nan() {
        true => Ok(()),
        false => not_negative(key, value),
    }
}

/// A percentage that may be missing (`null`, here NaN).
pub(crate) fn missing_or_percent(key: impl Into<String>, value: f64) -> Result<(), Fault> {
    match value.is_nan() {
        true => Ok(()),
        false => percent(key, value),
    }
}

/// A percentage.
pub(crate) fn percent(key: impl Into<String>, value: f64) -> Result<(), Fault> {
    match (0.0..=100.0).contains(&value) {
        true => Ok(()),
        false => Err(Fault::new(
            key,
            json(value),
            "a percentage from 0 to 100 is meant",
        )),
    }
}

/// A probability or a share.
pub(crate) fn share(key: impl Into<String>, value: f64) -> Result<(), Fault> {
    match (0.0..=1.0).contains(&value) {
        true => Ok(()),
        false => Err(Fault::new(
            key,
            json(value),
            format!("{} is no probability, which lie from 0 to 1", json(value)),
        )),
    }
}

/// A number as JSON shows it; what JSON has no number for is `null` there.
pub(crate) fn json(value: f64) -> String {
    match serde_json::Number::from_f64(value) {
        Some(number) => number.to_string(),
        None => value.to_string(),
    }
}

/// A number that JSON has no form for, NaN or infinite, is written as `null` and comes back as NaN.
pub(crate) fn null_is_nan<'de, D>(deserializer: D) -> Result<f64, D::Error>
where
    D: serde::Deserializer<'de>,
{
    let value: Option<f64> = serde::Deserialize::deserialize(deserializer)?;
    Ok(value.unwrap_or(f64::NAN))
}
