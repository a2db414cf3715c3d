//! The images that networks are measured on.

use offramp_data::Split;
use offramp_nn::Init;

use super::BenchArgs;
use crate::engine::values;
use crate::error::CliError;
use crate::precision;
use crate::run::Run;

/// Test images that batches are taken from, one batch after the other.
const IMAGES: usize = 2048;

/// Images that batches are taken from.
pub(crate) struct TestImages {
    pixels: Vec<f32>,
    /// Values of an image.
    size: usize,
}

impl TestImages {
    /// Test images, or random pixels of mean 0 and variance 1; repeated where a batch is larger.
    pub(crate) fn open(args: &BenchArgs, run: &Run) -> Result<Self, CliError> {
        let size = run.image_len();
        let mut pixels = if args.random {
            values(
                Init::new(0, &run.device)
                    .normal([64, size, 1, 1], 1.0)
                    .val(),
            )
        } else {
            let splits = run.open_data(args.place.data.as_deref(), None)?;
            precision::pixels(run, splits.get(Split::Test), &splits.info, IMAGES)?
        };
        let have = pixels.len() / size;
        if have == 0 {
            return Err(CliError::Usage(format!(
                "{}: the run has no test images; --random measures on random pixels",
                run.dir.display()
            )));
        }
        let most = args.batch.iter().max().map_or(1, |&batch| batch as usize);
        if have < most {
            let copies = most.div_ceil(have);
            pixels = pixels.repeat(copies);
        }
        Ok(Self { pixels, size })
    }

    /// The next batch after place `at`, which moves on, and starts again when too few are left.
    pub(crate) fn batch(&self, at: &mut usize, batch: usize) -> &[f32] {
        if (*at + batch) * self.size > self.pixels.len() {
            *at = 0;
        }
        let first = *at * self.size;
        *at += batch;
        &self.pixels[first..first + batch * self.size]
    }
}
