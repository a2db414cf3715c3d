//! The cache of decoded images: one file per split, written once, memory-mapped.
//!
//! Layout, all numbers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic `OFFRAMP` and the format version |
//! | 32 | key: SHA-256 of everything the pixels depend on |
//! | 3 x 4 | channels, height, width |
//! | 8 | number of images |
//! | 8 | length of the notes |
//! | 4 | CRC-32 of pixels and notes |
//! | 4 | CRC-32 of the header up to here |
//! | up to 4096 | zeros, so that the pixels begin on a page |
//! | | pixels, `N x C x H x W` |
//! | | notes: a line for each image left out, `position<tab>reason` |
//!
//! A cache is used only if every one of these is as expected, the CRC of all pixels included;
//! anything else is rebuilt. It is written under a temporary name and renamed, so that a run that
//! was killed leaves nothing that could be taken for a cache. It lies in `.offramp-cache` in the
//! data set's folder, or, where that may not be written to, in the user's cache folder.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::error::DataError;
use crate::images::Images;
use crate::info::ImageShape;
use crate::mapping::Mapping;
use crate::readers::files::{Item, assemble};

const MAGIC: [u8; 8] = *b"OFFRAMP\x01";
const HEADER: usize = 8 + 32 + 12 + 8 + 8 + 4 + 4;
/// Where the pixels begin.
const PIXELS: usize = 4096;

/// Everything the pixels of a cache depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheKey([u8; 32]);

impl CacheKey {
    /// The key of images decoded from files: shape, and name, size, modification time and label
    /// of each file, in order.
    pub(crate) fn of_files(
        folder: &Path,
        items: &[Item],
        shape: ImageShape,
    ) -> Result<Self, DataError> {
        let stats: Vec<(u64, u128)> = items
            .par_iter()
            .map(|item| {
                let stat = std::fs::metadata(&item.path)
                    .map_err(|e| DataError::io("read", &item.path, e))?;
                let since = |t: std::time::SystemTime| t.duration_since(std::time::UNIX_EPOCH);
                let modified = stat.modified().ok().and_then(|t| since(t).ok());
                Ok((stat.len(), modified.map_or(0, |m| m.as_nanos())))
            })
            .collect::<Result<_, DataError>>()?;
        let mut hash = Sha256::new();
        // Raise the version whenever decoding gives other pixels than before.
        hash.update(b"offramp files v1");
        for side in [shape.channels, shape.height, shape.width] {
            hash.update((side as u64).to_le_bytes());
        }
        for (item, (length, modified)) in items.iter().zip(stats) {
            let path = item.path.strip_prefix(folder).unwrap_or(&item.path);
            let name = path.as_os_str().as_encoded_bytes();
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
            hash.update(length.to_le_bytes());
            hash.update(modified.to_le_bytes());
            hash.update(item.label.to_le_bytes());
        }
        Ok(Self(hash.finalize().into()))
    }
}

/// Opens a valid cache of `items`; `None` if there is none and one has to be made.
///
/// # Errors
/// Only errors of joining the parts; a damaged cache is logged and treated as missing.
pub(crate) fn load(
    folder: &Path,
    name: &str,
    key: &CacheKey,
    items: &[Item],
) -> Result<Option<Images>, DataError> {
    for place in places(folder) {
        let path = file_in(&place, name);
        if !path.is_file() {
            continue;
        }
        match read(&path, key, items.len()) {
            Ok((shape, mapping, skipped)) => {
                let images = |labels| Images::mapped(shape, mapping, PIXELS, labels);
                return assemble(items, skipped, images).map(Some);
            }
            Err(reason) => tracing::info!("`{}` is not used: {reason}", path.display()),
        }
    }
    Ok(None)
}

type Opened = (ImageShape, Mapping, Vec<(usize, String)>);

