//! Class-folder trees.

use std::path::Path;

use image::{Rgb, RgbImage};

use super::{assert_fails, read, read_skipping};

fn image(path: &Path, shade: u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(64, 64, Rgb([shade; 3]))
        .save(path)
        .unwrap();
}

/// Classes `b` and `a`, with all kinds of files.
fn tree(root: &Path, splits: &[&str]) {
    for split in splits {
        let folder = root.join("folder").join(split);
        for (name, shade) in [
            ("b/1.png", 10),
            ("b/2.bmp", 20),
            ("a/3.webp", 30),
            ("a/4.JPG", 40),
        ] {
            image(&folder.join(name), shade);
        }
        for ignored in ["b/notes.txt", "b/.hidden.png", ".thumbs/x.png", "list.csv"] {
            super::put(&folder.join(ignored), "not an image");
        }
    }
}

#[test]
fn classes_are_sorted_and_other_files_ignored() {
    let root = tempfile::tempdir().unwrap();
    tree(root.path(), &["train", "val", "test"]);
    let splits = read("folder", root.path()).unwrap();
    assert_eq!(splits.info.classes, ["a", "b"]);
    for subset in [&splits.train, &splits.val, &splits.test] {
        assert_eq!(subset.labels(), [0, 0, 1, 1]);
        let shades: Vec<u8> = (0..4).map(|i| subset.image(i)[64 * 64]).collect();
        assert!(
            shades
                .iter()
                .zip([30, 40, 10, 20])
                .all(|(&got, want)| got.abs_diff(want) <= 2)
        );
    }
    // Nothing but greys of the training images: (30 + 40 + 10 + 20) / 4 / 255.
    assert!(
        (splits.info.mean[0] - 25.0 / 255.0).abs() < 2.0 / 255.0,
        "{:?}",
        splits.info.mean
    );
}

#[test]
fn a_lone_val_folder_is_the_test_split() {
    for splits in [["train", "val"], ["train", "test"]] {
        let root = tempfile::tempdir().unwrap();
        tree(root.path(), &splits);
        let found = read("folder", root.path()).unwrap();
        assert_eq!(
            (found.train.len(), found.val.len(), found.test.len()),
            (4, 0, 4)
        );
        assert!(
            found
                .test
                .path(0)
                .unwrap()
                .starts_with(root.path().join("folder").join(splits[1]))
        );
    }
}

#[test]
fn an_undecodable_image_stops_or_is_counted() {
    let root = tempfile::tempdir().unwrap();
    tree(root.path(), &["train", "test"]);
    let broken = root.path().join("folder/train/b/1.png");
    let bytes = std::fs::read(&broken).unwrap();
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    assert_fails(read("folder", root.path()), &["b/1.png", "on-error"]);
    let splits = read_skipping("folder", root.path()).unwrap();
    assert_eq!(splits.train.labels(), [0, 0, 1]);
    assert_eq!(splits.train.images().skipped()[0].path, broken);
    for name in ["train/a/3.webp", "train/a/4.JPG", "train/b/2.bmp"] {
        std::fs::write(root.path().join("folder").join(name), "").unwrap();
    }
    assert_fails(
        read_skipping("folder", root.path()),
        &["none of the 4 images", "3.webp"],
    );
}

#[test]
fn faults_of_the_tree_are_named() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("folder")).unwrap();
    assert_fails(
        read("folder", root.path()),
        &["folder", "no folder `train`"],
    );
    tree(root.path(), &["train", "test"]);
    let folder = root.path().join("folder");
    std::fs::create_dir(folder.join("train/c")).unwrap();
    assert_fails(read("folder", root.path()), &["train/c", "holds no image"]);
    image(&folder.join("train/c/1.png"), 0);
    assert_fails(read("folder", root.path()), &["`c`", "test"]);
    image(&folder.join("test/c/1.png"), 0);
    image(&folder.join("test/d/1.png"), 0);
    assert_fails(read("folder", root.path()), &["`d`", "train"]);
    for class in ["b", "c"] {
        std::fs::remove_dir_all(folder.join("train").join(class)).unwrap();
    }
    assert_fails(
        read("folder", root.path()),
        &["1 class folder", "at least 2"],
    );
}
