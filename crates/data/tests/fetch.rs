//! Fetching a data set from a server that is not always friendly.

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use md5::{Digest, Md5};
use offramp_data::fetch::{FetchOptions, Outcome, Progress, fetch_entry, info, verify};
use offramp_data::{Archive, DataConfig, DataError, DatasetEntry, Download, find, open};
use support::{Answer, Server, tar_gz, zip};

const TOP: &str = "cifar-100-binary";

/// CIFAR-100 in miniature: a training and a test file of 100 records.
fn files() -> [(String, Vec<u8>); 2] {
    let mut noise = 1u32;
    let mut record = |class: u8| {
        let mut bytes = vec![0, class];
        bytes.resize_with(2 + 3072, || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        });
        bytes
    };
    ["train.bin", "test.bin"].map(|name| {
        (
            format!("{TOP}/{name}"),
            (0..100).flat_map(&mut record).collect(),
        )
    })
}

fn archive() -> Vec<u8> {
    let files = files();
    tar_gz(
        &files
            .each_ref()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice())),
    )
}

/// The manifest of CIFAR-100, pointed elsewhere.
fn entry(url: &str, served: &[u8], kind: Archive) -> DatasetEntry {
    let sum: String = Md5::digest(served)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let download = Download {
        url: url.into(),
        checksum: format!("md5:{sum}"),
        archive: kind,
        top: TOP.into(),
        unpacked_bytes: 1_000_000,
    };
    DatasetEntry {
        download: Some(download),
        file: Vec::new(),
        ..find("cifar-100").unwrap().clone()
    }
}

fn fetch(entry: &DatasetEntry, root: &Path, retries: u32) -> Result<PathBuf, DataError> {
    let pause = Duration::from_millis(1);
    fetch_entry(entry, root, &FetchOptions { retries, pause }, &mut |_| ())
}

/// Nothing under `root` may be taken for the data set.
fn assert_absent(root: &Path) {
    assert!(!root.join(TOP).exists());
    let config = DataConfig {
        dataset: "cifar-100".into(),
        ..DataConfig::default()
    };
    let error = open(&config, Some(root)).unwrap_err();
    assert!(matches!(error, DataError::NotFound { .. }), "{error}");
}

