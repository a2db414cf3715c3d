//! The networks measured in turn.

use std::time::{Duration, Instant};

use offramp_run::{ExitTimes, Summary, Times};
use serde::Serialize;

use super::images::TestImages;
use super::subject::{Nets, Subject};
use crate::error::CliError;

/// Runs at the beginning of a block that are not counted.
const WARM_UP: usize = 2;

/// Time of a block, and of the rest before it.
const BLOCK: Duration = Duration::from_millis(60);
const REST: Duration = Duration::from_millis(2);

/// Rounds at least, however short the time.
const MIN_ROUNDS: usize = 3;

/// One batch size and number of threads.
#[derive(Debug, Serialize)]
pub(crate) struct Measurement {
    pub batch: usize,
    /// Threads of the compiled engine.
    pub threads: Option<usize>,
    /// The same backbone with its last exit alone.
    pub single: Summary,
    /// To each exit, no image stopping early.
    pub exits: Vec<Summary>,
    pub policy: Option<WithPolicy>,
}

/// The network with its policy.
#[derive(Debug, Serialize)]
pub(crate) struct WithPolicy {
    #[serde(flatten)]
    pub times: Summary,
    /// Mean multiply-accumulates of an image through those of the full network.
    pub macs_share: f64,
    /// Shares of the images that left at each exit.
    pub exit_fractions: Vec<f64>,
    /// Speed through that of all exits, and of the network with the last exit alone.
    pub speed_up: f64,
    pub speed_up_over_single: f64,
}

/// All three in turn, a block of runs each, so that what else the machine does meets them alike.
pub(crate) fn measure(
    subject: &mut Subject,
    test_images: &TestImages,
    nets: &Nets<'_>,
    batch: usize,
    limit: Duration,
) -> Result<Measurement, CliError> {
    let exits = nets.macs.len();
    let mut single = Times::default();
    let mut all = ExitTimes::default();
    let mut policy = Times::default();
    let (mut left, mut at, mut rounds) = (vec![0_u64; exits], 0, 0);
    let start = Instant::now();
    let kinds = 2 + u32::from(nets.rule.is_some());
    while rounds < MIN_ROUNDS || start.elapsed() < limit * kinds {
        rounds += 1;
        block(|counted| {
            let images = test_images.batch(&mut at, batch);
            let begin = Instant::now();
            subject.single(images)?;
            if counted {
                single.push(milliseconds(begin));
            }
            Ok(())
        })?;
        block(|counted| {
            let to_exits = subject.all_exits(test_images.batch(&mut at, batch))?;
            if counted {
                all.push(&to_exits);
            }
            Ok(())
        })?;
        if nets.rule.is_none() {
            continue;
        }
        block(|counted| {
            let images = test_images.batch(&mut at, batch);
            let begin = Instant::now();
            let answers = subject.policy(images)?;
            if counted {
                policy.push(milliseconds(begin));
            }
            for answer in answers.iter().filter(|_| counted) {
                left[answer.exit] += 1;
            }
            Ok(())
        })?;
    }
    let single = single.summary(batch);
    let exits: Vec<Summary> = (all.exits().iter())
        .map(|times| times.summary(batch))
        .collect();
    let policy = nets
        .rule
        .map(|_| with_policy(policy.summary(batch), &left, nets.macs, &single, &exits));
    Ok(Measurement {
        batch,
        threads: None,
        single,
        exits,
        policy,
    })
}

/// Runs one network for a while. The first runs do not count: processors leave their idle states, and
/// before them the threads of the network measured before come to rest, which still watch for a next image.
fn block(mut run: impl FnMut(bool) -> Result<(), CliError>) -> Result<(), CliError> {
    std::thread::sleep(REST);
    for _ in 0..WARM_UP {
        run(false)?;
    }
    let start = Instant::now();
    while start.elapsed() < BLOCK {
        run(true)?;
    }
    Ok(())
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn with_policy(
    times: Summary,
    left: &[u64],
    macs: &[u64],
    single: &Summary,
    exits: &[Summary],
) -> WithPolicy {
    let total = left.iter().sum::<u64>().max(1) as f64;
    let spent: f64 = left
        .iter()
        .zip(macs)
        .map(|(&n, &macs)| n as f64 * macs as f64)
        .sum();
    let full = macs.last().map_or(1.0, |&macs| macs as f64);
    let over = |other: &Summary| times.images_per_second / other.images_per_second;
    WithPolicy {
        times,
        macs_share: spent / (total * full),
        exit_fractions: left.iter().map(|&n| n as f64 / total).collect(),
        speed_up: exits.last().map_or(1.0, over),
        speed_up_over_single: over(single),
    }
}
