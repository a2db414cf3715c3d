//! Checks that several documents share.

use crate::document::Fault;

/// A finite number that is not negative.
pub(crate) fn not_negative(key: impl Into<String>, value: f64) -> Result<(), Fault> {
    let rule = "it must be a finite number of at least 0";
    check(value.is_finite() && value >= 0.0, key, value, rule)
}

/// A number that may be missing (`null`, here NaN), but is not negative or infinite.
pub(crate) fn missing_or_not_negative(key: impl Into<String>, value: f64) -> Result<(), Fault> {
    if value.is_nan() {
        return Ok(());
    }
    not_negative(key, value)
}

/// A percentage that may be missing (`null`, here NaN).
pub(crate) fn missing_or_percent(key: impl Into<String>, value: f64) -> Result<(), Fault> {
    if value.is_nan() {
        return Ok(());
    }
    percent(key, value)
}

/// A percentage.
pub(crate) fn percent(key: impl Into<String>, value: f64) -> Result<(), Fault> {
    let rule = "it must be a percentage from 0 to 100";
    check((0.0..=100.0).contains(&value), key, value, rule)
}

/// A probability or a share.
pub(crate) fn share(key: impl Into<String>, value: f64) -> Result<(), Fault> {
    let rule = format!("{} is no probability, which lie from 0 to 1", json(value));
    check((0.0..=1.0).contains(&value), key, value, &rule)
}

fn check(holds: bool, key: impl Into<String>, value: f64, rule: &str) -> Result<(), Fault> {
    if holds {
        return Ok(());
    }
    Err(Fault::new(key, json(value), rule))
}

/// A number as JSON shows it, or the name of one that JSON does not have.
pub(crate) fn json(value: f64) -> String {
    match serde_json::Number::from_f64(value) {
        Some(number) => number.to_string(),
        None => value.to_string(),
    }
}

/// Reads `null`, as which JSON holds NaN and infinity, as NaN.
pub(crate) fn null_is_nan<'de, D>(deserializer: D) -> Result<f64, D::Error>
where
    D: serde::Deserializer<'de>,
{
    let value: Option<f64> = serde::Deserialize::deserialize(deserializer)?;
    Ok(value.unwrap_or(f64::NAN))
}
