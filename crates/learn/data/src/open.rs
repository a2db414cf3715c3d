//! Opening a data set: find its folder, read it, set validation images aside.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::DataConfig;
use crate::error::DataError;
use crate::generated;
use crate::images::Images;
use crate::info::{DatasetInfo, ImageShape};
use crate::readers::{Contents, Request, cifar, folder, tiny_imagenet};
use crate::registry::{self, DatasetEntry, Reader};
use crate::split::{Split, Splits};
use crate::statistics::channel_statistics;
use crate::subset::Subset;

/// The data folder where none is given.
pub const DEFAULT_ROOT: &str = "datasets";

/// Opens the data set that `config` names.
///
/// `data_root` is the folder in which data sets lie, each under its usual name
/// ([`DatasetEntry::folders`]); [`DEFAULT_ROOT`] if absent. Which rows are validation images depends
/// on `split_seed` and the labels alone, so the same rows are left out of training in every run.
/// Where the files have a validation part of their own *and* a test part, those are used as they
/// are. Where they have only one of the two, it is the test split, the rows of the score, and
/// validation images come out of the training images; where they have neither, test images do, too.
///
/// # Errors
/// Whatever is wrong with the settings or the files, see [`DataError`].
///
/// ```
/// use offramp_data::{DataConfig, open};
///
/// let mut config = DataConfig::default(); // the generated set needs no files
/// config.generated.train = 200;
/// config.generated.test = 50;
/// let splits = open(&config, None)?;
/// assert_eq!((splits.train.len(), splits.val.len(), splits.test.len()), (180, 20, 50));
/// # Ok::<(), offramp_data::DataError>(())
/// ```
pub fn open(config: &DataConfig, data_root: Option<&Path>) -> Result<Splits, DataError> {
    config.check()?;
    let entry = registry::find(&config.dataset)?;
    let contents = match entry.reader {
        Reader::Generated => draw(config, entry)?,
        _ => read(
            config,
            entry,
            &find_folder(entry, config.dir.as_deref(), data_root)?,
        )?,
    };
    let found = contents.classes.len();
    if let Some(expected) = config.classes.filter(|&expected| expected != found) {
        return Err(DataError::ClassCount {
            expected,
            found,
            dataset: entry.name.clone(),
        });
    }
    let info = describe(config, entry, &contents)?;
    config.augment.check(info.stored_shape(), info.shape)?;
    let splits = divide(config, info, contents)?;
    tracing::debug!(
        "{}: {} training, {} validation, {} test images of {}",
        splits.info.name,
        splits.train.len(),
        splits.val.len(),
        splits.test.len(),
        splits.info.shape
    );
    Ok(splits)
}

fn draw(config: &DataConfig, entry: &DatasetEntry) -> Result<Contents, DataError> {
    let size = config.image_size.unwrap_or(entry.size);
    let draw = |split, count| generated::generate(split, count, size, config.generated.seed);
    Ok(Contents {
        classes: entry.classes.clone(),
        train: draw(Split::Train, config.generated.train)?,
        val: None,
        test: Some(draw(Split::Test, config.generated.test)?),
    })
}

/// Reads the files in `folder` by the reader of `entry`; draws what has no files.
pub(crate) fn read(
    config: &DataConfig,
    entry: &DatasetEntry,
    folder: &Path,
) -> Result<Contents, DataError> {
    let size = config.image_size.unwrap_or(entry.size);
    let (on_error, cache) = (config.on_error, config.cache);
    let request = Request {
        folder,
        size,
        on_error,
        cache,
    };
    match entry.reader {
        Reader::Cifar10 => cifar::read(request, cifar::Variant::Cifar10, &entry.classes),
        Reader::Cifar100 => cifar::read(request, cifar::Variant::Cifar100, &entry.classes),
        Reader::TinyImagenet => tiny_imagenet::read(request),
        Reader::Folder => folder::read(request),
        Reader::Generated => draw(config, entry),
    }
}

