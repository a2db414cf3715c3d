//! `offramp bench`: measured times, beside the same network without early exits.

mod subject;
mod times;

use std::time::{Duration, Instant};

use clap::Args;
use offramp_data::Split;
use offramp_heads::MultiExitNet;
use offramp_nn::Init;
use offramp_report::Latency;
use serde::Serialize;

use super::policy::{self, Chosen};
use super::print_json;
use crate::args::Place;
use crate::engine::{EngineArgs, EngineKind, macs, options};
use crate::error::CliError;
use crate::hardware::hardware;
use crate::precision::{self, Precision};
use crate::run::Run;
use crate::table;
use subject::{Burn, Compiled, Nets, Subject};
use times::{Summary, Times};

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Run folder
    pub run: std::path::PathBuf,
    /// Images a batch, one or several sizes
    #[arg(long, default_value = "1,8,32,128", value_delimiter = ',', value_name = "N,...",
        value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch: Vec<u32>,
    /// Threads of the compiled engine, one or several numbers [default: all processors]
    #[arg(long, value_delimiter = ',', value_name = "N,...",
        value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Vec<u32>,
    /// What the compiled engine computes with
    #[arg(long, default_value = "f32", conflicts_with = "plan")]
    pub precision: Precision,
    /// Policy file [default: policy.json of the run; without one, no policy is timed]
    #[arg(long, value_name = "FILE", conflicts_with = "random")]
    pub policy: Option<std::path::PathBuf>,
    /// Random pixels in place of the run's test pictures; no policy is timed
    #[arg(long)]
    pub random: bool,
    /// How long each network is measured for each batch size
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    pub seconds: f64,
    /// What computes.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Data and device.
    #[command(flatten)]
    pub place: Place,
    /// Print one JSON document and nothing else on stdout
    #[arg(long)]
    pub json: bool,
}

/// Test pictures that batches are taken from, one batch after the other.
const PICTURES: usize = 2048;

/// Runs at the begin of a block that are not counted.
const WARM_UP: usize = 2;

/// Time of a block, and of the rest before it.
const BLOCK: Duration = Duration::from_millis(60);
const REST: Duration = Duration::from_millis(2);

/// Rounds at least, however short the time.
const MIN_ROUNDS: usize = 3;

/// The JSON document.
#[derive(Debug, Serialize)]
struct Document {
    run: String,
    hardware: String,
    engine: String,
    precision: Precision,
    /// What decided where samples leave.
    policy: Option<String>,
    measurements: Vec<Measurement>,
}

/// One batch size on so many threads.
#[derive(Debug, Serialize)]
struct Measurement {
    batch: usize,
    /// Threads of the compiled engine.
    threads: Option<usize>,
    /// The same backbone with its last exit alone.
    single: Summary,
    /// To each exit, all samples going all the way.
    exits: Vec<Summary>,
    policy: Option<WithPolicy>,
}

/// The network when samples leave.
#[derive(Debug, Serialize)]
struct WithPolicy {
    #[serde(flatten)]
    times: Summary,
    /// Mean multiply-accumulates of a sample through those of the full network.
    macs_share: f64,
    /// Shares of the samples that left at each exit.
    exit_fractions: Vec<f64>,
    /// Speed through that of all exits, and of the network with the last exit alone.
    speed_up: f64,
    speed_up_over_single: f64,
}