fn assert_whole(root: &Path) {
    for (name, bytes) in files() {
        assert!(std::fs::read(root.join(name)).unwrap() == bytes);
    }
    let left = std::fs::read_dir(root.join(".offramp-fetch")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(
        left,
        ["cifar-100.lock"],
        "the download and the temporary folder are gone"
    );
}

#[test]
fn a_whole_download() {
    for kind in [Archive::TarGz, Archive::Zip] {
        let files = files();
        let files = files
            .each_ref()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        let served = match kind {
            Archive::TarGz => tar_gz(&files),
            Archive::Zip => zip(&files),
        };
        let server = Server::start(served.clone(), &[]);
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("made/on/the/way");
        let entry = entry(&server.url, &served, kind);
        let mut seen = Vec::new();
        let options = FetchOptions::default();
        let folder = fetch_entry(&entry, &data, &options, &mut |p| seen.push(p)).unwrap();
        assert_eq!(folder, data.join(TOP));
        assert_whole(&data);
        let size = served.len() as u64;
        let arrived = Progress::Downloading {
            done: size,
            total: Some(size),
        };
        assert!(seen.contains(&arrived), "{seen:?}");
        assert!(
            seen.contains(&Progress::Checking {
                done: size,
                total: size
            }),
            "{seen:?}"
        );
        assert!(
            matches!(seen.last(), Some(Progress::Unpacking { .. })),
            "{seen:?}"
        );

        let mut seen = Vec::new();
        fetch_entry(&entry, &data, &options, &mut |p| seen.push(p)).unwrap();
        assert_eq!(
            (seen, server.requests().len()),
            (vec![Progress::Present], 1)
        );

        let config = DataConfig {
            dataset: "cifar-100".into(),
            ..DataConfig::default()
        };
        assert_eq!(open(&config, Some(&data)).unwrap().test.len(), 100);
    }
}

#[test]
fn a_cut_connection_is_taken_up_where_it_ended() {
    let served = archive();
    let answers = [
        Answer::CutAfter(1000),
        Answer::CutAfter(5000),
        Answer::Status("503 Busy"),
    ];
    let server = Server::start(served.clone(), &answers);
    let root = tempfile::tempdir().unwrap();
    fetch(&entry(&server.url, &served, Archive::TarGz), root.path(), 2).unwrap();
    assert_whole(root.path());
    assert_eq!(
        server.requests(),
        [None, Some(1000), Some(6000), Some(6000)]
    );
}

#[test]
fn an_interrupted_fetch_is_not_a_complete_one_and_goes_on_next_time() {
    let served = archive();
    let server = Server::start(served.clone(), &[Answer::CutAfter(1000)]);
    let root = tempfile::tempdir().unwrap();
    let entry = entry(&server.url, &served, Archive::TarGz);
    let error = fetch(&entry, root.path(), 0).unwrap_err();
    assert!(matches!(error, DataError::Download { .. }), "{error}");
    assert!(error.to_string().contains(&server.url), "{error}");
    assert_absent(root.path());
    // What a run that was killed while unpacking leaves.
    let unpacking = root
        .path()
        .join(".offramp-fetch/cifar-100.unpacking")
        .join(TOP);
    std::fs::create_dir_all(&unpacking).unwrap();
    std::fs::write(unpacking.join("stale.bin"), "half").unwrap();
    assert_absent(root.path());

    fetch(&entry, root.path(), 0).unwrap();
    assert_eq!(server.requests(), [None, Some(1000)]);
    assert_whole(root.path());
    assert!(!root.path().join(TOP).join("stale.bin").exists());
}

#[test]
fn a_download_that_is_complete_already_is_not_repeated() {
    let served = archive();
    let server = Server::start(served.clone(), &[]);
    let root = tempfile::tempdir().unwrap();
    let entry = entry(&server.url, &served, Archive::TarGz);
    let sum = &entry.download.as_ref().unwrap().checksum["md5:".len()..];
    let work = root.path().join(".offramp-fetch");
    std::fs::create_dir_all(&work).unwrap();
    std::fs::write(
        work.join(format!("cifar-100-md5{}.part", &sum[..13])),
        &served,
    )
    .unwrap();
    fetch(&entry, root.path(), 0).unwrap();
    assert_eq!(server.requests(), [Some(served.len())]);
    assert_whole(root.path());
}

#[test]
fn a_server_that_ignores_range_is_heard_from_the_beginning() {
    let served = archive();
    let answers = [
        Answer::CutAfter(2000),
        Answer::IgnoreRangeAndCutAfter(1000),
        Answer::IgnoreRange,
    ];
    let server = Server::start(served.clone(), &answers);
    let root = tempfile::tempdir().unwrap();
    fetch(&entry(&server.url, &served, Archive::TarGz), root.path(), 2).unwrap();
    assert_whole(root.path());
    assert_eq!(server.requests(), [None, Some(2000), Some(1000)]);
}

#[test]
fn a_server_that_always_cuts_is_given_up() {
    let served = archive();
    let server = Server::start(served.clone(), &[Answer::IgnoreRangeAndCutAfter(1000); 9]);
    let root = tempfile::tempdir().unwrap();
    let error = fetch(&entry(&server.url, &served, Archive::TarGz), root.path(), 3).unwrap_err();
    assert!(matches!(error, DataError::Download { .. }), "{error}");
    assert_eq!(server.requests().len(), 4);
    assert_absent(root.path());
}

#[test]
fn a_refusal_is_not_repeated() {
    let server = Server::start(Vec::new(), &[Answer::Status("404 Not Found"); 3]);
    let root = tempfile::tempdir().unwrap();
    let error = fetch(&entry(&server.url, b"", Archive::Zip), root.path(), 3).unwrap_err();
    assert!(error.to_string().contains("404 Not Found"), "{error}");
    assert_eq!(server.requests().len(), 1);
    assert_absent(root.path());
}

#[test]
fn a_wrong_checksum_installs_nothing_and_begins_anew() {
    let mut other = archive();
    *other.last_mut().unwrap() ^= 1;
    let server = Server::start(other.clone(), &[]);
    let root = tempfile::tempdir().unwrap();
    let entry = entry(&server.url, &archive(), Archive::TarGz);
    for _ in 0..2 {
        let error = fetch(&entry, root.path(), 0).unwrap_err();
        let DataError::Checksum {
            expected, found, ..
        } = &error
        else {
            panic!("{error}");
        };
        assert_ne!(expected, found);
        assert!(error.to_string().contains(expected) && error.to_string().contains(found));
        assert_absent(root.path());
    }
    assert_eq!(
        server.requests(),
        [None, None],
        "nothing wrong is continued"
    );
}

#[test]
fn a_truncated_archive_with_the_right_checksum() {
    let files = files();
    let files = files
        .each_ref()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    for (kind, whole) in [
        (Archive::TarGz, tar_gz(&files)),
        (Archive::Zip, zip(&files)),
    ] {
        // The last cut takes only part of the checksum at the end of the gzip.
        for length in [0, 10, whole.len() / 2, whole.len() - 1] {
            let served = whole[..length].to_vec();
            let server = Server::start(served.clone(), &[]);
            let root = tempfile::tempdir().unwrap();
            let error = fetch(&entry(&server.url, &served, kind), root.path(), 0).unwrap_err();
            assert!(
                matches!(error, DataError::Archive { .. }),
                "{kind:?} {length}: {error}"
            );
            assert_absent(root.path());
        }
    }
}

#[test]
fn nothing_is_written_outside_the_folder() {
    let inside = format!("{TOP}/train.bin");
    for name in [
        "../evil",
        "cifar-100-binary/../../evil",
        "/tmp/offramp-evil",
    ] {
        let files: [(&str, &[u8]); 2] = [(&inside, b"x"), (name, b"evil")];
        for (kind, served) in [
            (Archive::TarGz, tar_gz(&files)),
            (Archive::Zip, zip(&files)),
        ] {
            let server = Server::start(served.clone(), &[]);
            let outer = tempfile::tempdir().unwrap();
            let root = outer.path().join("data");
            let error = fetch(&entry(&server.url, &served, kind), &root, 0).unwrap_err();
            assert!(
                error.to_string().contains("outside the folder"),
                "{kind:?} {name}: {error}"
            );
            assert_absent(&root);
            assert!(!Path::new("/tmp/offramp-evil").exists());
            assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
            assert_eq!(
                std::fs::read_dir(&root).unwrap().count(),
                1,
                "only the work folder"
            );
        }
    }
}

#[test]
fn links_repeated_names_bombs_and_strange_folders_are_refused() {
    let inside = format!("{TOP}/train.bin");
    let bomb = vec![0; 3_000_000];
    let twice: [(&str, &[u8]); 2] = [(&inside, b"x"), (&inside, b"y")];
    let link = {
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
            Vec::new(),
            flate2::Compression::fast(),
        ));
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, &inside, "/etc/passwd")
            .unwrap();
        tar.into_inner().unwrap().finish().unwrap()
    };
    for (served, kind, part) in [
        (tar_gz(&twice), Archive::TarGz, "twice"),
        (link, Archive::TarGz, "neither a file nor a folder"),
        (
            tar_gz(&[(&inside, &bomb)]),
            Archive::TarGz,
            "more than 2.0 MB",
        ),
        (zip(&[(&inside, &bomb)]), Archive::Zip, "more than 2.0 MB"),
        (
            zip(&[("elsewhere/x", b"x")]),
            Archive::Zip,
            "no folder `cifar-100-binary`",
        ),
    ] {
        let server = Server::start(served.clone(), &[]);
        let root = tempfile::tempdir().unwrap();
        let error = fetch(&entry(&server.url, &served, kind), root.path(), 0).unwrap_err();
        assert!(error.to_string().contains(part), "{part}: {error}");
        assert_absent(root.path());
    }
}

