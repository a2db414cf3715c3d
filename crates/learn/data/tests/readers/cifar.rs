//! CIFAR in both layouts.

use std::path::Path;

use super::{assert_fails, put, read};

/// A record whose pixels tell its number.
fn record(labels: &[u8], number: u8) -> Vec<u8> {
    let mut bytes = labels.to_vec();
    bytes.extend((0..3072).map(|i| (i % 251) as u8 ^ number));
    bytes
}

fn cifar_10(root: &Path) {
    let folder = root.join("cifar-10-batches-bin");
    for batch in 1..=5u8 {
        // The batches need not be of equal length.
        let records = (0..batch).flat_map(|i| record(&[(i + batch) % 10], 16 * batch + i));
        put(
            &folder.join(format!("data_batch_{batch}.bin")),
            records.collect::<Vec<u8>>(),
        );
    }
    put(&folder.join("test_batch.bin"), record(&[9], 3));
}

#[test]
fn cifar_10_joins_its_batches_in_order() {
    let root = tempfile::tempdir().unwrap();
    cifar_10(root.path());
    let splits = read("cifar-10", root.path()).unwrap();
    assert_eq!((splits.train.len(), splits.test.len()), (15, 1));
    let expected = [1, 2, 3, 3, 4, 5, 4, 5, 6, 7, 5, 6, 7, 8, 9];
    assert_eq!(splits.train.labels(), expected);
    // Record 7 is the second of batch 4.
    assert!(splits.train.image(7) == &record(&[], 65)[..]);
    assert_eq!(splits.test.labels(), [9]);
    assert_eq!(splits.info.classes[6], "frog");
}

#[test]
fn the_python_layout_gives_what_the_binary_one_gives() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cifar-python2.pickle");
    let pickle = std::fs::read(fixture).unwrap();
    let (python, binary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for name in ["train", "test"] {
        put(&python.path().join("cifar-100-python").join(name), &pickle);
        // As the fixture's script says: pixel i of both records together is i mod 251.
        let pixels: Vec<u8> = (0..2 * 3072).map(|i| (i % 251) as u8).collect();
        let bytes = [&[0, 3], &pixels[..3072], &[0, 7], &pixels[3072..]].concat();
        put(
            &binary
                .path()
                .join("cifar-100-binary")
                .join(format!("{name}.bin")),
            bytes,
        );
    }
    let python = read("cifar-100", python.path()).unwrap();
    let binary = read("cifar-100", binary.path()).unwrap();
    assert_eq!(python.info, binary.info);
    for (python, binary) in [(&python.train, &binary.train), (&python.test, &binary.test)] {
        assert_eq!(python.labels(), [3, 7]);
        assert_eq!(python.labels(), binary.labels());
        assert!(python.images().pixels() == binary.images().pixels());
    }
}

#[test]
fn faults_are_named() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("cifar-10-batches-bin");
    std::fs::create_dir(&folder).unwrap();
    assert_fails(
        read("cifar-10", root.path()),
        &["test_batch.bin", "test_batch"],
    );

    cifar_10(root.path());
    let batch = folder.join("data_batch_3.bin");
    put(&batch, &record(&[1], 0)[1..]);
    assert_fails(
        read("cifar-10", root.path()),
        &["data_batch_3.bin", "3072 bytes", "3073"],
    );
    put(&batch, [record(&[1], 0), record(&[10], 0)].concat());
    let parts = ["data_batch_3.bin", "record 1 has label 10", "10 classes"];
    assert_fails(read("cifar-10", root.path()), &parts);
    std::fs::remove_file(&batch).unwrap();
    assert_fails(
        read("cifar-10", root.path()),
        &["data_batch_3.bin", "cannot read"],
    );

    cifar_10(root.path());
    put(&folder.join("batches.meta.txt"), "airplane\nautomobile\n");
    assert_fails(
        read("cifar-10", root.path()),
        &["batches.meta.txt", "10 class names"],
    );
}