/// Opens and checks a cache file, or says what is wrong with it.
fn read(path: &Path, key: &CacheKey, items: usize) -> Result<Opened, String> {
    let mut file = File::open(path).map_err(|e| e.to_string())?;
    let length = file.metadata().map_err(|e| e.to_string())?.len();
    let mut bytes = [0; HEADER];
    file.read_exact(&mut bytes).map_err(|_| "it is too short")?;
    let header = Header::parse(&bytes)?;
    if header.key != *key {
        return Err("the files or settings it was made from have changed".into());
    }
    let pixels = header.count.checked_mul(header.shape.bytes() as u64);
    let total = pixels.and_then(|p| p.checked_add(PIXELS as u64)?.checked_add(header.notes));
    if total != Some(length) {
        return Err("its length is wrong".into());
    }
    let mapping = Mapping::new(&file).map_err(|e| e.to_string())?;
    let content = mapping.bytes().get(PIXELS..).ok_or("it is too short")?;
    if parallel_crc(content) != header.crc {
        return Err("its checksum is wrong".into());
    }
    let notes = &content[content.len() - header.notes as usize..];
    let skipped = parse_notes(notes).ok_or("its notes are unreadable")?;
    if header.count as usize + skipped.len() != items {
        return Err("it holds another number of images".into());
    }
    Ok((header.shape, mapping, skipped))
}

/// CRC-32 of a large block by all cores.
fn parallel_crc(bytes: &[u8]) -> u32 {
    let parts: Vec<_> = bytes
        .par_chunks(1 << 22)
        .map(|part| {
            let mut crc = crc32fast::Hasher::new();
            crc.update(part);
            crc
        })
        .collect();
    let mut all = crc32fast::Hasher::new();
    parts.iter().for_each(|part| all.combine(part));
    all.finalize()
}

fn parse_notes(bytes: &[u8]) -> Option<Vec<(usize, String)>> {
    let mut skipped = Vec::new();
    for line in std::str::from_utf8(bytes).ok()?.lines() {
        let (position, reason) = line.split_once('\t')?;
        let position = position.parse().ok()?;
        if skipped.last().is_some_and(|(last, _)| position <= *last) {
            return None;
        }
        skipped.push((position, reason.to_owned()));
    }
    Some(skipped)
}

struct Header {
    key: CacheKey,
    shape: ImageShape,
    count: u64,
    notes: u64,
    crc: u32,
}

impl Header {
    fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend(MAGIC);
        bytes.extend(self.key.0);
        for side in [self.shape.channels, self.shape.height, self.shape.width] {
            bytes.extend((side as u32).to_le_bytes());
        }
        bytes.extend(self.count.to_le_bytes());
        bytes.extend(self.notes.to_le_bytes());
        bytes.extend(self.crc.to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        std::array::from_fn(|i| bytes[i])
    }

    fn parse(bytes: &[u8; HEADER]) -> Result<Self, String> {
        if bytes[..8] != MAGIC {
            return Err("it is of another version".into());
        }
        let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let u64_at = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        if crc32fast::hash(&bytes[..HEADER - 4]) != u32_at(HEADER - 4) {
            return Err("its header is damaged".into());
        }
        let [channels, height, width] = [40, 44, 48].map(|at| u32_at(at) as usize);
        Ok(Self {
            key: CacheKey(std::array::from_fn(|i| bytes[8 + i])),
            shape: ImageShape {
                channels,
                height,
                width,
            },
            count: u64_at(52),
            notes: u64_at(60),
            crc: u32_at(68),
        })
    }
}

/// Writes a cache file.
pub(crate) struct Writer {
    file: io::BufWriter<NamedTempFile>,
    path: PathBuf,
    header: Header,
    crc: crc32fast::Hasher,
}

