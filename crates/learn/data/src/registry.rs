//! The table of data sets, read from the manifests in `datasets/`.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::error::DataError;

/// The manifests. A new data set is one TOML file and one line here.
const MANIFESTS: [(&str, &str); 7] = [
    ("generated", include_str!("../datasets/generated.toml")),
    (
        "generated-64",
        include_str!("../datasets/generated-64.toml"),
    ),
    ("cifar-10", include_str!("../datasets/cifar-10.toml")),
    ("cifar-100", include_str!("../datasets/cifar-100.toml")),
    (
        "cifar-100-lowdata",
        include_str!("../datasets/cifar-100-lowdata.toml"),
    ),
    (
        "tiny-imagenet-200",
        include_str!("../datasets/tiny-imagenet-200.toml"),
    ),
    ("folder", include_str!("../datasets/folder.toml")),
];

/// One data set, as its manifest describes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DatasetEntry {
    /// The name recipes use.
    pub name: String,
    /// One line of description.
    pub about: String,
    /// Which reader understands its files.
    pub reader: Reader,
    /// The names its folder may have under the data folder, the usual one first.
    #[serde(default)]
    pub folders: Vec<String>,
    /// Side of the images in pixels.
    pub size: usize,
    /// Class names, by label; empty where the files name them.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Channel means of the training pixels in `[0, 1]`; absent where they are measured on opening.
    pub mean: Option<[f32; 3]>,
    /// Channel standard deviations of the training pixels, likewise.
    pub std: Option<[f32; 3]>,
    /// Training images of the complete set.
    pub train: Option<usize>,
    /// Test images of the complete set.
    pub test: Option<usize>,
    /// The licence.
    pub licence: String,
    /// Authors and source.
    #[serde(default)]
    pub citation: String,
    /// Where it comes from and how to get it, where it cannot be downloaded.
    #[serde(default)]
    pub note: String,
    /// The download, where there is one.
    pub download: Option<Download>,
    /// Files whose checksum is known.
    #[serde(default)]
    pub file: Vec<KnownFile>,
}

/// Which reader understands the files of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reader {
    /// CIFAR-10 batches.
    Cifar10,
    /// CIFAR-100 files.
    Cifar100,
    /// The original Tiny-ImageNet layout.
    TinyImagenet,
    /// One folder per class.
    Folder,
    /// Drawn, not read.
    Generated,
}

/// Where the archive of a data set is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Download {
    /// Its address.
    pub url: String,
    /// `md5:` or `sha256:` and the checksum in hexadecimal.
    pub checksum: String,
    /// How it is packed.
    pub archive: Archive,
    /// The folder at the top of the archive, which becomes the data set's folder.
    pub top: String,
    /// About how many bytes the unpacked files take.
    pub unpacked_bytes: u64,
}

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Archive {
    /// A gzipped tar.
    TarGz,
    /// A zip.
    Zip,
}

/// A file whose checksum is known.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KnownFile {
    /// Its path in the data set's folder.
    pub path: String,
    /// `md5:` or `sha256:` and the checksum in hexadecimal.
    pub checksum: String,
}

static REGISTRY: LazyLock<Vec<DatasetEntry>> = LazyLock::new(|| {
    let parse = |(name, text): &(&str, &str)| match toml::from_str::<DatasetEntry>(text) {
        Ok(entry) => entry,
        // The manifests are compiled in, and a test parses each.
        Err(error) => unreachable!("datasets/{name}.toml: {error}"),
    };
    MANIFESTS.iter().map(parse).collect()
});

/// All data sets.
pub fn registry() -> &'static [DatasetEntry] {
    &REGISTRY
}

/// The data set of this name.
///
/// # Errors
/// [`DataError::UnknownDataset`], with the nearest name if one is near.
pub fn find(name: &str) -> Result<&'static DatasetEntry, DataError> {
    registry()
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| {
            let names = registry().iter().map(|entry| entry.name.as_str());
            DataError::UnknownDataset {
                name: name.to_owned(),
                nearest: offramp_run::nearest(name, names).map(str::to_owned),
            }
        })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_manifest_is_sound() {
        let mut names = HashSet::new();
        for ((file, _), entry) in MANIFESTS.iter().zip(registry()) {
            assert_eq!(*file, entry.name);
            assert!(names.insert(&entry.name), "{file} twice");
            assert!(
                !entry.about.is_empty() && !entry.about.contains('\n'),
                "{file}"
            );
            assert!(entry.mean.is_some() == entry.std.is_some(), "{file}");
            for value in entry.mean.iter().chain(&entry.std).flatten() {
                assert!((0.0..1.0).contains(value), "{file}");
            }
            let distinct: HashSet<_> = entry.classes.iter().collect();
            assert_eq!(distinct.len(), entry.classes.len(), "{file}");
            let sums = entry.download.iter().map(|d| &d.checksum);
            for sum in sums.chain(entry.file.iter().map(|f| &f.checksum)) {
                let (kind, hex) = sum.split_once(':').unwrap();
                let digits = [("md5", 32), ("sha256", 64)]
                    .into_iter()
                    .find(|k| k.0 == kind);
                assert_eq!(Some(hex.len()), digits.map(|d| d.1), "{file}: {sum}");
                assert!(hex.bytes().all(|b| b.is_ascii_hexdigit()), "{file}: {sum}");
            }
            let drawn = entry.reader == Reader::Generated;
            assert_eq!(entry.folders.is_empty(), drawn, "{file}");
            assert!(
                entry.download.is_some() || drawn || !entry.note.is_empty(),
                "{file}"
            );
        }
    }

    #[test]
    fn a_misspelt_name_gets_a_hint() {
        let error = find("tiny-imagenet").unwrap_err().to_string();
        assert!(
            error.contains("did you mean `tiny-imagenet-200`?"),
            "{error}"
        );
        let error = find("mnist-of-the-moon").unwrap_err().to_string();
        assert!(!error.contains("did you mean"), "{error}");
    }
}
