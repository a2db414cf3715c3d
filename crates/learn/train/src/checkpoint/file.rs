//! The file of a checkpoint.

use std::collections::BTreeMap;
use std::path::Path;

use offramp_core::params::{self, NamedTensors};
use offramp_run::files;
use serde::Deserialize;

use super::{Checkpoint, CheckpointError, FORMAT, Position};

const MARK: &str = "\"sha256\":\"";
/// Stands in the header where the checksum goes while it is computed.
const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Writes a checkpoint; whatever was at `path` is replaced all at once.
///
/// # Errors
/// When the disk is full or the folder cannot be written; `path` is then what it was before.
pub(super) fn write(path: &Path, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
    let malformed = |reason: String| CheckpointError::Malformed {
        path: path.to_owned(),
        reason,
    };
    let groups = [
        ("net", &checkpoint.net),
        ("method", &checkpoint.method),
        ("ema", &checkpoint.ema),
        ("optimizer", &checkpoint.optimizer),
    ];
    let mut tensors = NamedTensors::new();
    for (group, members) in groups {
        for (name, data) in members {
            tensors.insert(format!("{group}/{name}"), data.clone());
        }
    }
    let position = serde_json::to_string(&checkpoint.position)
        .map_err(|error| malformed(error.to_string()))?;
    let metadata = BTreeMap::from([
        ("offramp".to_owned(), position),
        ("sha256".to_owned(), BLANK.to_owned()),
    ]);
    let mut bytes =
        params::to_safetensors(&tensors, metadata).map_err(|error| malformed(error.to_string()))?;
    let place = checksum_place(&bytes).ok_or_else(|| malformed("it has no header".into()))?;
    let checksum = files::sha256(&bytes);
    bytes[place].copy_from_slice(checksum.as_bytes());
    Ok(files::write_atomic(path, &bytes)?)
}

/// Reads a checkpoint and verifies its checksum.
///
/// # Errors
/// [`CheckpointError`] naming the file.
pub fn read(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let malformed = |reason: &str| CheckpointError::Malformed {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let mut bytes = files::read(path)?;
    let place = checksum_place(&bytes).ok_or_else(|| malformed("it records no checksum"))?;
    let recorded = bytes[place.clone()].to_vec();
    bytes[place].copy_from_slice(BLANK.as_bytes());
    let found = files::sha256(&bytes);
    if recorded != found.as_bytes() {
        return Err(CheckpointError::Checksum {
            path: path.to_owned(),
            expected: String::from_utf8_lossy(&recorded).into_owned(),
            found,
        });
    }
    let position = position(&bytes).ok_or_else(|| malformed("it records no position"))?;
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let version: Version =
        serde_json::from_str(&position).map_err(|error| malformed(&error.to_string()))?;
    if version.format != FORMAT {
        return Err(CheckpointError::Version {
            path: path.to_owned(),
            found: version.format,
        });
    }
    let mut position: Position =
        serde_json::from_str(&position).map_err(|error| malformed(&error.to_string()))?;
    let updates = std::mem::take(&mut position.updates).into_iter();
    position.updates = updates.map(|(name, n)| (current(&name), n)).collect();
    let tensors =
        params::from_safetensors(&bytes).map_err(|error| malformed(&error.to_string()))?;
    let mut groups: BTreeMap<String, NamedTensors> = BTreeMap::new();
    for (name, data) in tensors {
        let (group, name) = name.split_once('/').unwrap_or(("", &name));
        groups
            .entry(group.to_owned())
            .or_default()
            .insert(current(name), data);
    }
    let mut take = |group: &str| groups.remove(group).unwrap_or_default();
    Ok(Checkpoint {
        position,
        net: take("net"),
        method: take("method"),
        ema: take("ema"),
        optimizer: take("optimizer"),
    })
}

/// The name that a tensor has today: older checkpoints call the distillers of a table `lessons`.
fn current(name: &str) -> String {
    let rest = name
        .strip_prefix("distill.tables.")
        .or_else(|| name.strip_prefix("distill/tables."));
    let digits = |rest: &str| {
        rest.find('.')
            .filter(|end| rest[..*end].parse::<usize>().is_ok())
    };
    let Some((rest, end)) = rest.and_then(|rest| Some((rest, digits(rest)?))) else {
        return name.to_owned();
    };
    match rest[end..].strip_prefix(".lessons.") {
        Some(last) => {
            let first = &name[..name.len() - rest.len() + end];
            format!("{first}.instances.{last}")
        }
        None => name.to_owned(),
    }
}

/// The JSON header of a safetensors file: eight bytes of length, then the text.
fn header(bytes: &[u8]) -> Option<&str> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    std::str::from_utf8(rest.get(..length)?).ok()
}

