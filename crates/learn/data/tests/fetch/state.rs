//! What `verify` and `info` tell of the files that are there.

use offramp_data::fetch::{Check, Outcome, Report, info, verify};
use offramp_data::{DataError, find};

use crate::archives::{TOP, files};

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
    let outcomes = |report: &Report| -> Vec<(String, Outcome)> {
        let one = |check: &Check| (check.what.clone(), check.outcome);
        report.checks.iter().map(one).collect()
    };
    // These are not the official test images, and not all of them.
    assert_eq!(
        outcomes(&report),
        [
            ("md5 of test.bin".into(), Outcome::Failed),
            ("training images".into(), Outcome::Differs),
            ("test images".into(), Outcome::Differs),
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
