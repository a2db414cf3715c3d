//! CIFAR-10 and CIFAR-100, in the binary and the python-pickle layout.
//!
//! A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. A binary record is
//! one label byte (CIFAR-100: a coarse and a fine one) and 3072 bytes of pixels, the planes red,
//! green and blue of 32x32. A file may hold any whole number of records.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Contents, Request, pickle, read_lines};
use crate::decode::resize_planes;
use crate::error::DataError;
use crate::images::Images;
use crate::info::ImageShape;

/// Pixels of one record.
pub(crate) const PIXELS: usize = 3 * 32 * 32;
const SHAPE: ImageShape = ImageShape::square(32);

/// Which of the two sets, in file terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Five training batches, one label.
    Cifar10,
    /// One training file, a coarse and a fine label; the fine one is used.
    Cifar100,
}

/// The files of one layout.
struct Layout {
    train: &'static [&'static str],
    test: &'static str,
    names: &'static str,
    binary: bool,
}

impl Variant {
    /// Label bytes before the pixels; the last one counts.
    pub(crate) fn label_bytes(self) -> usize {
        match self {
            Self::Cifar10 => 1,
            Self::Cifar100 => 2,
        }
    }

    /// The key of the labels in the python layout.
    fn label_key(self) -> &'static str {
        match self {
            Self::Cifar10 => "labels",
            Self::Cifar100 => "fine_labels",
        }
    }

    fn layouts(self) -> [Layout; 2] {
        let layout = |train, test, names, binary| Layout {
            train,
            test,
            names,
            binary,
        };
        match self {
            Self::Cifar10 => [
                layout(&BATCHES_BIN, "test_batch.bin", "batches.meta.txt", true),
                layout(&BATCHES_PY, "test_batch", "batches.meta.txt", false),
            ],
            Self::Cifar100 => [
                layout(&["train.bin"], "test.bin", "fine_label_names.txt", true),
                layout(&["train"], "test", "fine_label_names.txt", false),
            ],
        }
    }
}

const BATCHES_BIN: [&str; 5] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
];
const BATCHES_PY: [&str; 5] = [
    "data_batch_1",
    "data_batch_2",
    "data_batch_3",
    "data_batch_4",
    "data_batch_5",
];

/// Records read from files: planar pixels and labels.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Records {
    /// `N x 3 x 32 x 32`.
    pub pixels: Vec<u8>,
    /// `N`.
    pub labels: Vec<i32>,
}

/// Reads both splits; `classes` are the names to use where the folder does not list them.
pub(crate) fn read(
    request: Request<'_>,
    variant: Variant,
    classes: &[String],
) -> Result<Contents, DataError> {
    let folder = request.folder;
    let layouts = variant.layouts();
    let layout = layouts
        .iter()
        .find(|l| folder.join(l.test).is_file())
        .ok_or_else(|| {
            let [binary, python] = &layouts;
            DataError::format(
                folder,
                format!(
                    "it holds neither `{}` (binary layout) nor `{}` (python layout)",
                    binary.test, python.test
                ),
            )
        })?;
    let names = folder.join(layout.names);
    let classes = if names.is_file() {
        class_names(&names, classes.len())?
    } else {
        classes.to_vec()
    };
    let load = |files: &[&str]| -> Result<Images, DataError> {
        let mut all = Records::default();
        for file in files {
            let path = folder.join(file);
            let records = if layout.binary {
                read_binary(&path, variant, classes.len())?
            } else {
                pickle::read(&path, variant.label_key(), classes.len())?
            };
            all.pixels.extend_from_slice(&records.pixels);
            all.labels.extend_from_slice(&records.labels);
        }
        let shape = ImageShape::square(request.size);
        Images::owned(shape, resized(all.pixels, shape), all.labels)
    };
    Ok(Contents {
        train: load(layout.train)?,
        val: None,
        test: Some(load(&[layout.test])?),
        classes,
    })
}