/// Measures, writes `latency.json`, prints.
pub fn run(args: &BenchArgs) -> Result<(), CliError> {
    let kind = check(args)?;
    let run = Run::open(&args.run, args.place.device)?;
    let chosen = chosen(args, &run)?;
    let single = single_exit(&run)?;
    let macs = macs(&run.net, &run.card);
    let nets = Nets {
        net: &run.net,
        single: &single,
        card: &run.card,
        macs: &macs,
        rule: chosen.as_ref().map(|chosen| &chosen.rule),
    };
    let pictures = pictures(args, &run)?;
    let ranges = precision::calibration_rows(&run, args.precision, args.place.data.as_deref())?;
    let mut measurements = Vec::new();
    for threads in threads(args, kind) {
        for batch in args.batch.iter().map(|&batch| batch as usize) {
            let mut subject: Box<dyn Subject> = match kind {
                EngineKind::Burn => Box::new(Burn::new(&nets, &run.device)?),
                EngineKind::Compiled => {
                    let plan = match ranges {
                        None => args
                            .engine
                            .staged_plan(&run.net, &run.card, batch, threads)?,
                        Some(_) => precision::plan(&run, ranges.as_deref(), batch, threads)?,
                    };
                    Box::new(Compiled::new(&nets, plan, ranges.as_deref())?)
                }
            };
            let limit = Duration::from_secs_f64(args.seconds);
            let measured = measure(subject.as_mut(), &pictures, &nets, batch, limit)?;
            measurements.push(Measurement {
                threads,
                ..measured
            });
        }
    }
    write_latency(&run, &measurements)?;
    let document = Document {
        run: args.run.display().to_string(),
        hardware: hardware(),
        engine: kind.to_string(),
        precision: args.precision,
        policy: chosen.map(|chosen| chosen.origin),
        measurements,
    };
    match args.json {
        true => print_json(&document),
        false => {
            print(&document, &macs);
            Ok(())
        }
    }
}

/// Refuses options that make no sense, before anything is computed; the engine.
fn check(args: &BenchArgs) -> Result<EngineKind, CliError> {
    let kind = args.engine.kind(args.place.device)?;
    if !(args.seconds.is_finite() && args.seconds > 0.0) {
        return Err(CliError::Usage(format!(
            "--seconds {}: write a time above 0",
            args.seconds
        )));
    }
    let compiled_only = [
        ("--threads", !args.threads.is_empty()),
        ("--precision int8", args.precision == Precision::Int8),
    ];
    match compiled_only.into_iter().find(|(_, given)| *given) {
        Some((option, _)) if kind == EngineKind::Burn => Err(CliError::Usage(format!(
            "{option} is for the compiled engine, on --device cpu"
        ))),
        _ => Ok(kind),
    }
}

fn threads(args: &BenchArgs, kind: EngineKind) -> Vec<Option<usize>> {
    match kind {
        EngineKind::Burn => vec![None],
        EngineKind::Compiled if args.threads.is_empty() => vec![Some(options(None).threads)],
        EngineKind::Compiled => args.threads.iter().map(|&n| Some(n as usize)).collect(),
    }
}

/// The policy to time: that of the file asked for or of the run; none on random pixels, or for one exit.
fn chosen(args: &BenchArgs, run: &Run) -> Result<Option<Chosen>, CliError> {
    let exits = run.net.num_exits();
    let none = args.policy.is_none() && !run.dir.join("policy.json").exists();
    if args.random || exits == 1 || none {
        return Ok(None);
    }
    policy::choose(&run.dir, args.policy.as_deref(), &run.card, exits).map(Some)
}

/// The same backbone with the last exit alone; times do not depend on the weights, so they are fresh.
fn single_exit(run: &Run) -> Result<MultiExitNet, CliError> {
    let mut config = run.card.net.clone();
    config.cascade = Default::default();
    let last = run.net.num_exits() - 1;
    let mut init = Init::new(0, &run.device);
    Ok(config.init_exit(last, run.card.classes.len(), run.card.image, &mut init)?)
}

/// Images that batches are taken from.
struct Pictures {
    pixels: Vec<f32>,
    /// Values of an image.
    size: usize,
}

impl Pictures {
    /// The next batch after place `at`, which moves on, and starts again when too few are left.
    fn batch(&self, at: &mut usize, batch: usize) -> &[f32] {
        if (*at + batch) * self.size > self.pixels.len() {
            *at = 0;
        }
        let first = *at * self.size;
        *at += batch;
        &self.pixels[first..first + batch * self.size]
    }
}

/// Test pictures, or random pixels of mean 0 and variance 1; repeated where a batch is larger.
fn pictures(args: &BenchArgs, run: &Run) -> Result<Pictures, CliError> {
    let size = run.image_len();
    let mut pixels = match args.random {
        true => crate::engine::values(
            Init::new(0, &run.device)
                .normal([64, size, 1, 1], 1.0)
                .val(),
        ),
        false => {
            let splits = run.open_data(args.place.data.as_deref(), None)?;
            precision::pixels(run, splits.get(Split::Test), &splits.info, PICTURES)?
        }
    };
    let have = pixels.len() / size;
    if have == 0 {
        return Err(CliError::Usage(format!(
            "{}: the run has no test pictures; --random measures on random pixels",
            run.dir.display()
        )));
    }
    let most = args.batch.iter().max().map_or(1, |&batch| batch as usize);
    if have < most {
        let copies = most.div_ceil(have);
        pixels = pixels.repeat(copies);
    }
    Ok(Pictures { pixels, size })
}

