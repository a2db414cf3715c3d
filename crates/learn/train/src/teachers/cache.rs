//! The cache file of a teacher's outputs, one row per image.
//!
//! The first line is JSON (see [`Header`]); after it, at the next multiple of 64 bytes, float32
//! values in little-endian order: for each row the parts of the [`Layout`] one after another.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use offramp_core::{ExitOutput, ExitOutputs};
use offramp_methods::distill::Uses;
use offramp_run::files::{self, FileError};
use serde::{Deserialize, Serialize};

use crate::TrainError;

const FORMAT: u32 = 1;
const ALIGNMENT: u64 = 64;

/// The first line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    /// Hash of all that the values depend on.
    key: String,
    layout: Layout,
    /// Which image each row is of, by its place in the data set.
    rows: Vec<usize>,
}

/// The shapes of an image's outputs, without the batch axis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Layout {
    exits: usize,
    classes: usize,
    /// The exit's map; its embedding stands before it.
    map: Option<[usize; 3]>,
    stages: Vec<[usize; 3]>,
}

impl Layout {
    /// The layout of the outputs that `uses` names.
    pub(crate) fn of(outputs: &ExitOutputs, uses: Uses) -> Self {
        let shape = |map: &Tensor<4>| {
            let [_, channels, height, width] = map.dims();
            [channels, height, width]
        };
        let last = outputs.exits.last();
        let stages = match uses {
            Uses::Stages => outputs.stages.iter().map(shape).collect(),
            _ => Vec::new(),
        };
        Self {
            exits: outputs.len(),
            classes: last.map_or(0, |exit| exit.logits.dims()[1]),
            map: last
                .filter(|_| uses >= Uses::Exit)
                .map(|exit| shape(&exit.map)),
            stages,
        }
    }

    /// Values per row.
    fn width(&self) -> usize {
        let size = |shape: &[usize; 3]| shape.iter().product::<usize>();
        let map = self.map.as_ref().map_or(0, |map| map[0] + size(map));
        self.classes + map + self.stages.iter().map(size).sum::<usize>()
    }

    /// The parts side by side, `[N, width]`.
    fn pack(&self, outputs: &ExitOutputs) -> Option<Tensor<2>> {
        let exit = outputs.exits.last()?;
        let mut parts = vec![exit.logits.clone()];
        if self.map.is_some() {
            parts.push(exit.embedding.clone());
            parts.push(exit.map.clone().flatten(1, 3));
        }
        let stages = outputs.stages.iter().take(self.stages.len());
        parts.extend(stages.map(|map| map.clone().flatten(1, 3)));
        Some(Tensor::cat(parts, 1))
    }

    /// The inverse of [`pack`](Self::pack). Only the deepest exit is ever used; it stands for every exit.
    fn unpack(&self, block: Tensor<2>) -> ExitOutputs {
        let [count, _] = block.dims();
        let mut at = 0;
        let mut take = |width: usize| {
            at += width;
            block.clone().narrow(1, at - width, width)
        };
        let logits = take(self.classes);
        let exit = match self.map {
            Some([channels, height, width]) => ExitOutput {
                embedding: take(channels),
                map: take(channels * height * width).reshape([count, channels, height, width]),
                logits,
            },
            None => ExitOutput::new(logits.clone(), logits),
        };
        let stages = self.stages.iter().map(|&[channels, height, width]| {
            take(channels * height * width).reshape([count, channels, height, width])
        });
        ExitOutputs {
            stages: stages.collect(),
            exits: vec![exit; self.exits],
        }
    }
}

/// A complete cache, opened for reading.
#[derive(Debug)]
pub(super) struct TeacherCache {
    path: PathBuf,
    file: File,
    start: u64,
    layout: Layout,
    places: HashMap<usize, u64>,
    device: Device,
}