fn checksum_place(bytes: &[u8]) -> Option<std::ops::Range<usize>> {
    let start = 8 + header(bytes)?.find(MARK)? + MARK.len();
    let range = start..start + BLANK.len();
    bytes.get(range.clone()).map(|_| range)
}

fn position(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "__metadata__")]
        metadata: BTreeMap<String, String>,
    }
    let mut header: Header = serde_json::from_str(header(bytes)?).ok()?;
    header.metadata.remove("offramp")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use burn::tensor::TensorData;

    pub(crate) fn example(step: u64) -> Checkpoint {
        let tensors = |values: [f32; 2]| {
            NamedTensors::from([(
                "a.weight".to_owned(),
                TensorData::new(values.to_vec(), [1, 2]),
            )])
        };
        Checkpoint {
            position: Position {
                format: FORMAT,
                step,
                steps_per_epoch: 10,
                best: None,
                stale: 1,
                stopped: false,
                metrics_bytes: 77,
                seconds: 0.1 + 0.2,
                window: Default::default(),
                epoch: Default::default(),
                method: BTreeMap::from([("temperature".to_owned(), 1.0 / 3.0)]),
                loss_scale: Some(crate::LossScale::default()),
                updates: BTreeMap::from([("net/a.weight".to_owned(), step)]),
                kept: Vec::new(),
            },
            net: tensors([1.0, -0.0]),
            method: tensors([f32::MIN_POSITIVE / 2.0, 3.0]),
            ema: NamedTensors::new(),
            optimizer: tensors([5.0, 6.0]),
        }
    }

    #[test]
    fn everything_survives_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("step.safetensors");
        let checkpoint = example(3);
        write(&path, &checkpoint).unwrap();
        let back = read(&path).unwrap();
        assert_eq!(back, checkpoint);
        assert_eq!(back.position.seconds.to_bits(), (0.1f64 + 0.2).to_bits());
        let sign = back.net["a.weight"].try_to_vec::<f32>().unwrap()[1];
        assert!(sign.is_sign_negative());
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("step.safetensors");
        write(&path, &example(3)).unwrap();
        let sound = std::fs::read(&path).unwrap();
        for byte in 0..sound.len() {
            let mut broken = sound.clone();
            broken[byte] ^= 1 << (byte % 8);
            std::fs::write(&path, &broken).unwrap();
            let error = read(&path).expect_err(&format!("byte {byte}")).to_string();
            assert!(error.contains("step.safetensors"), "{error}");
            std::fs::write(&path, &sound[..byte]).unwrap();
            assert!(read(&path).is_err(), "length {byte}");
        }
    }

    #[test]
    fn the_names_of_older_checkpoints_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("step.safetensors");
        let mut checkpoint = example(3);
        let tensor = checkpoint.net["a.weight"].clone();
        let names = |names: [&str; 2]| names.map(str::to_owned);
        let named = |name: String| (name, tensor.clone());
        // A parameter that has the old word elsewhere in its name keeps it.
        let method = names([
            "distill.tables.0.lessons.1.distiller.fc",
            "method.lessons.0",
        ]);
        checkpoint.method = method.into_iter().map(named).collect();
        let slots = names([
            "distill/tables.12.lessons.0.fc/momentum",
            "net/lessons.0/momentum",
        ]);
        checkpoint.optimizer = slots.into_iter().map(named).collect();
        let updates = names(["distill/tables.12.lessons.0.fc", "net/lessons.0"]);
        checkpoint.position.updates = updates.into_iter().map(|name| (name, 3)).collect();
        write(&path, &checkpoint).unwrap();
        let back = read(&path).unwrap();
        let keys = |tensors: &NamedTensors| tensors.keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            keys(&back.method),
            [
                "distill.tables.0.instances.1.distiller.fc",
                "method.lessons.0"
            ]
        );
        assert_eq!(
            keys(&back.optimizer),
            [
                "distill/tables.12.instances.0.fc/momentum",
                "net/lessons.0/momentum"
            ]
        );
        assert_eq!(
            back.position.updates.into_keys().collect::<Vec<_>>(),
            ["distill/tables.12.instances.0.fc", "net/lessons.0"]
        );
    }

    #[test]
    fn another_format_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("step.safetensors");
        let mut checkpoint = example(3);
        checkpoint.position.format = 9;
        write(&path, &checkpoint).unwrap();
        let error = read(&path).unwrap_err();
        assert!(
            matches!(error, CheckpointError::Version { found: 9, .. }),
            "{error}"
        );
    }
}
