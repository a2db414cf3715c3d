//! The format since PyTorch 1.6: a zip archive of `data.pkl` and one entry a storage.

use std::collections::HashMap;
use std::io::Cursor;

use zip::{CompressionMethod, ZipArchive};

use super::{pickle, state_dict};
use crate::Problem;
use crate::file::{Stored, StoredTensors, check_crc32};
use crate::view::Section;

/// Finds the tensors of an archive. Storages stay where they are in `bytes`.
pub(crate) fn read(bytes: &[u8]) -> Result<StoredTensors, Problem> {
    let sections = sections(bytes)?;
    // The folder is called as the file was when it was written.
    let mut pickles = sections.keys().filter(|name| name.ends_with("/data.pkl"));
    let name = pickles.next().ok_or(Problem::NoPickle)?;
    let root = name.trim_end_matches("data.pkl");
    let get = |name: &str| -> Result<Option<&[u8]>, Problem> {
        let Some(entry) = sections.get(name) else {
            return Ok(None);
        };
        let section = entry.section(name)?;
        let bytes = &bytes[section.bytes];
        check_crc32(name, bytes, entry.crc32)?;
        Ok(Some(bytes))
    };
    if get(&format!("{root}byteorder"))?.is_some_and(|order| order == b"big") {
        return Err(Problem::BigEndian);
    }
    let pickle = pickle::read(get(name)?.ok_or(Problem::NoPickle)?)?;
    let tensors = state_dict::find(&pickle)?;
    tensors
        .into_iter()
        .map(|(name, tensor)| {
            let storage = &tensor.storage;
            let entry = format!("{root}data/{}", storage.key);
            let Some(found) = sections.get(&entry) else {
                return Err(Problem::Tensor {
                    name,
                    reason: format!("its storage {:?} is not in the archive", storage.key),
                });
            };
            let section = found.section(&entry)?;
            let needed = storage.elements.checked_mul(storage.dtype.size());
            if needed != Some(section.bytes.len()) {
                return Err(Problem::Tensor {
                    name,
                    reason: format!(
                        "its storage {:?} has {} bytes and should have {} elements of {}",
                        storage.key,
                        section.bytes.len(),
                        storage.elements,
                        storage.dtype.size()
                    ),
                });
            }
            let view = tensor.view;
            Ok((name, Stored { view, section }))
        })
        .collect()
}

/// Where an entry of the archive lies.
struct Entry {
    start: usize,
    length: usize,
    stored: bool,
    crc32: u32,
}

impl Entry {
    fn section(&self, name: &str) -> Result<Section, Problem> {
        if self.stored {
            Ok(Section {
                name: name.into(),
                bytes: self.start..self.start + self.length,
                crc32: Some(self.crc32),
            })
        } else {
            Err(Problem::Packed {
                entry: name.to_owned(),
            })
        }
    }
}

fn sections(bytes: &[u8]) -> Result<HashMap<String, Entry>, Problem> {
    let damaged = |error: zip::result::ZipError| Problem::Zip(error.to_string());
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let mut sections = HashMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?.into_owned();
        let position = entry
            .data_start()
            .and_then(|start| usize::try_from(start).ok());
        let length = usize::try_from(entry.compressed_size()).ok();
        let inside = position.zip(length).filter(|(start, length)| {
            start
                .checked_add(*length)
                .is_some_and(|end| end <= bytes.len())
        });
        let Some((start, length)) = inside else {
            return Err(Problem::Zip(format!(
                "entry {name:?} lies outside of the file"
            )));
        };
        let stored = entry.compression() == CompressionMethod::Stored && !entry.encrypted();
        let entry = Entry {
            start,
            length,
            stored,
            crc32: entry.crc32(),
        };
        sections.insert(name, entry);
    }
    Ok(sections)
}
