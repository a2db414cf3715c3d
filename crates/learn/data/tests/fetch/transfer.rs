//! The download: whole, cut, resumed, refused, altered.

use offramp_data::fetch::{FetchOptions, Progress, fetch_entry};
use offramp_data::{Archive, DataConfig, DataError, find, open};

use crate::archives::{TOP, archive, files, tar_gz, zip};
use crate::server::{Answer, Server};
use crate::{assert_absent, assert_whole, entry, fetch};

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
    for (name, part) in [("folder", "put images"), ("generated", "needs no files")] {
        let error = fetch(find(name).unwrap(), root.path(), 0)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no download") && error.contains(part),
            "{error}"
        );
    }
}
