//! Archives that are damaged or hostile although their checksum is right.

use std::path::Path;

use offramp_data::{Archive, DataError};

use crate::archives::{TOP, files, tar_gz, zip};
use crate::server::Server;
use crate::{assert_absent, entry, fetch};

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
