//! Compiled plans as files that are mapped into memory.
//!
//! ```text
//! byte 0    "offramp\n"
//!      8    format version            u32
//!     12    CRC-32 of the description u32
//!     16    bytes of the description  u64
//!     24    bytes of the weights      u64
//!     32    CRC-32 of the weights     u32
//!     64    the description, JSON: network, batch, options, segments with their steps
//!   then    the weights, from the next multiple of 64 on
//! ```
//!
//! Numbers are little-endian. A description that does not fit its memory is refused by
//! [`Program::new`], so a damaged file is an error and never more.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use offramp_cpu::program::{FileBytes, Parts, Program, Words};
use offramp_run::files;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{About, ExecutorError, MultiExitPlan, Options, Plan};

/// Version of the format that is written and read.
pub const FORMAT: u32 = 2;

const MAGIC: &[u8; 8] = b"offramp\n";

/// Bytes before the description, and what the weights are aligned to.
const ALIGNMENT: usize = 64;

/// The largest batch of a file, so that a damaged one does not ask for all memory.
const MOST_IMAGES: usize = 1 << 16;

/// A plan that cannot be written or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file is something else or was made by another version.
    #[error("{}: {reason}; compile the plan again", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The steps do not fit together.
    #[error("{}: {source}; compile the plan again", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ExecutorError,
    },
}

#[derive(Serialize, Deserialize)]
struct Description {
    /// What is known of the network.
    about: Option<About>,
    batch: usize,
    options: Options,
    segments: Vec<Segment>,
}

#[derive(Serialize, Deserialize)]
struct Segment {
    parts: Parts,
    sources: Vec<usize>,
    /// Its words among all weights.
    weights: Words,
}

impl MultiExitPlan {
    /// Writes the plan; a file that is there is replaced in one step.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), FileError> {
        let mut start = 0;
        let mut segments = Vec::new();
        for (plan, sources) in self.segments().iter().zip(self.sources()) {
            let len = plan.program().weights().len();
            segments.push(Segment {
                parts: plan.program().parts().clone(),
                sources: sources.clone(),
                weights: Words { start, len },
            });
            start = (start + len).next_multiple_of(ALIGNMENT / 4);
        }
        let mut weights = vec![0_u8; 4 * start];
        for (plan, segment) in self.segments().iter().zip(&segments) {
            let to = weights[4 * segment.weights.start..].chunks_exact_mut(4);
            for (bytes, word) in to.zip(plan.program().weights().iter()) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        }
        let description = Description {
            about: self.about().cloned(),
            batch: self.batch(),
            options: self.segments()[0].options(),
            segments,
        };
        let error = |source| FileError::Io {
            path: path.to_owned(),
            source,
        };
        let description = serde_json::to_vec(&description).map_err(|e| error(e.into()))?;
        let mut head = Vec::with_capacity(ALIGNMENT);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&FORMAT.to_le_bytes());
        head.extend_from_slice(&crc32fast::hash(&description).to_le_bytes());
        head.extend_from_slice(&(description.len() as u64).to_le_bytes());
        head.extend_from_slice(&(weights.len() as u64).to_le_bytes());
        head.extend_from_slice(&crc32fast::hash(&weights).to_le_bytes());
        head.resize(ALIGNMENT, 0);
        let gap = description.len().next_multiple_of(ALIGNMENT) - description.len();
        let write = |file: &mut dyn Write| {
            let parts = [&head, &description, &vec![0; gap], &weights];
            parts
                .into_iter()
                .try_for_each(|bytes| file.write_all(bytes))
        };
        files::write_atomic_with(path, write).map_err(|failed| match failed {
            files::FileError::Read { source, .. } | files::FileError::Write { source, .. } => {
                error(source)
            }
        })
    }

    /// Maps a plan that [`MultiExitPlan::save`] wrote.
    ///
    /// # Errors
    /// [`FileError`] when the file is not there, damaged, or of another version.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        let io = |source| FileError::Io {
            path: path.to_owned(),
            source,
        };
        let file = FileBytes::map(&File::open(path).map_err(io)?).map_err(io)?;
        Self::read(&file, path)
    }

    /// Reads a plan from the bytes of such a file, of which it keeps a copy: where there are no files to
    /// map, as in a browser.
    ///
    /// # Errors
    /// [`FileError`] when the bytes are damaged or of another version; the file's name is `<bytes>`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        Self::read(&FileBytes::copy(bytes), Path::new("<bytes>"))
    }

    /// Reads a file that errors call `path`.
    fn read(file: &FileBytes, path: &Path) -> Result<Self, FileError> {
        let format = |reason: &str| FileError::Format {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let plan = |source| FileError::Plan {
            path: path.to_owned(),
            source,
        };
        let bytes = file.bytes();
        if cfg!(target_endian = "big") {
            return Err(format("plans are for little-endian machines"));
        }
        if bytes.len() < ALIGNMENT || !bytes.starts_with(MAGIC) {
            return Err(format("not a compiled plan"));
        }
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        if word(8) != FORMAT {
            let reason = format!("version {} of plans, {FORMAT} is known", word(8));
            return Err(format(&reason));
        }
        let cut = || format("cut off or damaged");
        let size = |at: usize| usize::try_from(long(at)).map_err(|_| cut());
        let (described, weighed) = (size(16)?, size(24)?);
        let rest = bytes[ALIGNMENT..].len();
        let begin = (described <= rest)
            .then(|| ALIGNMENT + described.next_multiple_of(ALIGNMENT))
            .ok_or_else(cut)?;
        let weights = bytes.get(begin..).filter(|w| w.len() == weighed);
        let weights = weights.ok_or_else(cut)?;
        let description = &bytes[ALIGNMENT..ALIGNMENT + described];
        if crc32fast::hash(description) != word(12) || crc32fast::hash(weights) != word(32) {
            return Err(cut());
        }
        let description: Description =
            serde_json::from_slice(description).map_err(|error| format(&error.to_string()))?;
        if description.batch > MOST_IMAGES || description.options.threads > 1 << 10 {
            return Err(format("a batch or a number of threads that no machine has"));
        }
        let (mut segments, mut sources) = (Vec::new(), Vec::new());
        for segment in description.segments {
            let Words { start, len } = segment.weights;
            let part = start
                .checked_mul(4)
                .and_then(|start| start.checked_add(begin))
                .and_then(|from| file.weights(from, len))
                .ok_or_else(cut)?;
            let program = Program::new(segment.parts, part).map_err(|e| plan(e.into()))?;
            segments.push(Plan::from_program(
                program,
                description.batch,
                description.options,
            ));
            sources.push(segment.sources);
        }
        let chained = Self::chained(segments, sources, description.batch).map_err(plan)?;
        match description.about {
            Some(about) => chained.with_about(about).map_err(plan),
            None => Ok(chained),
        }
    }
}