impl TeacherCache {
    /// The cache at `path`; `None` when there is none, its key or images differ, or it is incomplete.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub(crate) fn open(
        path: &Path,
        key: &str,
        indices: &[usize],
        device: &Device,
    ) -> Result<Option<Self>, FileError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(unreadable(path, source)),
        };
        let mut line = Vec::new();
        let mut reader = BufReader::new(&file);
        (reader.read_until(b'\n', &mut line)).map_err(|source| unreadable(path, source))?;
        let Ok(header) = serde_json::from_slice::<Header>(&line) else {
            return Ok(None);
        };
        let start = (line.len() as u64).next_multiple_of(ALIGNMENT);
        let length = file
            .metadata()
            .map_err(|source| unreadable(path, source))?
            .len();
        let expected = start + (header.rows.len() * header.layout.width() * 4) as u64;
        if header.format != FORMAT
            || header.key != key
            || header.rows != indices
            || length != expected
        {
            return Ok(None);
        }
        let places = header
            .rows
            .iter()
            .zip(0..)
            .map(|(row, place)| (*row, place));
        Ok(Some(Self {
            path: path.to_owned(),
            start,
            layout: header.layout,
            places: places.collect(),
            device: device.clone(),
            file,
        }))
    }

    /// Size of the values.
    pub(crate) fn bytes(&self) -> usize {
        self.places.len() * self.layout.width() * 4
    }

    /// The teacher's outputs for some images.
    ///
    /// # Errors
    /// [`TrainError::File`] when the file cannot be read, [`TrainError::CacheLost`] when it has no
    /// such image.
    pub(crate) fn outputs(&self, indices: &[usize]) -> Result<ExitOutputs, TrainError> {
        let width = self.layout.width();
        let mut bytes = vec![0; indices.len() * width * 4];
        for (index, out) in indices.iter().zip(bytes.chunks_exact_mut(width * 4)) {
            let lost = || TrainError::CacheLost {
                path: self.path.clone(),
            };
            let place = *self.places.get(index).ok_or_else(lost)?;
            let at = SeekFrom::Start(self.start + place * (width * 4) as u64);
            (&self.file)
                .seek(at)
                .and_then(|_| (&self.file).read_exact(out))
                .map_err(|source| unreadable(&self.path, source))?;
        }
        let value = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let values: Vec<f32> = bytes.chunks_exact(4).map(value).collect();
        let block = TensorData::new(values, [indices.len(), width]);
        Ok(self.layout.unpack(Tensor::from_data(block, &self.device)))
    }
}

fn unreadable(path: &Path, source: io::Error) -> FileError {
    FileError::Read {
        path: path.to_owned(),
        source,
    }
}

/// Writes a cache.
pub(super) struct Writer<'a> {
    pub path: &'a Path,
    pub key: &'a str,
    pub layout: Layout,
    pub indices: &'a [usize],
}

impl Writer<'_> {
    /// Writes all blocks, in the order of the rows; the file appears when it is complete.
    pub(crate) fn write(
        self,
        blocks: impl Iterator<Item = Result<ExitOutputs, TrainError>>,
    ) -> Result<(), TrainError> {
        let header = Header {
            format: FORMAT,
            key: self.key.to_owned(),
            rows: self.indices.to_vec(),
            layout: self.layout.clone(),
        };
        if let Some(folder) = self.path.parent() {
            files::create_folder(folder)?;
        }
        let mut stopped = None;
        let written = files::write_atomic_with(self.path, |file| {
            let mut line = serde_json::to_vec(&header)?;
            line.push(b'\n');
            line.resize(line.len().next_multiple_of(ALIGNMENT as usize), 0);
            file.write_all(&line)?;
            for block in blocks {
                match block {
                    Ok(outputs) => write_block(file, self.layout.pack(&outputs))?,
                    Err(error) => {
                        stopped = Some(error);
                        return Err(io::Error::other("the teacher stopped"));
                    }
                }
            }
            Ok(())
        });
        match stopped {
            Some(error) => Err(error),
            None => Ok(written?),
        }
    }
}

