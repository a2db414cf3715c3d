//! Files that PyTorch wrote (`tests/python/make_pt.py`), and damaged ones.

use std::path::{Path, PathBuf};

use offramp_weights::{Dtype, Problem, WeightFile};
use safetensors::tensor::{Dtype as FileDtype, TensorView};
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn open(name: &str) -> WeightFile {
    WeightFile::open(&fixture(name)).unwrap_or_else(|error| panic!("{error}"))
}

fn problem(name: &str) -> Problem {
    let error = WeightFile::open(&fixture(name)).unwrap_err();
    assert!(error.to_string().contains(name), "{error}");
    error.problem
}

/// Every tensor has exactly the shape and the values that PyTorch has.
fn assert_holds(file: &WeightFile, part: &str) {
    let text = std::fs::read_to_string(fixture("expected.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let expected = all[part].as_object().unwrap();
    assert!(
        file.names().eq(expected.keys()),
        "{:?}",
        file.names().collect::<Vec<_>>()
    );
    for (name, tensor) in expected {
        let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
        assert_eq!(file.shape(name).unwrap(), shape, "{name}");
        let number = |value: &Value| match value.as_str() {
            Some(infinity) => infinity.parse().unwrap(),
            None => value.as_f64().unwrap() as f32,
        };
        let values: Vec<f32> = tensor["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(number)
            .collect();
        assert_eq!(file.read(name).unwrap(), values, "{name}");
    }
}

#[test]
fn every_type_and_stride_in_every_format() {
    for name in ["zip.pt", "legacy.pt", "protocol4.pt"] {
        assert_holds(&open(name), "tensors");
    }
    assert_eq!(open("zip.pt").dtype("bf16"), Some(Dtype::Bf16));
}

#[test]
fn checkpoints_with_optimiser_and_wrapper() {
    for name in ["checkpoint.pt", "checkpoint-legacy.th"] {
        assert_holds(&open(name), "checkpoint");
    }
    for name in ["net.pt", "model.pt"] {
        let file = open(name);
        assert_eq!(file.names().collect::<Vec<_>>(), ["w"]);
        assert_eq!(file.read("w").unwrap(), [1.0, 1.0]);
    }
}

#[test]
fn nothing_is_called_and_what_would_be_is_named() {
    for name in ["call.pt", "call-legacy.pt"] {
        let Problem::Global { name } = problem(name) else {
            panic!("{name} is refused for what it calls")
        };
        assert_eq!(name, "posix.system");
    }
    assert!(!Path::new("/tmp/offramp-was-here").exists());
    let message = problem("module.pt").to_string();
    assert!(
        message.contains("torch.nn.modules.linear.Linear"),
        "{message}"
    );
    assert!(message.contains("state_dict()"), "{message}");
}

#[test]
fn what_cannot_be_read_is_refused() {
    let message = problem("no-tensors.pt").to_string();
    assert!(message.contains("\"epoch\", \"losses\""), "{message}");
    assert!(matches!(problem("compressed.pt"), Problem::Packed { .. }));
    assert!(matches!(problem("big-endian.pt"), Problem::BigEndian));
    // A million zeros in four bytes: what a tensor takes is never more than what the file holds.
    let message = problem("expanded.pt").to_string();
    assert!(
        message.contains("\"w\"") && message.contains("[1000, 1000]"),
        "{message}"
    );
    assert!(matches!(problem("expected.json"), Problem::Unknown { .. }));
    assert!(matches!(problem("nothing.pt"), Problem::Unreadable(_)));
}

fn parse(bytes: Vec<u8>) -> Result<WeightFile, Problem> {
    WeightFile::parse("x".as_ref(), bytes).map_err(|error| error.problem)
}

/// Opens and reads everything.
fn read_all(bytes: Vec<u8>) -> Result<(), Problem> {
    let file = parse(bytes)?;
    for name in file.names() {
        file.read(name).map_err(|error| error.problem)?;
    }
    Ok(())
}

#[test]
fn every_truncation_is_an_error() {
    for name in [
        "zip.pt",
        "legacy.pt",
        "protocol4.pt",
        "checkpoint-legacy.th",
    ] {
        let whole = std::fs::read(fixture(name)).unwrap();
        read_all(whole.clone()).unwrap();
        for length in 0..whole.len() {
            assert!(parse(whole[..length].to_vec()).is_err(), "{name}: {length}");
        }
    }
}

/// Name, shape and values of every tensor.
type Contents = Vec<(String, Vec<usize>, Vec<f32>)>;

/// Names, shapes and values.
fn contents(bytes: Vec<u8>) -> Result<Contents, Problem> {
    let file = parse(bytes)?;
    let entry = |name: &str| {
        let values = file.read(name).map_err(|error| error.problem)?;
        Ok((name.to_owned(), file.shape(name).unwrap().to_vec(), values))
    };
    file.names().map(entry).collect()
}

#[test]
fn a_flipped_bit_of_an_archive_is_found_or_was_of_no_account() {
    let whole = std::fs::read(fixture("zip.pt")).unwrap();
    let right = contents(whole.clone()).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        if let Ok(found) = contents(bytes) {
            assert!(found == right, "bit {} of byte {at}", at % 8);
        }
    }
    // The first two numbers of `f32`, a bit off.
    let numbers = [(-1.0f32).to_le_bytes(), (-0.875f32).to_le_bytes()].concat();
    let start = whole.windows(8).position(|bytes| bytes == numbers).unwrap();
    let mut bytes = whole;
    bytes[start] ^= 1;
    let file = parse(bytes).unwrap();
    let message = file.read("f32").unwrap_err().to_string();
    assert!(
        message.contains("CRC-32") && message.contains("data/"),
        "{message}"
    );
}

/// A legacy file up to its object.
fn legacy(object: &[u8]) -> Vec<u8> {
    let magic = [
        &b"\x80\x02\x8a\x0a"[..],
        &0x1950_a86a_20f9_469c_fc6c_u128.to_le_bytes()[..10],
    ];
    [
        &magic.concat()[..],
        b".\x80\x02M\xe9\x03.\x80\x02}.\x80\x02",
        object,
    ]
    .concat()
}

#[test]
fn absurd_sizes_take_no_memory() {
    let message = |object: &[u8]| parse(legacy(object)).unwrap_err().to_string();
    // A text of 2^62 bytes, a list within itself, a million nested tuples, an unknown opcode.
    let text = [&b"\x8d"[..], &(1u64 << 62).to_le_bytes()].concat();
    assert!(
        message(&text).contains(&(1u64 << 62).to_string()),
        "{}",
        message(&text)
    );
    assert!(message(b"]q\x00h\x00a.").contains("a list"));
    let nested = [&b")"[..], &[0x85].repeat(1_000_000), b"."].concat();
    assert!(message(&nested).contains("a tuple"));
    assert!(message(b"\xff.").contains("opcode"));
    let objects = [&b")"[..], &b"K\x00".repeat(5_000_000)].concat();
    assert!(message(&objects).contains("4194304 objects"));
    for object in [
        &b"R."[..],
        b"0.",
        b"(.",
        b"t.",
        b"h\x07.",
        b"NN\x93.",
        b")NR.",
        b"NQ.",
        b"(K\x01u.",
    ] {
        assert!(parse(legacy(object)).is_err(), "{object:?}");
    }
    // A storage that says it has 2^40 elements.
    let file = std::fs::read(fixture("legacy.pt")).unwrap();
    let at = file
        .windows(9)
        .position(|w| w == b"\x06\0\0\0\0\0\0\0\0")
        .unwrap();
    let mut bytes = file;
    bytes[at..at + 8].copy_from_slice(&(1u64 << 40).to_le_bytes());
    let message = parse(bytes).unwrap_err().to_string();
    assert!(message.contains(&(1u64 << 40).to_string()), "{message}");
}

fn safetensors() -> Vec<u8> {
    // numpy.float16([1.5, -0.1]).tobytes() and torch.tensor([1.5, -0.1], dtype=torch.bfloat16).
    let half = [0x00, 0x3e, 0x66, 0xae];
    let bf16 = [0xc0, 0x3f, 0xcd, 0xbd];
    let single: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let view = |dtype, shape: &[usize], data| TensorView::new(dtype, shape.to_vec(), data).unwrap();
    safetensors::serialize(
        [
            ("half", view(FileDtype::F16, &[2], &half[..])),
            ("brain", view(FileDtype::BF16, &[2, 1], &bf16)),
            ("single", view(FileDtype::F32, &[2, 2], &single)),
        ],
        None,
    )
    .unwrap()
}

#[test]
fn safetensors_of_every_width() {
    let file = parse(safetensors()).unwrap();
    assert_eq!(file.read("half").unwrap(), [1.5, -0.099_975_586]);
    assert_eq!(file.read("brain").unwrap(), [1.5, -0.100_097_656]);
    assert_eq!(file.shape("brain").unwrap(), [2, 1]);
    assert_eq!(file.read("single").unwrap(), [1.0, 2.0, 3.0, 4.0]);
    let whole = safetensors();
    for length in 0..whole.len() {
        assert!(parse(whole[..length].to_vec()).is_err(), "{length}");
    }
    // A header whose length begins like a zip archive, or like a pickle.
    for length in [0x4b50, 0x0280] {
        let header = br#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        let mut padded = header.to_vec();
        padded.resize(length, b' ');
        let bytes = [&(length as u64).to_le_bytes()[..], &padded, &[0; 4]].concat();
        assert_eq!(parse(bytes).unwrap().read("w").unwrap(), [0.0]);
    }
    // A header of 2^63 bytes, a shape of 2^80 elements.
    let mut long = whole.clone();
    long[7] = 0x80;
    assert!(matches!(parse(long), Err(Problem::Safetensors(_))));
    let header =
        br#"{"w":{"dtype":"F32","shape":[1099511627776,1099511627776],"data_offsets":[0,4]}}"#;
    let absurd = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat();
    assert!(matches!(parse(absurd), Err(Problem::Safetensors(_))));
}
