//! Any bytes as the pickle of a PyTorch archive, whose checksums would hide it from `weights`.

#![no_main]

use std::io::{Cursor, Write};

use libfuzzer_sys::fuzz_target;
use offramp_weights::WeightFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Storages 0 to 3, as the fixtures name them.
const STORAGE: [u8; 256] = [1; 256];

fn archive(pickle: &[u8]) -> zip::result::ZipResult<Vec<u8>> {
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("archive/data.pkl", stored)?;
    zip.write_all(pickle)?;
    for storage in 0..4 {
        zip.start_file(format!("archive/data/{storage}"), stored)?;
        zip.write_all(&STORAGE)?;
    }
    zip.start_file("archive/version", stored)?;
    zip.write_all(b"3\n")?;
    Ok(zip.finish()?.into_inner())
}

fuzz_target!(|pickle: &[u8]| {
    let bytes = archive(pickle).expect("an archive in memory can be written");
    let length = bytes.len();
    let Ok(file) = WeightFile::parse("fuzz".as_ref(), bytes) else {
        return;
    };
    for name in file.names() {
        if let Ok(values) = file.read(name) {
            assert!(values.len() <= length, "{name} is larger than its file");
        }
    }
});
