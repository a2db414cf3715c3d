//! Class-folder trees: `train/<class>/<image>`, likewise `val/` and `test/`.

use std::path::Path;

use super::files::{Item, folders_in, images_in, load};
use super::{Contents, Request};
use crate::error::DataError;

/// Reads a tree. The classes are the folders of `train/` in the order of their names (bytes), as
/// torchvision's `ImageFolder` numbers them; images lie directly in them.
pub(crate) fn read(request: Request<'_>) -> Result<Contents, DataError> {
    let folder = request.folder;
    let train = folder.join("train");
    if !train.is_dir() {
        let reason = "it has no folder `train` with one folder a class in it";
        return Err(DataError::format(folder, reason));
    }
    let classes = class_names(&train)?;
    let split = |name: &str| -> Result<Option<_>, DataError> {
        let part = folder.join(name);
        if !part.is_dir() {
            return Ok(None);
        }
        same_classes(&train, &classes, &part)?;
        load(request, name, items(&part, &classes)?).map(Some)
    };
    Ok(Contents {
        train: load(request, "train", items(&train, &classes)?)?,
        val: split("val")?,
        test: split("test")?,
        classes,
    })
}

fn class_names(part: &Path) -> Result<Vec<String>, DataError> {
    let names: Vec<String> = folders_in(part)?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    if names.len() < 2 {
        let reason = format!(
            "it holds {} class folder(s), at least 2 are needed",
            names.len()
        );
        return Err(DataError::format(part, reason));
    }
    Ok(names)
}

/// Labels are positions in the list of classes, so a class that only one part has would shift
/// every label after it.
fn same_classes(train: &Path, classes: &[String], part: &Path) -> Result<(), DataError> {
    let found: Vec<String> = folders_in(part)?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let differ = |has: &Path, lacks: &Path, class: &String| DataError::ClassFolders {
        has: has.into(),
        lacks: lacks.into(),
        class: class.clone(),
    };
    if let Some(class) = classes.iter().find(|c| !found.contains(c)) {
        return Err(differ(train, part, class));
    }
    match found.iter().find(|c| !classes.contains(c)) {
        Some(class) => Err(differ(part, train, class)),
        None => Ok(()),
    }
}

fn items(part: &Path, classes: &[String]) -> Result<Vec<Item>, DataError> {
    let mut items = Vec::new();
    for (label, class) in classes.iter().enumerate() {
        let path = part.join(class);
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
