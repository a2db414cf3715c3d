//! Temporary files and folders, and those that a killed writer left behind.

use std::fs::{self, DirEntry, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io;
#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Tells the temporary files of one process apart.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// How long a temporary file has not been written to before it can be one that was left behind.
const STALE_AFTER: Duration = Duration::from_secs(60 * 60);

/// Who can read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Its owner, on systems that know owners.
    Owner,
    /// Whoever can read other new files of its owner.
    Others,
}

impl Readers {
    #[cfg(unix)]
    fn limit(self, options: &mut OpenOptions) {
        if self == Self::Owner {
            options.mode(0o600);
        }
    }

    #[cfg(not(unix))]
    fn limit(self, _options: &mut OpenOptions) {}
}

/// A file or folder under a temporary name, locked while its writer lives and removed when dropped.
///
/// Age and lock tell it from one that a killed writer left behind: the system releases a lock when its
/// process ends in any way, but a lock may hold on one machine only, while others write in the same folder.
#[derive(Debug)]
pub(crate) struct Temporary {
    path: PathBuf,
    handle: Option<File>,
    kept: bool,
}

impl Temporary {
    /// A new empty file in `folder`.
    pub(crate) fn file_in(folder: &Path, readers: Readers) -> io::Result<Self> {
        Self::new(folder, |path| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true);
            readers.limit(&mut options);
            options.open(path).map(Some)
        })
    }

    /// A new empty folder in `folder`.
    pub(crate) fn folder_in(folder: &Path) -> io::Result<Self> {
        Self::new(folder, |path| {
            fs::create_dir(path)?;
            // Not every system opens folders; one that cannot be locked is never taken for left behind.
            Ok(File::open(path).ok())
        })
    }

    fn new(folder: &Path, create: impl Fn(&Path) -> io::Result<Option<File>>) -> io::Result<Self> {
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            // Processes of two containers may have the same number.
            let random = RandomState::new().hash_one(number);
            let name = format!("{PREFIX}{}-{random:016x}-{number}{SUFFIX}", process::id());
            let path = folder.join(name);
            let handle = match create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                created => created?,
            };
            if let Some(handle) = &handle {
                // On a file system without locks nothing is ever taken for left behind.
                let _ = handle.lock();
            }
            // Another writer may have removed it before it was locked.
            if path.exists() {
                return Ok(Self {
                    path,
                    handle,
                    kept: false,
                });
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file.
    pub(crate) fn file(&mut self) -> io::Result<&mut File> {
        let closed = || io::Error::other("a temporary folder is no file");
        self.handle.as_mut().ok_or_else(closed)
    }

    /// Gives it the name `path`, under which it stays.
    pub(crate) fn rename(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            remove(&self.path);
        }
    }
}

const PREFIX: &str = ".offramp-";
const SUFFIX: &str = ".tmp";

/// Beginning of the temporary names of earlier versions; other programs use it too.
const OLD_PREFIX: &str = ".tmp-";

/// Whether a file of this name is a temporary one of this program.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// As [`is_temporary`], with the names of earlier versions of this program. Some of those are not this
/// program's alone: for the folder of a run, where nobody else writes.
pub(crate) fn is_temporary_in_run(name: &str) -> bool {
    let partial = || {
        let rest = name.strip_suffix(".partial");
        let number = rest.and_then(|rest| rest.strip_prefix("policy.json."));
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
    };
    is_temporary(name) || name.starts_with(OLD_PREFIX) || partial()
}

/// Removes from a folder what a killed writer left behind: temporary files and folders of this program
/// that nobody has written to for an hour and no process holds locked. What cannot be removed stays; it is
/// in nobody's way.
pub(crate) fn remove_stale(folder: &Path) {
    remove_unlocked(folder, is_temporary, STALE_AFTER);
}

/// Removes the temporary files that killed writers left in a folder of a run, those of earlier versions of
/// this program too.
pub fn remove_stale_in_run(folder: &Path) {
    remove_unlocked(folder, is_temporary_in_run, STALE_AFTER);
}

/// Whether it was last modified at least `age` ago.
fn is_older(entry: &DirEntry, age: Duration) -> bool {
    let modified = entry.metadata().and_then(|found| found.modified()).ok();
    // A time yet to come is that of another machine's clock.
    let elapsed = modified.and_then(|modified| modified.elapsed().ok());
    elapsed.is_some_and(|elapsed| elapsed >= age)
}