/// The folder of a data set: `dir` if given, else the first of its usual names that exists.
pub(crate) fn find_folder(
    entry: &DatasetEntry,
    dir: Option<&Path>,
    root: Option<&Path>,
) -> Result<PathBuf, DataError> {
    let root = root.unwrap_or(Path::new(DEFAULT_ROOT));
    let tried: Vec<PathBuf> = match dir {
        Some(dir) => vec![root.join(dir)],
        None => entry.folders.iter().map(|name| root.join(name)).collect(),
    };
    if let Some(found) = tried.iter().find(|path| path.is_dir()) {
        return Ok(found.clone());
    }
    let advice = match (&entry.download, dir) {
        (Some(_), None) => format!(
            "get it with `offramp data fetch {}`, or name the folder it lies in with --data or OFFRAMP_DATA",
            entry.name
        ),
        (None, None) => entry.note.clone(),
        (_, Some(_)) => "correct `dir` in [data]: it is absolute, or relative to the data folder (--data, OFFRAMP_DATA)".into(),
    };
    Err(DataError::NotFound {
        name: entry.name.clone(),
        tried,
        advice,
    })
}

fn describe(
    config: &DataConfig,
    entry: &DatasetEntry,
    contents: &Contents,
) -> Result<DatasetInfo, DataError> {
    let stored = contents.train.shape();
    let shape = config.augment.crop.map_or(stored, ImageShape::square);
    if shape.plane() == 0 {
        let rule = "it must be at least 1".into();
        return Err(DataError::Config {
            key: "augment.crop",
            value: "0".into(),
            rule,
        });
    }
    let (mean, std) = match (entry.mean, entry.std) {
        (Some(mean), Some(std)) => (mean, std),
        _ => channel_statistics(&contents.train),
    };
    Ok(DatasetInfo {
        name: entry.name.clone(),
        classes: contents.classes.clone(),
        shape,
        mean: config.mean.unwrap_or(mean),
        std: config.std.unwrap_or(std),
        decoded: (stored != shape).then_some(stored),
    })
}

fn divide(config: &DataConfig, info: DatasetInfo, contents: Contents) -> Result<Splits, DataError> {
    let seed = config.split_seed;
    let mut train = Subset::all(Arc::new(contents.train));
    let whole = |images: Images| Subset::all(Arc::new(images));
    let (val, test) = match (contents.val, contents.test) {
        (Some(val), Some(test)) => (Some(whole(val)), whole(test)),
        (Some(only), None) | (None, Some(only)) => (None, whole(only)),
        (None, None) => {
            let share = if config.val_fraction > 0.0 {
                config.val_fraction
            } else {
                0.1
            };
            let (test, rest) = train.divide(rows(share, train.len()), seed ^ TEST_SALT);
            train = rest;
            (None, test)
        }
    };
    let val = val.unwrap_or_else(|| {
        if config.val_fraction == 0.0 {
            return train.none();
        }
        let (val, rest) = train.divide(rows(config.val_fraction, train.len()), seed);
        train = rest;
        val
    });
    let train = match config.train_limit {
        Some(limit) => train.take_seeded(limit, seed),
        None => train,
    };
    let train = train.with_labelled_fraction(config.labelled_fraction, seed);
    let test = match config.test_limit {
        Some(limit) => test.take_seeded(limit, seed),
        None => test,
    };
    for (what, subset) in [("training", &train), ("test", &test)] {
        if subset.is_empty() {
            let what = format!("the {what} split of `{}`", info.name);
            let advice = "give it images, or lower `val-fraction`".into();
            return Err(DataError::Empty { what, advice });
        }
    }
    Ok(Splits {
        info,
        train,
        val,
        test,
    })
}

/// Keeps the choice of test images apart from that of validation images under the same seed.
const TEST_SALT: u64 = 0x7465_7374; // "test"

/// `fraction` of `count`, rounded, at least one.
fn rows(fraction: f64, count: usize) -> usize {
    ((fraction * count as f64).round() as usize).max(1)
}
