//! How `open` divides the rows.

use std::collections::HashSet;

use offramp_data::{DataConfig, DataError, open};

fn config(toml: &str) -> DataConfig {
    let sizes = "generated = { train = 400, test = 100 }\n";
    toml::from_str(&format!("{sizes}{toml}")).unwrap()
}

#[test]
fn validation_rows_are_set_aside_in_proportion_and_for_good() {
    let splits = open(&config("val-fraction = 0.25"), None).unwrap();
    let (train, val) = (splits.train.indices(), splits.val.indices());
    assert_eq!((train.len(), val.len(), splits.test.len()), (300, 100, 100));
    let all: HashSet<usize> = train.iter().chain(val).copied().collect();
    assert_eq!(all.len(), 400, "no row is in both");
    for class in 0..10 {
        assert_eq!(
            splits.val.labels().iter().filter(|&&l| l == class).count(),
            10
        );
    }

    // Neither the limits nor the labels of other rows move the validation images.
    let same = config("val-fraction = 0.25\ntrain-limit = 50\nlabelled-fraction = 0.2");
    let same = open(&same, None).unwrap();
    assert_eq!(same.val.indices(), val);
    assert_eq!(same.train.len(), 50);
    assert!(
        same.train
            .indices()
            .iter()
            .all(|index| train.contains(index))
    );
    assert_eq!(
        same.train
            .labels()
            .iter()
            .filter(|&&label| label >= 0)
            .count(),
        10
    );

    let other = open(&config("val-fraction = 0.25\nsplit-seed = 1"), None).unwrap();
    assert_ne!(other.val.indices(), val);
    let none = open(&config("val-fraction = 0.0"), None).unwrap();
    assert_eq!((none.train.len(), none.val.len()), (400, 0));
}

#[test]
fn another_number_of_classes_is_an_error() {
    let error = open(&config("classes = 7"), None).unwrap_err();
    let expected = DataError::ClassCount {
        expected: 7,
        found: 10,
        dataset: "generated".into(),
    };
    assert_eq!(error.to_string(), expected.to_string());
}

#[test]
fn a_missing_folder_says_how_to_get_it() {
    let root = tempfile::tempdir().unwrap();
    for (toml, part) in [
        ("dataset = \"cifar-100\"", "offramp data fetch cifar-100"),
        (
            "dataset = \"cifar-100-lowdata\"",
            "keep the first 100 records",
        ),
        (
            "dataset = \"folder\"\ndir = \"nowhere\"",
            "correct `dir` in [data]",
        ),
    ] {
        let error = open(&config(toml), Some(root.path()))
            .unwrap_err()
            .to_string();
        let tried = root.path().display().to_string();
        assert!(error.contains(part) && error.contains(&tried), "{error}");
    }
}
