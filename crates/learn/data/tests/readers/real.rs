//! Real images. These tests need the cut data sets under `OFFRAMP_DATA` and say so when they are
//! left out.

use std::path::PathBuf;

use offramp_data::fetch::{Outcome, verify};
use offramp_data::{Subset, channel_statistics};

use super::read;

/// The data folder, if it holds `name`.
fn data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("OFFRAMP_DATA").map(PathBuf::from);
    let found = root.filter(|root| root.join(name).is_dir());
    if found.is_none() {
        eprintln!("left out: OFFRAMP_DATA names no folder with {name}");
    }
    found
}

fn counts(subset: &Subset, classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    for label in subset.labels() {
        counts[label as usize] += 1;
    }
    counts
}

fn assert_near(subset: &Subset, mean: [f64; 3], std: [f64; 3], tolerance: f64) {
    let (found_mean, found_std) = channel_statistics(subset.images());
    for (found, expected) in [(found_mean, mean), (found_std, std)] {
        for (found, expected) in found.into_iter().zip(expected) {
            assert!(
                (f64::from(found) - expected).abs() < tolerance,
                "{found} for {expected}"
            );
        }
    }
}

/// The numbers are numpy's: `d = frombuffer(open("train.bin", "rb").read(), uint8)`, reshaped to
/// `(-1, 3074)`; mean and std of `d[:, 2:].reshape(-1, 3, 1024) / 255` over axes 0 and 2.
#[test]
fn cifar_100_cut() {
    let Some(root) = data("cifar-100-lowdata") else {
        return;
    };
    let splits = read("cifar-100-lowdata", &root).unwrap();
    assert_eq!(counts(&splits.train, 100), [100; 100]);
    assert_eq!(counts(&splits.test, 100), [100; 100]);
    assert_eq!(splits.train.labels()[..5], [19, 29, 0, 11, 1]);
    assert_eq!(splits.test.labels()[..5], [49, 33, 72, 51, 71]);
    assert_eq!(splits.test.image(0)[..4], [199, 196, 195, 195]);
    assert_eq!(splits.info.classes[19], "cattle");
    let mean = [0.506_178_68, 0.486_134_1, 0.441_487_29];
    assert_near(
        &splits.train,
        mean,
        [0.267_588_29, 0.256_058_83, 0.275_998_32],
        1e-6,
    );

    let report = verify("cifar-100-lowdata", &root).unwrap();
    assert!(
        report
            .checks
            .iter()
            .all(|check| check.outcome == Outcome::Ok),
        "{report:?}"
    );
}

/// The numbers are Pillow's (13.0, libjpeg-turbo): mean and std of `asarray(Image.open(f)
/// .convert("RGB")) / 255` over all images. On grey images the two decoders agree to a level; on
/// colour ones zune-jpeg rounds the way from YCbCr to RGB differently: over `val/` its red, green and
/// blue lie +0.24, -0.18 and +0.31 levels from libjpeg's on average, 5 at most.
#[test]
fn tiny_imagenet_cut() {
    let Some(root) = data("tiny-imagenet-200") else {
        return;
    };
    let splits = read("tiny-imagenet-200", &root).unwrap();
    if splits.train.len() != 10_000 {
        eprintln!(
            "left out: {} is not the cut of 50 images a class",
            root.display()
        );
        return;
    }
    assert_eq!(counts(&splits.train, 200), [50; 200]);
    assert_eq!(counts(&splits.test, 200), [10; 200]);
    assert_eq!(splits.test.labels()[..6], [107, 139, 140, 69, 69, 161]);
    assert!(
        splits
            .train
            .path(0)
            .unwrap()
            .ends_with("n01443537/images/n01443537_0.JPEG")
    );
    assert_eq!(splits.info.classes[0], "goldfish");
    let mean = [0.482_524_21, 0.450_396_94, 0.399_725_34];
    assert_near(
        &splits.train,
        mean,
        [0.276_574_49, 0.268_976_99, 0.281_754_68],
        0.5 / 255.0,
    );

    let first = splits.train.image(0);
    let plane = 64 * 64;
    for (x, pixel) in [
        [255, 136, 193],
        [255, 138, 192],
        [249, 146, 199],
        [244, 156, 206],
    ]
    .into_iter()
    .enumerate()
    {
        for (channel, expected) in pixel.into_iter().enumerate() {
            let found = first[channel * plane + x];
            assert!(
                found.abs_diff(expected) <= 5,
                "{x} {channel}: {found} for {expected}"
            );
        }
    }
    // 194 training and 31 validation files are grey JPEGs; a colour file may show no colour too.
    for (subset, grey_files) in [(&splits.train, 194), (&splits.test, 31)] {
        let grey = (0..subset.len()).filter(|&i| {
            let image = subset.image(i);
            image[..plane] == image[plane..2 * plane] && image[..plane] == image[2 * plane..]
        });
        let grey = grey.count();
        assert!(
            grey >= grey_files && grey < 2 * grey_files,
            "{grey} grey images"
        );
    }
}
