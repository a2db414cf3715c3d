//! The generated set: ten shapes whose difficulty is graded, drawn by our own code.
//!
//! Every image is a function of (seed, split, number). Drawing uses integers and the float
//! operations `+ - * /` and `sqrt`, which IEEE 754 defines to the last bit, so the bytes are the
//! same on every machine; a test pins their checksum.

mod canvas;
mod scene;
mod shapes;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::images::Images;
use crate::info::ImageShape;
use crate::rng::{Purpose, Stream};
use crate::split::Split;

/// The class names, by label.
pub const CLASSES: [&str; 10] = [
    "disc",
    "ring",
    "half-disc",
    "crescent",
    "square",
    "frame",
    "triangle",
    "cross",
    "star",
    "hourglass",
];

/// Difficulty of a generated image, easiest first. Each level includes the difficulties of the one
/// before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difficulty {
    /// A large upright shape on a plain ground.
    Clean,
    /// Smaller, turned, on a patterned ground among scraps.
    Cluttered,
    /// Partly covered.
    Occluded,
    /// Low in contrast and noisy.
    Noisy,
}

impl Difficulty {
    /// All levels, easiest first.
    pub const ALL: [Self; 4] = [Self::Clean, Self::Cluttered, Self::Occluded, Self::Noisy];

    /// The level of a draw in `0..100`: 40 clean, 25 cluttered, 20 occluded, 15 noisy.
    fn of(draw: u32) -> Self {
        match draw {
            0..40 => Self::Clean,
            40..65 => Self::Cluttered,
            65..85 => Self::Occluded,
            _ => Self::Noisy,
        }
    }
}

/// Draws `count` images of one split, `size` pixels per side. Image `i` is of class `i mod 10`,
/// so the classes are balanced; a longer set begins with the shorter one.
///
/// # Errors
/// [`DataError::Config`] if the set would not fit into memory's address range.
pub fn generate(split: Split, count: usize, size: usize, seed: u64) -> Result<Images, DataError> {
    let shape = ImageShape::square(size);
    let bytes = count
        .checked_mul(shape.bytes())
        .filter(|&b| b < isize::MAX as usize);
    let Some(bytes) = bytes else {
        let rule = "this number of images does not fit into memory".into();
        return Err(DataError::Config {
            key: "generated",
            value: count.to_string(),
            rule,
        });
    };
    let mut pixels = vec![0; bytes];
    let difficulties = pixels
        .par_chunks_exact_mut(shape.bytes())
        .enumerate()
        .map(|(i, image)| draw(split, i, size, seed, image))
        .collect();
    let labels = (0..count).map(|i| label(i) as i32).collect();
    Ok(Images::owned(shape, pixels, labels)?.with_difficulties(difficulties))
}

fn label(i: usize) -> usize {
    i % CLASSES.len()
}

fn draw(split: Split, i: usize, size: usize, seed: u64, image: &mut [u8]) -> Difficulty {
    let mut stream = Stream::new(Purpose::Draw, seed, split as u64, i as u64);
    let difficulty = Difficulty::of(stream.below(100));
    scene::draw(
        shapes::SHAPES[label(i)],
        difficulty,
        size,
        &mut stream,
        image,
    );
    difficulty
}
