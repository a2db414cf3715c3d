//! A small CIFAR-100 and the archives it comes in.

use std::io::{Cursor, Write};

pub(crate) const TOP: &str = "cifar-100-binary";

/// CIFAR-100 in miniature: a training and a test file of 100 records.
pub(crate) fn files() -> [(String, Vec<u8>); 2] {
    let mut noise = 1u32;
    let mut record = |class: u8| {
        let mut bytes = vec![0, class];
        bytes.resize_with(2 + 3072, || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        });
        bytes
    };
    ["train.bin", "test.bin"].map(|name| {
        (
            format!("{TOP}/{name}"),
            (0..100).flat_map(&mut record).collect(),
        )
    })
}

pub(crate) fn archive() -> Vec<u8> {
    let files = files();
    tar_gz(
        &files
            .each_ref()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice())),
    )
}

/// A gzipped tar of these files.
pub(crate) fn tar_gz(files: &[(&str, &[u8])]) -> Vec<u8> {
    let fast = flate2::Compression::fast();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), fast));
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // `set_path` would refuse the names that matter here.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// A zip of these files.
pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