fn write_block(file: &mut dyn Write, block: Option<Tensor<2>>) -> io::Result<()> {
    let Some(block) = block else { return Ok(()) };
    let data = block.into_data();
    let bytes: Vec<u8> = data.iter::<f32>().flat_map(f32::to_le_bytes).collect();
    file.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    fn outputs(count: usize, device: &Device) -> ExitOutputs {
        let numbers = |shape: [usize; 4], scale: f32| {
            let values: Vec<f32> = (0..shape.iter().product())
                .map(|i| i as f32 * scale)
                .collect();
            Tensor::<4>::from_data(TensorData::new(values, shape), device)
        };
        let map = numbers([count, 2, 3, 1], 0.5);
        let exit = |scale: f32| ExitOutput {
            embedding: map.clone().mean_dims(&[2, 3]).flatten(1, 3),
            map: map.clone(),
            logits: numbers([count, 4, 1, 1], scale).flatten(1, 3),
        };
        ExitOutputs {
            exits: vec![exit(7.0), exit(0.1)],
            stages: vec![numbers([count, 1, 2, 2], 3.0), map],
        }
    }

    fn numbers<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
        tensor.clone().into_data().iter::<f32>().collect()
    }

    #[test]
    fn rows_come_back_in_the_order_asked_for_and_as_much_of_them_as_is_used() {
        let device = default_device().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/cache");
        let all = outputs(3, &device);
        for (uses, maps, stages) in [
            (Uses::Logits, 0, 0),
            (Uses::Exit, 6, 0),
            (Uses::Stages, 6, 2),
        ] {
            let layout = Layout::of(&all, uses);
            assert_eq!(layout.stages.len(), stages);
            let writer = Writer {
                path: &path,
                key: "k",
                layout,
                indices: &[10, 4, 7],
            };
            writer.write([Ok(all.clone())].into_iter()).unwrap();
            let open = |key: &str, indices: &[usize]| {
                TeacherCache::open(&path, key, indices, &device).unwrap()
            };
            let cache = open("k", &[10, 4, 7]).unwrap();
            let found = cache.outputs(&[7, 10]).unwrap();
            assert_eq!(found.len(), 2);
            let expected = &all.exits[1];
            let logits = numbers(&expected.logits);
            let last = found.exits.last().unwrap();
            assert_eq!(numbers(&last.logits), [&logits[8..], &logits[..4]].concat());
            if maps > 0 {
                let map = numbers(&expected.map);
                assert_eq!(numbers(&last.map), [&map[12..], &map[..6]].concat());
                let embedding = numbers(&expected.embedding);
                assert_eq!(
                    numbers(&last.embedding),
                    [&embedding[4..], &embedding[..2]].concat()
                );
            }
            for (found, expected) in found.stages.iter().zip(&all.stages) {
                let (found, expected) = (numbers(found), numbers(expected));
                assert_eq!(found[found.len() / 2..], expected[..expected.len() / 3]);
            }
            // Another teacher's, other rows, an image that is not there.
            assert!(open("other", &[10, 4, 7]).is_none());
            assert!(open("k", &[10, 4]).is_none());
            assert!(cache.outputs(&[5]).is_err());
        }
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(
            TeacherCache::open(&path, "k", &[10, 4, 7], &device)
                .unwrap()
                .is_none()
        );
        std::fs::write(&path, b"no header").unwrap();
        assert!(
            TeacherCache::open(&path, "k", &[10, 4, 7], &device)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_teacher_that_stops_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        let blocks = [
            Ok(outputs(2, &default_device().unwrap())),
            Err(TrainError::NoLoss),
        ];
        let writer = Writer {
            path: &path,
            key: "k",
            layout: Layout::default(),
            indices: &[0, 1],
        };
        assert!(matches!(
            writer.write(blocks.into_iter()),
            Err(TrainError::NoLoss)
        ));
        assert!(!path.exists());
    }
}
