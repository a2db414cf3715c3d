//! Decoding a list of image files, in parallel and through the cache.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::Request;
use crate::cache::{self, CacheKey};
use crate::config::OnError;
use crate::decode::{Source, decode_into};
use crate::error::DataError;
use crate::images::{Images, Skipped};
use crate::info::ImageShape;

/// An image file and its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// The file.
    pub path: PathBuf,
    /// Its class.
    pub label: i32,
}

/// Images decoded at a time: enough to keep every core busy, little enough to hold in memory.
const CHUNK: usize = 512;

/// Decodes all files of one split. `name` distinguishes the splits of a data set.
pub(crate) fn load(
    request: Request<'_>,
    name: &str,
    items: Vec<Item>,
) -> Result<Images, DataError> {
    let shape = ImageShape::square(request.size);
    if request.cache {
        let key = CacheKey::of_files(request.folder, &items, shape)?;
        if let Some(images) = cache::load(request.folder, name, &key, &items)? {
            return refuse_skipped(request, images);
        }
        tracing::info!(
            "decoding {} images of {name}, kept for the next time",
            items.len()
        );
        if let Some(writer) = cache::Writer::create(request.folder, name, &key, shape) {
            let mut writer = writer;
            let skipped = decode_all(request, shape, &items, |pixels| writer.write(pixels))?;
            return writer.finish(&items, skipped);
        }
        tracing::warn!(
            "no writable place for a cache of `{}`: its images are held in memory",
            request.folder.display()
        );
    }
    let mut all = Vec::new();
    let skipped = decode_all(request, shape, &items, |pixels| {
        all.extend_from_slice(pixels);
        Ok(())
    })?;
    assemble(&items, skipped, |labels| Images::owned(shape, all, labels))
}

/// Joins pixels with the labels and paths of the files that were decoded.
pub(crate) fn assemble(
    items: &[Item],
    skipped: Vec<(usize, String)>,
    images: impl FnOnce(Vec<i32>) -> Result<Images, DataError>,
) -> Result<Images, DataError> {
    let mut left_out = skipped.iter().map(|(position, _)| *position).peekable();
    let kept: Vec<&Item> = items
        .iter()
        .enumerate()
        .filter_map(|(i, item)| left_out.next_if_eq(&i).is_none().then_some(item))
        .collect();
    let labels = kept.iter().map(|item| item.label).collect();
    let paths = kept.iter().map(|item| item.path.clone()).collect();
    let skipped = skipped
        .into_iter()
        .map(|(position, reason)| Skipped {
            path: items[position].path.clone(),
            reason,
        })
        .collect();
    Ok(images(labels)?.with_paths(paths).with_skipped(skipped))
}

/// A cache made under `skip` may lack images that `stop` must not overlook.
fn refuse_skipped(request: Request<'_>, images: Images) -> Result<Images, DataError> {
    match images.skipped().first() {
        Some(first) if request.on_error == OnError::Stop => Err(DataError::Decode {
            path: first.path.clone(),
            reason: first.reason.clone(),
        }),
        _ => {
            warn_skipped(
                images
                    .skipped()
                    .iter()
                    .map(|s| (s.path.as_path(), s.reason.as_str())),
            );
            Ok(images)
        }
    }
}

fn warn_skipped<'a>(skipped: impl ExactSizeIterator<Item = (&'a Path, &'a str)>) {
    let count = skipped.len();
    for (path, reason) in skipped {
        tracing::warn!("left out `{}`: {reason}", path.display());
    }
    if count > 0 {
        tracing::warn!("{count} image(s) could not be decoded and were left out");
    }
}

/// Hands the decoded pixels to `sink` in the order of the files and returns the positions of those
/// that could not be decoded, with the reasons.
fn decode_all(
    request: Request<'_>,
    shape: ImageShape,
    items: &[Item],
    mut sink: impl FnMut(&[u8]) -> Result<(), DataError>,
) -> Result<Vec<(usize, String)>, DataError> {
    let mut skipped = Vec::new();
    let mut first_error = None;
    let mut block = vec![0; CHUNK.min(items.len()) * shape.bytes()];
    for (number, chunk) in items.chunks(CHUNK).enumerate() {
        let results: Vec<Result<(), DataError>> = block
            .par_chunks_exact_mut(shape.bytes())
            .zip(chunk)
            .map(|(planes, item)| decode_into(Source::Path(&item.path), shape, planes))
            .collect();
        for (i, result) in results.into_iter().enumerate() {
            match result {
                Ok(()) => sink(&block[i * shape.bytes()..(i + 1) * shape.bytes()])?,
                Err(error @ DataError::Decode { .. }) if request.on_error == OnError::Skip => {
                    if let DataError::Decode { reason, .. } = &error {
                        skipped.push((number * CHUNK + i, reason.clone()));
                    }
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
    }
    warn_skipped(
        skipped
            .iter()
            .map(|(i, reason)| (items[*i].path.as_path(), reason.as_str())),
    );
    match first_error {
        Some(first) if skipped.len() == items.len() => Err(DataError::NothingDecoded {
            path: request.folder.to_owned(),
            count: items.len(),
            first: Box::new(first),
        }),
        _ => Ok(skipped),
    }
}

/// The image files directly in a folder, by name: png, jpg, jpeg, webp, bmp in any case.
///
/// Other files are ignored, hidden ones too.
pub(crate) fn images_in(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];
    let mut found: Vec<PathBuf> = entries(folder)?
        .into_iter()
        .filter(|path| {
            let ending = path
                .extension()
                .and_then(|e| e.to_str())
                .unwrap_or_default();
            let hidden = path
                .file_name()
                .is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
            !hidden
                && ENDINGS
                    .iter()
                    .any(|known| ending.eq_ignore_ascii_case(known))
        })
        .collect();
    found.sort();
    Ok(found)
}

/// The subfolders of a folder, by name; hidden ones are ignored.
pub(crate) fn folders_in(folder: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let mut found = Vec::new();
    for path in entries(folder)? {
        let Some(name) = path.file_name() else {
            continue;
        };
        let Some(name) = name.to_str().map(str::to_owned) else {
            return Err(DataError::format(
                &path,
                "the folder's name is not UTF-8; rename it",
            ));
        };
        if !name.starts_with('.') && path.is_dir() {
            found.push((name, path));
        }
    }
    found.sort();
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let list = std::fs::read_dir(folder).map_err(|e| DataError::io("read", folder, e))?;
    list.map(|entry| {
        entry
            .map(|e| e.path())
            .map_err(|e| DataError::io("read", folder, e))
    })
    .collect()
}
