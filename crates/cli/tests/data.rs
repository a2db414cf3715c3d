//! `offramp data`, without a network.

mod support;

use std::path::Path;

use support::{failure, json, run, text};

/// CIFAR-100 in the binary layout, ten records a class and none of them official.
fn cifar_100(root: &Path) {
    let folder = root.join("cifar-100-binary");
    std::fs::create_dir(&folder).unwrap();
    let records: Vec<u8> = (0..1000u32)
        .flat_map(|i| [vec![0, (i % 100) as u8], vec![i as u8; 3072]].concat())
        .collect();
    for name in ["train.bin", "test.bin"] {
        std::fs::write(folder.join(name), &records).unwrap();
    }
}

#[test]
fn info_describes_every_data_set() {
    let root = tempfile::tempdir().unwrap();
    let data = text(root.path());
    for entry in json(&["list", "datasets", "--json"]).as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let document = json(&["data", "info", name, "--data", data, "--json"]);
        assert_eq!(
            (&document["name"], &document["about"]),
            (&entry["name"], &entry["doc"])
        );
        assert!(document["folder"].is_null());
        let output = run(&["data", "info", name, "--data", data]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.starts_with(name), "{said}");
    }
    let document = json(&[
        "data",
        "info",
        "tiny-imagenet-200",
        "--data",
        data,
        "--json",
    ]);
    assert_eq!(document["checksum"], "md5:90528d7ca1a48142e341f4ef8d21d0de");
}

#[test]
fn fetch_leaves_what_is_there_and_says_what_cannot_be_had() {
    let root = tempfile::tempdir().unwrap();
    let data = text(root.path());
    cifar_100(root.path());
    let document = json(&["data", "fetch", "cifar-100", "--data", data, "--json"]);
    assert_eq!(document["present_before"], true);
    assert_eq!(
        document["folder"],
        text(&root.path().join("cifar-100-binary"))
    );
    let said = failure(&["data", "fetch", "cifar-100-lowdata", "--data", data]);
    assert!(
        said.contains("no download") && said.contains("train.bin"),
        "{said}"
    );
}

#[test]
fn verify_reports_and_its_status_tells() {
    let root = tempfile::tempdir().unwrap();
    let data = text(root.path());
    let said = failure(&["data", "verify", "cifar-100", "--data", data]);
    assert!(
        said.contains("not found") && said.contains("data fetch cifar-100"),
        "{said}"
    );

    cifar_100(root.path());
    let output = run(&["data", "verify", "cifar-100", "--data", data, "--json"]);
    assert!(!output.status.success());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let outcomes: Vec<_> = (report["checks"].as_array().unwrap().iter())
        .map(|check| check["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["failed", "differs", "differs"], "{report}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("`cifar-100` is damaged: md5 of test.bin"),
        "{said}"
    );

    assert_eq!(json(&["data", "verify", "generated", "--json"])["ok"], true);
}