impl Writer {
    /// Starts a file in the first place that can be written to; `None` if there is none.
    pub(crate) fn create(
        folder: &Path,
        name: &str,
        key: &CacheKey,
        shape: ImageShape,
    ) -> Option<Self> {
        let file_of = |place: PathBuf| {
            let file = start_in(&place).ok()?;
            Some((file, file_in(&place, name)))
        };
        let (mut file, path) = places(folder).into_iter().find_map(file_of)?;
        // Room for the header, which is known last.
        file.as_file_mut()
            .seek(SeekFrom::Start(PIXELS as u64))
            .ok()?;
        let header = Header {
            key: key.clone(),
            shape,
            count: 0,
            notes: 0,
            crc: 0,
        };
        let file = io::BufWriter::with_capacity(1 << 20, file);
        Some(Self {
            file,
            path,
            header,
            crc: crc32fast::Hasher::new(),
        })
    }

    /// Appends the pixels of one image.
    pub(crate) fn write(&mut self, pixels: &[u8]) -> Result<(), DataError> {
        self.crc.update(pixels);
        self.header.count += 1;
        self.file
            .write_all(pixels)
            .map_err(|e| DataError::io("write", &self.path, e))
    }

    /// Completes the file, puts it in its place and maps it.
    pub(crate) fn finish(
        mut self,
        items: &[Item],
        skipped: Vec<(usize, String)>,
    ) -> Result<Images, DataError> {
        let path = self.path.clone();
        let failed = |e: io::Error| DataError::io("write", &path, e);
        let mut notes = String::new();
        for (position, reason) in &skipped {
            let _ = writeln!(notes, "{position}\t{}", reason.replace(['\n', '\r'], " "));
        }
        self.crc.update(notes.as_bytes());
        self.header.crc = self.crc.finalize();
        self.header.notes = notes.len() as u64;
        self.file.write_all(notes.as_bytes()).map_err(failed)?;
        let mut file = self.file.into_inner().map_err(|e| failed(e.into_error()))?;
        file.as_file_mut()
            .seek(SeekFrom::Start(0))
            .map_err(failed)?;
        file.as_file_mut()
            .write_all(&self.header.bytes())
            .map_err(failed)?;
        let file = publish(file, &path).map_err(failed)?;
        let mapping = Mapping::new(&file).map_err(failed)?;
        let shape = self.header.shape;
        assemble(items, skipped, |labels| {
            Images::mapped(shape, mapping, PIXELS, labels)
        })
    }
}

/// Gives a finished file its name. After this no process may write to it.
fn publish(file: NamedTempFile, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file()
            .set_permissions(std::fs::Permissions::from_mode(0o444))?;
    }
    file.persist(path).map_err(|e| e.error)
}

/// A temporary file in `place`, which is made if it is missing.
fn start_in(place: &Path) -> io::Result<NamedTempFile> {
    // Where every write permission was taken away, the owner does not want files there, even if
    // the administrator's account could make them.
    let parent = place.parent().unwrap_or(place);
    if std::fs::metadata(parent).is_ok_and(|m| m.permissions().readonly()) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    std::fs::create_dir_all(place)?;
    tempfile::Builder::new()
        .prefix(".unfinished-")
        .tempfile_in(place)
}

fn file_in(place: &Path, name: &str) -> PathBuf {
    place.join(format!("{name}.u8"))
}

/// Where caches of a data folder may lie, best first.
fn places(folder: &Path) -> Vec<PathBuf> {
    let mut places = vec![folder.join(".offramp-cache")];
    if let Some(user) = user_cache() {
        let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let digest = Sha256::digest(absolute.as_os_str().as_encoded_bytes());
        let tag: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
        let name = absolute
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or("data")
            .to_owned();
        places.push(user.join("offramp").join(format!("{name}-{tag}")));
    }
    places
}

/// The user's cache folder by the conventions of the system.
fn user_cache() -> Option<PathBuf> {
    let from = |variable: &str| {
        std::env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let home = || {
        let below = if cfg!(target_os = "macos") {
            "Library/Caches"
        } else {
            ".cache"
        };
        from("HOME").map(|home| home.join(below))
    };
    from("XDG_CACHE_HOME")
        .or_else(|| from("LOCALAPPDATA"))
        .or_else(home)
}
