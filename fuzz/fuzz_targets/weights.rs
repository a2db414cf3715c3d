//! Any bytes as a weight file: no panic, and never more numbers than the file has bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use offramp_weights::WeightFile;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = WeightFile::parse("fuzz".as_ref(), bytes.to_vec()) else {
        return;
    };
    for name in file.names() {
        if let Ok(values) = file.read(name) {
            assert!(values.len() <= bytes.len(), "{name} is larger than its file");
        }
    }
});