/// All three in turn, a block of runs each, so that what else the machine does meets them alike.
fn measure(
    subject: &mut dyn Subject,
    pictures: &Pictures,
    nets: &Nets<'_>,
    batch: usize,
    limit: Duration,
) -> Result<Measurement, CliError> {
    let exits = nets.macs.len();
    let mut single = Times::default();
    let mut all = vec![Times::default(); exits];
    let mut policy = Times::default();
    let (mut left, mut at, mut rounds) = (vec![0_u64; exits], 0, 0);
    let start = Instant::now();
    let kinds = 2 + u32::from(nets.rule.is_some());
    while rounds < MIN_ROUNDS || start.elapsed() < limit * kinds {
        rounds += 1;
        block(|counted| {
            let images = pictures.batch(&mut at, batch);
            let begin = Instant::now();
            subject.single(images)?;
            if counted {
                single.push(milliseconds(begin));
            }
            Ok(())
        })?;
        block(|counted| {
            let to_exits = subject.all_exits(pictures.batch(&mut at, batch))?;
            for (times, ms) in all.iter_mut().zip(to_exits).filter(|_| counted) {
                times.push(ms);
            }
            Ok(())
        })?;
        if nets.rule.is_none() {
            continue;
        }
        block(|counted| {
            let images = pictures.batch(&mut at, batch);
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
    let exits: Vec<Summary> = all.iter().map(|times| times.summary(batch)).collect();
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

/// Times of one picture, for `offramp report`: from the smallest batch, with all threads asked for last.
fn write_latency(run: &Run, measurements: &[Measurement]) -> Result<(), CliError> {
    let Some(best) = measurements.iter().rev().min_by_key(|m| m.batch) else {
        return Ok(());
    };
    let threads = best.threads.map_or(String::new(), |n| match n {
        1 => ", 1 thread".to_owned(),
        n => format!(", {n} threads"),
    });
    let latency = Latency {
        hardware: format!("{}{threads}, batch {}", hardware(), best.batch),
        exits_ms: (best.exits.iter())
            .map(|exit| exit.p50_ms / best.batch as f64)
            .collect(),
    };
    Ok(latency.write(&run.dir)?)
}

/// One table a batch size and number of threads.
fn print(document: &Document, macs: &[u64]) {
    println!("{}, {} engine", document.hardware, document.engine);
    if let Some(policy) = &document.policy {
        println!("policy: {policy}");
    }
    let full = macs.last().map_or(1.0, |&macs| macs as f64);
    for m in &document.measurements {
        let threads = m
            .threads
            .map_or(String::new(), |n| format!(", threads {n}"));
        println!("\nbatch {}{threads}", m.batch);
        let row = |name: String, share: f64, summary: &Summary| {
            let ms = [summary.p50_ms, summary.p95_ms, summary.p99_ms];
            let mut cells = vec![name, format!("{:.1} %", 100.0 * share)];
            cells.extend(ms.map(|ms| format!("{ms:.3}")));
            cells.push(format!("{:.0}", summary.images_per_second));
            let speed = summary.images_per_second / m.single.images_per_second;
            cells.push(format!("{speed:.2}"));
            cells
        };
        let mut rows = vec![row("last exit alone".to_owned(), 1.0, &m.single)];
        for (exit, (summary, &macs)) in m.exits.iter().zip(macs).enumerate() {
            rows.push(row(
                format!("all to exit {exit}"),
                macs as f64 / full,
                summary,
            ));
        }
        if let Some(policy) = &m.policy {
            rows.push(row(
                "with the policy".to_owned(),
                policy.macs_share,
                &policy.times,
            ));
        }
        let header = [
            "", "MACs", "p50 ms", "p95 ms", "p99 ms", "images/s", "speed",
        ];
        print!("{}", table::render(&header, &rows));
    }
}
