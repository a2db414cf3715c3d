//! Tiny-ImageNet in its original layout.
//!
//! Stanford CS231n, 2015: 200 classes of ImageNet, 64x64 JPEGs, 500 training and 50 validation
//! images per class. `train/<wnid>/images/*.JPEG`; the validation images lie flat in
//! `val/images/`, with their classes in `val/val_annotations.txt`. The labels of the official test
//! images were never published, so `val/` serves as the test split here and validation images are
//! set aside from `train/`.

use std::collections::HashMap;
use std::path::Path;

use super::files::{Item, images_in, load};
use super::{Contents, Request, read_lines};
use crate::error::DataError;

/// Reads the whole set or a part of it. Labels follow the order of the sorted WordNet ids.
pub(crate) fn read(request: Request<'_>) -> Result<Contents, DataError> {
    let folder = request.folder;
    let ids = class_ids(&folder.join("wnids.txt"))?;
    let train = train_items(&folder.join("train"), &ids)?;
    let test = val_items(&folder.join("val"), &ids)?;
    Ok(Contents {
        classes: class_names(&folder.join("words.txt"), &ids)?,
        train: load(request, "train", train)?,
        val: None,
        test: Some(load(request, "val", test)?),
    })
}

fn class_ids(path: &Path) -> Result<Vec<String>, DataError> {
    let mut ids = read_lines(path)?;
    ids.sort();
    if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(DataError::format(
            path,
            format!("the id `{}` stands there twice", twice[0]),
        ));
    }
    if ids.len() < 2
        || ids
            .iter()
            .any(|id| id.is_empty() || id.contains(['/', '\\', '.']))
    {
        return Err(DataError::format(
            path,
            "it should list WordNet ids such as n02124075",
        ));
    }
    Ok(ids)
}

/// The first of the words for each id, from lines such as `n01443537<tab>goldfish, Carassius
/// auratus`; the id itself where there is no word.
fn class_names(path: &Path, ids: &[String]) -> Result<Vec<String>, DataError> {
    let lines = if path.is_file() {
        read_lines(path)?
    } else {
        Vec::new()
    };
    let words: HashMap<&str, &str> = lines.iter().filter_map(|l| l.split_once('\t')).collect();
    let name = |id: &String| match words.get(id.as_str()) {
        Some(words) => words.split(',').next().unwrap_or(words).trim().to_owned(),
        None => id.clone(),
    };
    Ok(ids.iter().map(name).collect())
}

fn train_items(train: &Path, ids: &[String]) -> Result<Vec<Item>, DataError> {
    let mut items = Vec::new();
    for (label, id) in ids.iter().enumerate() {
        let path = train.join(id).join("images");
        let images = images_in(&path)?;
        if images.is_empty() {
            return Err(DataError::EmptyClass { path });
        }
        items.extend(images.into_iter().map(|path| Item {
            path,
            label: label as i32,
        }));
    }
    Ok(items)
}

/// The annotated images, in the order of the annotations.
fn val_items(val: &Path, ids: &[String]) -> Result<Vec<Item>, DataError> {
    let annotations = val.join("val_annotations.txt");
    let labels: HashMap<&str, i32> = ids.iter().map(String::as_str).zip(0..).collect();
    let mut items = Vec::new();
    for (number, line) in read_lines(&annotations)?.iter().enumerate() {
        let bad = |reason: String| DataError::line(&annotations, number + 1, reason);
        let mut fields = line.split('\t');
        let (Some(file), Some(id)) = (fields.next(), fields.next()) else {
            return Err(bad(format!("`{line}` is not `file<tab>id<tab>box`")));
        };
        let Some(&label) = labels.get(id) else {
            return Err(bad(format!("the id `{id}` does not stand in wnids.txt")));
        };
        if file.is_empty() || file.contains(['/', '\\']) {
            return Err(bad(format!("`{file}` is not the name of an image")));
        }
        items.push(Item {
            path: val.join("images").join(file),
            label,
        });
    }
    if items.is_empty() {
        return Err(DataError::format(&annotations, "it lists no image"));
    }
    // An image without a line would silently be missing from the score.
    let listed: std::collections::HashSet<_> = items.iter().map(|item| &item.path).collect();
    if listed.len() != items.len() {
        return Err(DataError::format(&annotations, "it lists an image twice"));
    }
    match images_in(&val.join("images"))?
        .into_iter()
        .find(|p| !listed.contains(p))
    {
        Some(path) => Err(DataError::format(
            &path,
            "val_annotations.txt has no line for it",
        )),
        None => Ok(items),
    }
}
