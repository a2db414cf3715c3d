//! CIFAR batches in the python layout: pickled dictionaries that hold a numpy array.
//!
//! The pickle is read as data; nothing in it is executed. A numpy array appears as the tuple that
//! its `__setstate__` (or, in newer protocols, `_frombuffer`) would be given: somewhere in it stand
//! the shape, a pair of integers, and the raw bytes.

use std::path::Path;

use serde_pickle::{DeOptions, HashableValue, Value};

use super::cifar::{PIXELS, Records, checked_label};
use crate::error::DataError;

/// Reads one batch file; `label_key` is `labels` or `fine_labels`.
pub(crate) fn read(path: &Path, label_key: &str, classes: usize) -> Result<Records, DataError> {
    let bytes = std::fs::read(path).map_err(|e| DataError::io("read", path, e))?;
    let options = DeOptions::new()
        .keep_restore_state()
        .replace_unresolved_globals();
    let value = serde_pickle::value_from_slice(&bytes, options).map_err(|e| {
        DataError::format(path, format!("it is not a python pickle: {}", brief(&e)))
    })?;
    let Value::Dict(dict) = value else {
        return Err(DataError::format(path, "the pickle is not a dictionary"));
    };
    // Python 2 pickled byte strings, Python 3 may have pickled text.
    let get = |key: &str| {
        let value = dict.get(&HashableValue::Bytes(key.as_bytes().to_vec()));
        let value = value.or_else(|| dict.get(&HashableValue::String(key.to_owned())));
        value.ok_or_else(|| DataError::format(path, format!("the pickle has no key `{key}`")))
    };
    let (rows, pixels) = array(get("data")?).ok_or_else(|| {
        DataError::format(
            path,
            format!("`data` is not an N x {PIXELS} numpy array of uint8"),
        )
    })?;
    let Value::List(labels) = get(label_key)? else {
        return Err(DataError::format(
            path,
            format!("`{label_key}` is not a list"),
        ));
    };
    if labels.len() != rows {
        let reason = format!(
            "`data` has {rows} rows, but `{label_key}` has {}",
            labels.len()
        );
        return Err(DataError::format(path, reason));
    }
    let labels = labels
        .iter()
        .enumerate()
        .map(|(number, label)| match label {
            Value::I64(label) => checked_label(path, number, *label, classes),
            other => {
                let reason = format!("label {number} is {}, not a number", brief(other));
                Err(DataError::format(path, reason))
            }
        });
    Ok(Records {
        labels: labels.collect::<Result<_, _>>()?,
        pixels: pixels.to_vec(),
    })
}

/// The rows and bytes of a pickled `N x 3072` array in C order.
fn array(value: &Value) -> Option<(usize, &[u8])> {
    let Value::Tuple(parts) = value else {
        return None;
    };
    let rows = parts.iter().find_map(|part| match part {
        Value::Tuple(shape) => match shape[..] {
            [Value::I64(rows), Value::I64(PIXELS_I64)] => usize::try_from(rows).ok(),
            _ => None,
        },
        _ => None,
    })?;
    let fortran = parts.iter().any(|part| {
        matches!(part, Value::Bool(true)) || matches!(part, Value::String(order) if order == "F")
    });
    let length = rows.checked_mul(PIXELS)?;
    let bytes = parts.iter().find_map(|part| match part {
        Value::Bytes(bytes) if bytes.len() == length => Some(&bytes[..]),
        _ => None,
    })?;
    (rows > 0 && !fortran).then_some((rows, bytes))
}

const PIXELS_I64: i64 = PIXELS as i64;

/// The first words of a value that might print as megabytes.
fn brief(value: &dyn std::fmt::Display) -> String {
    let text = value.to_string();
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/fixtures/make_pickles.py` makes these files: two records, pixel `i` of the whole
    /// array is `i mod 251`, labels 3 and 7.
    #[test]
    fn reads_every_protocol_and_python_2() {
        for name in ["python2", "protocol2", "protocol4", "protocol5"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join(format!("tests/fixtures/cifar-{name}.pickle"));
            let records = read(&path, "fine_labels", 100).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(records.labels, [3, 7]);
            assert_eq!(records.pixels.len(), 2 * PIXELS);
            assert!(
                records
                    .pixels
                    .iter()
                    .enumerate()
                    .all(|(i, &p)| usize::from(p) == i % 251)
            );
        }
    }

    #[test]
    fn damage_is_an_error_that_names_the_file() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cifar-python2.pickle");
        let whole = std::fs::read(&path).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cut = folder.path().join("train");
        for length in [0, 1, 20, 100, 3000, whole.len() - 1] {
            std::fs::write(&cut, &whole[..length]).unwrap();
            let error = read(&cut, "fine_labels", 100).unwrap_err().to_string();
            assert!(error.contains("train"), "{error}");
        }
        let error = read(&path, "labels", 10).unwrap_err().to_string();
        assert!(error.contains("no key `labels`"), "{error}");
        let error = read(&path, "fine_labels", 5).unwrap_err().to_string();
        assert!(error.contains("record 1 has label 7"), "{error}");
    }
}