#[test]
fn too_little_room_is_known_before_the_download() {
    let served = archive();
    let server = Server::start(served.clone(), &[]);
    let root = tempfile::tempdir().unwrap();
    let mut entry = entry(&server.url, &served, Archive::TarGz);
    entry.download.as_mut().unwrap().unpacked_bytes = u64::MAX / 4;
    let error = fetch(&entry, root.path(), 0).unwrap_err();
    assert!(matches!(error, DataError::NoSpace { .. }), "{error}");
    assert_absent(root.path());
}

#[test]
fn two_fetches_of_one_data_set_do_not_mix() {
    let served = archive();
    let server = Server::start(served.clone(), &[]);
    let root = tempfile::tempdir().unwrap();
    let entry = entry(&server.url, &served, Archive::TarGz);
    let work = root.path().join(".offramp-fetch");
    std::fs::create_dir_all(&work).unwrap();
    let other = std::fs::File::create(work.join("cifar-100.lock")).unwrap();
    other.lock().unwrap();
    let error = fetch(&entry, root.path(), 0).unwrap_err();
    assert!(matches!(error, DataError::Busy { .. }), "{error}");
    drop(other);
    fetch(&entry, root.path(), 0).unwrap();
}

#[test]
fn data_sets_without_a_download_say_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    for (name, part) in [("folder", "put pictures"), ("generated", "needs no files")] {
        let error = fetch(find(name).unwrap(), root.path(), 0)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no download") && error.contains(part),
            "{error}"
        );
    }
}

