//! The original layout of Tiny-ImageNet.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};

use super::{assert_fails, put, read};

fn jpeg(image: DynamicImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

fn plain(shade: u8) -> Vec<u8> {
    jpeg(RgbImage::from_pixel(64, 64, Rgb([shade, 255 - shade, 128])).into())
}

/// Three classes, whose ids do not stand in their order in `wnids.txt`.
fn tiny(root: &Path) -> PathBuf {
    let folder = root.join("tiny-imagenet-200");
    put(&folder.join("wnids.txt"), "n03\nn01\nn02\n");
    put(
        &folder.join("words.txt"),
        "n01\tgoldfish, Carassius auratus\nn03\tcat\nn09\tdog\n",
    );
    for (class, id) in ["n01", "n02", "n03"].into_iter().enumerate() {
        for i in 0..2 {
            let name = format!("train/{id}/images/{id}_{i}.JPEG");
            put(&folder.join(name), plain(100 * class as u8 + 20 * i));
        }
        put(
            &folder.join(format!("train/{id}/{id}_boxes.txt")),
            "ignored",
        );
    }
    let grey = GrayImage::from_fn(64, 64, |x, _| Luma([4 * x as u8]));
    put(&folder.join("val/images/val_0.JPEG"), jpeg(grey.into()));
    put(&folder.join("val/images/val_1.JPEG"), plain(40));
    put(&folder.join("val/images/val_2.JPEG"), plain(240));
    let lines =
        "val_0.JPEG\tn03\t0\t1\t2\t3\nval_2.JPEG\tn01\t0\t1\t2\t3\nval_1.JPEG\tn02\t0\t1\t2\t3\n";
    put(&folder.join("val/val_annotations.txt"), lines);
    folder
}

#[test]
fn labels_follow_the_sorted_ids_and_the_annotations() {
    let root = tempfile::tempdir().unwrap();
    tiny(root.path());
    let splits = read("tiny-imagenet-200", root.path()).unwrap();
    assert_eq!(splits.info.classes, ["goldfish", "n02", "cat"]);
    assert_eq!(splits.train.labels(), [0, 0, 1, 1, 2, 2]);
    assert_eq!(splits.test.labels(), [2, 0, 1]);
    assert!(
        splits
            .test
            .path(1)
            .unwrap()
            .ends_with("val/images/val_2.JPEG")
    );
    for (at, shade) in [(0, 0), (1, 20), (4, 200), (5, 220)] {
        let pixel = splits.train.image(at)[0];
        assert!(pixel.abs_diff(shade) <= 2, "image {at}: {pixel}");
    }
    assert!(splits.test.image(1)[0].abs_diff(240) <= 2);
}

#[test]
fn grey_images_become_rgb() {
    let root = tempfile::tempdir().unwrap();
    tiny(root.path());
    let splits = read("tiny-imagenet-200", root.path()).unwrap();
    let planes: Vec<&[u8]> = splits.test.image(0).chunks_exact(64 * 64).collect();
    assert!(planes.len() == 3 && planes[0] == planes[1] && planes[0] == planes[2]);
    assert!(planes[0][10].abs_diff(40) <= 3 && planes[0][60].abs_diff(240) <= 3);
}

#[test]
fn faults_are_named() {
    let root = tempfile::tempdir().unwrap();
    let folder = tiny(root.path());
    let annotations = folder.join("val/val_annotations.txt");
    let lines = std::fs::read_to_string(&annotations).unwrap();
    for (text, parts) in [
        (
            lines.replace("n02", "n07"),
            ["val_annotations.txt", "line 3", "n07"],
        ),
        (
            lines.replace('\t', " "),
            ["val_annotations.txt", "line 1", "file<tab>id"],
        ),
        (
            lines.replace("val_1", "../train/n01/images/x"),
            ["line 3", "..", "name of an image"],
        ),
        (
            lines.replace("val_1", "val_0"),
            ["val_annotations.txt", "twice", ""],
        ),
        (
            lines.lines().take(2).collect::<Vec<_>>().join("\n"),
            ["val_", ".JPEG", "no line"],
        ),
        (lines.replace("val_1", "val_9"), ["val_", ".JPEG", ""]),
        (String::new(), ["val_annotations.txt", "no image", ""]),
    ] {
        put(&annotations, text);
        assert_fails(read("tiny-imagenet-200", root.path()), &parts);
    }
    put(&annotations, lines);
    std::fs::remove_dir_all(folder.join("train/n02/images")).unwrap();
    assert_fails(
        read("tiny-imagenet-200", root.path()),
        &["n02", "cannot read"],
    );
    std::fs::create_dir(folder.join("train/n02/images")).unwrap();
    assert_fails(
        read("tiny-imagenet-200", root.path()),
        &["n02", "holds no image"],
    );
    put(&folder.join("wnids.txt"), "n01\nn01\n");
    assert_fails(
        read("tiny-imagenet-200", root.path()),
        &["wnids.txt", "twice"],
    );
}
