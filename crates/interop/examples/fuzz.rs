//! Reads damaged files until the time is over: no panic, and memory in the order of the file.
//!
//! ```text
//! (ulimit -v 2000000; cargo run --release -p offramp-interop --example fuzz -- MINUTES [SEED])
//! ```
//!
//! Fixtures are cut, spliced and get bits and lengths changed. Half of the archives are packed anew
//! around a damaged pickle, which their checksums would else hide from the pickle's reader. A
//! crash leaves the file at fault in the folder for temporary files.

use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use offramp_interop::WeightFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Numbers that are at some limit.
const EDGES: [u64; 8] = [
    0,
    1,
    0x7f,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// xorshift64* (Vigna, ACM TOMS 2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end.max(1)
    }
}

fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len());
        match random.below(7) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..(at + random.below(16)).min(bytes.len()))),
            4 => {
                let from = random.below(other.len());
                let piece = &other[from..(from + random.below(64)).min(other.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            5 => {
                let copy = bytes[at..(at + random.below(64)).min(bytes.len())].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                let edge = EDGES[random.below(EDGES.len())].to_le_bytes();
                let width = [1, 2, 4, 8][random.below(4)];
                let end = (at + width).min(bytes.len());
                bytes[at..end].copy_from_slice(&edge[..end - at]);
            }
        }
    }
}

/// The same archive around a damaged pickle.
fn with_damaged_pickle(bytes: &[u8], other: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).ok()?;
    let mut packed = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).ok()?;
        let name = entry.name().ok()?.into_owned();
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).ok()?;
        if name.ends_with("data.pkl") {
            mutate(&mut contents, other, random);
        }
        packed.start_file(name, stored).ok()?;
        packed.write_all(&contents).ok()?;
    }
    Some(packed.finish().ok()?.into_inner())
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let minutes: f64 = arguments.next().and_then(|m| m.parse().ok()).unwrap_or(1.0);
    let seed: u64 = arguments.next().and_then(|s| s.parse().ok()).unwrap_or(1);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut corpus: Vec<Vec<u8>> = (folder.read_dir().expect("the fixtures are there"))
        .filter_map(|entry| std::fs::read(entry.ok()?.path()).ok())
        .collect();
    let header = br#"{"w":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]}}"#;
    let length = (header.len() as u64).to_le_bytes();
    corpus.push([&length[..], header, &[7; 12]].concat());

    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let end = Instant::now() + Duration::from_secs_f64(60.0 * minutes);
    let last = std::env::temp_dir().join("offramp-fuzz-last");
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    let (mut files, mut opened) = (0u64, 0u64);
    while Instant::now() < end {
        let other = &corpus[random.below(corpus.len())];
        let mut bytes = corpus[random.below(corpus.len())].clone();
        let inside = bytes.starts_with(b"PK") && random.below(2) == 0;
        match inside
            .then(|| with_damaged_pickle(&bytes, other, &mut random))
            .flatten()
        {
            Some(packed) => bytes = packed,
            None => mutate(&mut bytes, other, &mut random),
        }
        let result = std::panic::catch_unwind(|| {
            let file = WeightFile::parse("fuzz".as_ref(), bytes.clone()).ok()?;
            for name in file.names() {
                let values = file.read(name).ok()?;
                assert!(
                    values.len() <= bytes.len(),
                    "{name} is larger than its file"
                );
            }
            Some(())
        });
        files += 1;
        match result {
            Ok(read) => opened += u64::from(read.is_some()),
            Err(_) => {
                std::fs::write(&last, &bytes).expect("it can be written");
                panic!("file {files} of seed {seed} is in {}", last.display());
            }
        }
    }
    println!("{files} files, of which {opened} could be read; no panic");
}