fn class_names(path: &Path, expected: usize) -> Result<Vec<String>, DataError> {
    let names = read_lines(path)?;
    if names.len() != expected || names.iter().any(String::is_empty) {
        let reason = format!("it should list {expected} class names, one per line");
        return Err(DataError::Format {
            path: path.into(),
            line: Some(names.len()),
            reason,
        });
    }
    Ok(names)
}

/// Reads one binary file.
///
/// # Errors
/// [`DataError::RecordLength`] and [`DataError::LabelRange`].
pub(crate) fn read_binary(
    path: &Path,
    variant: Variant,
    classes: usize,
) -> Result<Records, DataError> {
    let bytes = std::fs::read(path).map_err(|e| DataError::io("read", path, e))?;
    let label_bytes = variant.label_bytes();
    let record = label_bytes + PIXELS;
    if bytes.is_empty() || bytes.len() % record != 0 {
        let (path, length) = (PathBuf::from(path), bytes.len() as u64);
        return Err(DataError::RecordLength {
            path,
            length,
            record,
            label_bytes,
        });
    }
    let count = bytes.len() / record;
    let mut records = Records {
        pixels: Vec::with_capacity(count * PIXELS),
        labels: Vec::with_capacity(count),
    };
    for (number, record) in bytes.chunks_exact(record).enumerate() {
        let (labels, pixels) = record.split_at(label_bytes);
        let label = i64::from(labels[label_bytes - 1]);
        records
            .labels
            .push(checked_label(path, number, label, classes)?);
        records.pixels.extend_from_slice(pixels);
    }
    Ok(records)
}

/// A label as a class number.
pub(crate) fn checked_label(
    path: &Path,
    record: usize,
    label: i64,
    classes: usize,
) -> Result<i32, DataError> {
    match i32::try_from(label) {
        Ok(small) if (0..classes as i64).contains(&label) => Ok(small),
        _ => Err(DataError::LabelRange {
            path: path.into(),
            record,
            label,
            classes,
        }),
    }
}

fn resized(pixels: Vec<u8>, shape: ImageShape) -> Vec<u8> {
    if shape == SHAPE {
        return pixels;
    }
    let mut out = vec![0; pixels.len() / PIXELS * shape.bytes()];
    out.par_chunks_exact_mut(shape.bytes())
        .zip(pixels.par_chunks_exact(PIXELS))
        .for_each(|(out, planes)| resize_planes(planes, SHAPE, shape, out));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(labels: &[u8], value: u8) -> Vec<u8> {
        [labels, &vec![value; PIXELS]].concat()
    }

    fn written(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.bin");
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn takes_the_fine_label_and_the_planes_as_they_lie() {
        let mut bytes = record(&[1, 42], 7);
        bytes.extend(record(&[2, 0], 9));
        bytes[2 + 1024] = 200; // first green value of the first record
        let (_folder, path) = written(&bytes);
        let records = read_binary(&path, Variant::Cifar100, 100).unwrap();
        assert_eq!(records.labels, [42, 0]);
        assert_eq!(
            (
                records.pixels[0],
                records.pixels[1024],
                records.pixels[PIXELS]
            ),
            (7, 200, 9)
        );
    }

    #[test]
    fn a_broken_length_is_named() {
        for bytes in [
            vec![],
            record(&[1, 2], 0)[..3000].to_vec(),
            vec![0; 3074 + 1],
        ] {
            let (_folder, path) = written(&bytes);
            let error = read_binary(&path, Variant::Cifar100, 100)
                .unwrap_err()
                .to_string();
            let length = bytes.len().to_string();
            for part in ["train.bin", "3074-byte records", &length] {
                assert!(error.contains(part), "{error}");
            }
        }
    }

    #[test]
    fn a_label_out_of_range_names_its_record() {
        let (_folder, path) = written(&[record(&[3], 0), record(&[10], 0)].concat());
        let error = read_binary(&path, Variant::Cifar10, 10)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("record 1 has label 10") && error.contains("0 to 9"),
            "{error}"
        );
    }
}