#[test]
fn verify_tells_whole_from_partial_from_damaged() {
    let root = tempfile::tempdir().unwrap();
    assert!(matches!(
        verify("cifar-100", root.path()),
        Err(DataError::NotFound { .. })
    ));
    let folder = root.path().join(TOP);
    std::fs::create_dir(&folder).unwrap();
    for (name, bytes) in files() {
        std::fs::write(root.path().join(name), bytes).unwrap();
    }
    let report = verify("cifar-100", root.path()).unwrap();
    let outcomes = |report: &offramp_data::fetch::Report| -> Vec<(String, Outcome)> {
        let one = |check: &offramp_data::fetch::Check| (check.what.clone(), check.outcome);
        report.checks.iter().map(one).collect()
    };
    // These are not the official test pictures, and not all of them.
    assert_eq!(
        outcomes(&report),
        [
            ("md5 of test.bin".into(), Outcome::Failed),
            ("training pictures".into(), Outcome::Differs),
            ("test pictures".into(), Outcome::Differs),
        ]
    );
    assert!(!report.ok);

    std::fs::write(folder.join("train.bin"), vec![0; 3075]).unwrap();
    let report = verify("cifar-100", root.path()).unwrap();
    let last = report.checks.last().unwrap();
    assert!(
        last.outcome == Outcome::Failed && last.found.contains("3075"),
        "{last:?}"
    );
    assert!(verify("generated", root.path()).unwrap().ok);
}

#[test]
fn info_tells_of_an_unfinished_download() {
    let root = tempfile::tempdir().unwrap();
    let work = root.path().join(".offramp-fetch");
    std::fs::create_dir_all(&work).unwrap();
    let sum = &find("cifar-100")
        .unwrap()
        .download
        .as_ref()
        .unwrap()
        .checksum["md5:".len()..];
    std::fs::write(
        work.join(format!("cifar-100-md5{}.part", &sum[..13])),
        [0; 7],
    )
    .unwrap();
    let info = info("cifar-100", root.path()).unwrap();
    assert_eq!((info.folder, info.downloaded_bytes), (None, Some(7)));
}
