//! The cache of decoded images is never trusted further than it deserves.

use std::path::{Path, PathBuf};
use std::process::Command;

use image::{Rgb, RgbImage};
use offramp_data::{DataConfig, DataError, OnError, Splits, open};

const IMAGES: usize = 6;

fn image(path: &Path, shade: u8) {
    let image = RgbImage::from_fn(32, 32, |x, y| Rgb([shade, 4 * x as u8, 4 * y as u8]));
    image.save(path).unwrap();
}

/// Two classes in `train` and `test`.
fn tree() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for split in ["train", "test"] {
        for class in ["a", "b"] {
            let folder = root.path().join(split).join(class);
            std::fs::create_dir_all(&folder).unwrap();
            for i in 0..IMAGES {
                image(&folder.join(format!("{i}.png")), 10 * i as u8);
            }
        }
    }
    root
}

fn config(root: &Path) -> DataConfig {
    DataConfig {
        dataset: "folder".into(),
        dir: Some(root.into()),
        image_size: Some(32),
        val_fraction: 0.0,
        ..DataConfig::default()
    }
}

fn opened(root: &Path) -> Splits {
    open(&config(root), None).unwrap()
}

fn cache_file(root: &Path) -> PathBuf {
    root.join(".offramp-cache/train.u8")
}

fn number(path: &Path) -> std::time::SystemTime {
    path.metadata().unwrap().modified().unwrap()
}

/// Opens the tree, which must give what decoding anew gives.
fn assert_right(root: &Path) {
    let without = DataConfig {
        cache: false,
        ..config(root)
    };
    let (cached, decoded) = (opened(root), open(&without, None).unwrap());
    assert!(cached.train.images().is_mapped() && !decoded.train.images().is_mapped());
    for (cached, decoded) in [(cached.train, decoded.train), (cached.test, decoded.test)] {
        assert!(cached.images().pixels() == decoded.images().pixels());
        assert_eq!(cached.labels(), decoded.labels());
        assert_eq!(cached.path(3), decoded.path(3));
    }
}

#[test]
fn is_written_once_and_then_used() {
    let root = tree();
    assert_right(root.path());
    let written = number(&cache_file(root.path()));
    assert_right(root.path());
    assert_eq!(number(&cache_file(root.path())), written);
    let files = std::fs::read_dir(root.path().join(".offramp-cache"))
        .unwrap()
        .count();
    assert_eq!(files, 2, "one for each split and no temporary one");
}

#[test]
fn damage_of_any_kind_makes_a_new_one() {
    let root = tree();
    opened(root.path());
    let file = cache_file(root.path());
    let whole = std::fs::read(&file).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let damaged = [
        Vec::new(),
        b"short".to_vec(),
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], b"x"].concat(),
        vec![0; whole.len()],
        flipped(7),               // version
        flipped(20),              // key
        flipped(41),              // shape
        flipped(52),              // number of images
        flipped(69),              // checksum of the pixels
        flipped(5000),            // a pixel
        flipped(whole.len() - 1), // the last pixel
    ];
    for (number, bytes) in damaged.into_iter().enumerate() {
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, &bytes).unwrap();
        assert_right(root.path());
        assert!(
            std::fs::read(&file).unwrap() == whole,
            "damage {number} was not repaired"
        );
    }
}

#[test]
fn a_changed_source_makes_a_new_one() {
    let root = tree();
    opened(root.path());
    let changed = root.path().join("train/a/2.png");
    image(&changed, 200);
    assert_right(root.path());
    let label = |splits: &Splits, name: &str| {
        let at = (0..splits.train.len()).find(|&i| splits.train.path(i).unwrap().ends_with(name));
        at.map(|at| splits.train.label(at))
    };
    std::fs::rename(&changed, root.path().join("train/b/9.png")).unwrap();
    assert_right(root.path());
    let splits = opened(root.path());
    assert_eq!(
        (label(&splits, "a/2.png"), label(&splits, "b/9.png")),
        (None, Some(1))
    );
    std::fs::remove_file(root.path().join("train/b/9.png")).unwrap();
    assert_right(root.path());
}

#[test]
fn another_size_does_not_get_the_old_pixels() {
    let root = tree();
    opened(root.path());
    let small = DataConfig {
        image_size: Some(16),
        ..config(root.path())
    };
    assert_eq!(open(&small, None).unwrap().train.shape().height, 16);
    assert_right(root.path());
}

#[test]
fn what_was_skipped_stays_known() {
    let root = tree();
    let broken = root.path().join("train/b/1.png");
    let bytes = std::fs::read(&broken).unwrap();
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    let skip = DataConfig {
        on_error: OnError::Skip,
        ..config(root.path())
    };
    for _ in 0..2 {
        let splits = open(&skip, None).unwrap();
        let images = splits.train.images();
        assert_eq!((images.len(), images.skipped().len()), (2 * IMAGES - 1, 1));
        assert_eq!(images.skipped()[0].path, broken);
        assert!(images.labels()[IMAGES..].iter().all(|&label| label == 1));
        assert!(images.path(IMAGES + 1).unwrap().ends_with("b/2.png"));
    }
    // A cache made under `skip` must not hide the image from `stop`.
    let error = open(&config(root.path()), None).unwrap_err();
    assert!(
        matches!(&error, DataError::Decode { path, .. } if *path == broken),
        "{error}"
    );
}

/// The user's cache folder comes from the environment, so this runs in a process of its own.
#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_written_to_stays_as_it_is() {
    use std::os::unix::fs::PermissionsExt;

    const TREE: &str = "OFFRAMP_TEST_TREE";
    if let Some(tree) = std::env::var_os(TREE) {
        assert_right(Path::new(&tree));
        assert_right(Path::new(&tree));
        return;
    }
    let (root, user) = (tree(), tempfile::tempdir().unwrap());
    let mode = |bits| {
        let permissions = std::fs::Permissions::from_mode(bits);
        std::fs::set_permissions(root.path(), permissions).unwrap();
    };
    mode(0o555);
    let status = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_folder_that_may_not_be_written_to_stays_as_it_is",
        ])
        .env(TREE, root.path())
        .env("XDG_CACHE_HOME", user.path())
        .status();
    mode(0o755);
    assert!(status.unwrap().success());
    assert!(!root.path().join(".offramp-cache").exists());
    let places: Vec<PathBuf> = std::fs::read_dir(user.path().join("offramp"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(
        places.len() == 1 && places[0].join("train.u8").is_file(),
        "{places:?}"
    );
}
