//! How many images go through a step at once.
//!
//! Early steps have large maps and few weights: few images at a time keep the maps in the second-level
//! cache. Late steps have small maps and weights that are larger than that cache: many images share
//! one reading of them.

use serde::{Deserialize, Serialize};

use super::Step;

/// Words of maps that stay in the second-level cache.
const MAPS: usize = 160 << 10;

/// Words of weights that one image pays for.
const WEIGHTS: usize = 64 << 10;

/// Neighbouring steps that are run for as many images.
///
/// While the first images of a phase are at its end, the others are still before it. So a value that
/// is read in a phase needs its memory until the end of it, and one that is read after a phase from
/// the beginning of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// The first step.
    pub first: usize,
    /// The step after the last.
    pub end: usize,
    /// Images that go through all of them before the next ones do.
    pub images: usize,
}

impl Phase {
    /// Phases for these steps that suit the caches.
    pub fn of(steps: &[Step]) -> Vec<Self> {
        let mut phases: Vec<Self> = Vec::new();
        for (i, step) in steps.iter().enumerate() {
            let images = images(step);
            match phases.last_mut() {
                Some(phase) if phase.images == images => phase.end = i + 1,
                _ => phases.push(Self {
                    first: i,
                    end: i + 1,
                    images,
                }),
            }
        }
        phases
    }
}

fn images(step: &Step) -> usize {
    let values = step.inputs().into_iter().chain([step.output()]);
    let maps: usize = values.map(|value| value.layout.words()).sum();
    let wanted = (MAPS / maps.max(1)).max(step.weight_words() / WEIGHTS);
    // Powers of two, so that neighbours agree.
    wanted.max(1).next_power_of_two()
}