fn remove_unlocked(folder: &Path, ours: fn(&str) -> bool, age: Duration) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        if !ours(&entry.file_name().to_string_lossy()) || !is_older(&entry, age) {
            continue;
        }
        let path = entry.path();
        let handle = match entry.file_type() {
            Ok(kind) if kind.is_dir() => File::open(&path),
            Ok(kind) if kind.is_file() => OpenOptions::new().read(true).write(true).open(&path),
            _ => continue,
        };
        // Its own writer, were it alive, would hold the lock.
        if let Ok(handle) = handle
            && handle.try_lock().is_ok()
        {
            remove(&path);
        }
    }
}

fn remove(path: &Path) {
    let _ = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = folder.read_dir().unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at(".offramp-4000000-3.tmp"), "half").unwrap();
        fs::create_dir(at(".offramp-4000000-4.tmp")).unwrap();
        fs::write(at(".offramp-4000000-4.tmp").join("stage0.onnx"), "half").unwrap();
        fs::write(
            at(".tmp-abc123"),
            "of an earlier version, or of another program",
        )
        .unwrap();
        fs::write(at("policy.json.77.partial"), "of an earlier version").unwrap();
        fs::write(at("policy.json.mine.partial"), "a person's").unwrap();
        fs::write(at("thesis.tmp"), "a person's").unwrap();
        let file = Temporary::file_in(folder.path(), Readers::Owner).unwrap();
        let open = Temporary::folder_in(folder.path()).unwrap();
        remove_unlocked(folder.path(), is_temporary, Duration::ZERO);
        let name = |t: &Temporary| t.path().file_name().unwrap().to_str().unwrap().to_owned();
        let mut expected = vec![
            name(&file),
            name(&open),
            ".tmp-abc123".into(),
            "policy.json.77.partial".into(),
            "policy.json.mine.partial".into(),
            "thesis.tmp".into(),
        ];
        expected.sort();
        assert_eq!(
            names(folder.path()),
            expected,
            "what is being written stays"
        );
        drop((file, open));
        remove_unlocked(folder.path(), is_temporary_in_run, Duration::ZERO);
        assert_eq!(
            names(folder.path()),
            ["policy.json.mine.partial", "thesis.tmp"]
        );
    }

    /// A writer on another machine may hold a lock that is not seen here.
    #[test]
    fn what_was_written_to_within_the_hour_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let left = |name: &str, age: u64| {
            let file = File::create(at(name)).unwrap();
            let modified = SystemTime::now() - Duration::from_secs(age);
            file.set_modified(modified).unwrap();
        };
        left(".offramp-1-0-0.tmp", 3500);
        left(".offramp-1-0-1.tmp", 3700);
        left(".tmp-abc", 3500);
        left(".tmp-def", 3700);
        let ahead = File::create(at(".offramp-1-0-2.tmp")).unwrap();
        let clock = SystemTime::now() + Duration::from_secs(7200);
        ahead.set_modified(clock).unwrap();
        drop(ahead);
        remove_stale(folder.path());
        assert_eq!(
            names(folder.path()),
            [
                ".offramp-1-0-0.tmp",
                ".offramp-1-0-2.tmp",
                ".tmp-abc",
                ".tmp-def"
            ]
        );
        remove_stale_in_run(folder.path());
        assert_eq!(
            names(folder.path()),
            [".offramp-1-0-0.tmp", ".offramp-1-0-2.tmp", ".tmp-abc"]
        );
    }

    #[test]
    fn processes_of_one_number_take_different_names() {
        let folder = tempfile::tempdir().unwrap();
        let file = Temporary::file_in(folder.path(), Readers::Owner).unwrap();
        let name = file.path().file_name().unwrap().to_str().unwrap();
        let process = process::id().to_string();
        let [_, found, random, number] = name.split('-').collect::<Vec<_>>()[..] else {
            panic!("{name}")
        };
        assert!(found == process && is_temporary(name), "{name}");
        assert_eq!(random.len(), 16, "{name}");
        let number: u64 = number.strip_suffix(SUFFIX).unwrap().parse().unwrap();
        // A table with keys of its own, as another process has it.
        let other = format!("{:016x}", RandomState::new().hash_one(number));
        assert_ne!(random, other);
    }

    #[test]
    fn a_writer_that_lost_its_name_takes_another() {
        let folder = tempfile::tempdir().unwrap();
        let writers = 8;
        std::thread::scope(|scope| {
            for writer in 0..writers {
                let folder = folder.path();
                scope.spawn(move || {
                    for round in 0..25 {
                        remove_unlocked(folder, is_temporary, Duration::ZERO);
                        let temporary = Temporary::file_in(folder, Readers::Owner).unwrap();
                        let path = folder.join(format!("{writer}-{round}"));
                        temporary.rename(&path).unwrap();
                    }
                });
            }
        });
        assert_eq!(names(folder.path()).len(), 25 * writers);
    }
}
