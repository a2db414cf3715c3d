//! `offramp bench`: measured times, beside the same network without early exits.

mod images;
mod measure;
mod show;
mod subject;

use std::time::Duration;

use clap::Args;
use offramp_heads::MultiExitNet;
use offramp_nn::Init;
use offramp_run::{ChosenPolicy, Document as _, Latency, PolicyFile};
use serde::Serialize;

use super::{policy, print_json};
use crate::args::Place;
use crate::engine::{EngineArgs, EngineKind, macs, options};
use crate::error::CliError;
use crate::hardware::hardware;
use crate::precision::{self, Precision};
use crate::run::Run;
use images::TestImages;
use measure::{Measurement, measure};
use subject::{Nets, Subject};

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
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
    /// Random pixels in place of the run's test images; no policy is timed
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

/// The JSON document.
#[derive(Debug, Serialize)]
struct Document {
    run: String,
    hardware: String,
    engine: String,
    precision: Precision,
    /// The policy that was timed.
    policy: Option<String>,
    measurements: Vec<Measurement>,
}

/// Measures, writes `latency.json`, prints.
pub(crate) fn run(args: &BenchArgs) -> Result<(), CliError> {
    let kind = check(args)?;
    let run = Run::open(&args.run, args.place.device)?;
    let chosen = chosen(args, &run)?;
    let single = single_exit(&run)?;
    let macs = macs(&run.net, &run.card);
    let nets = Nets {
        run: &run.dir,
        net: &run.net,
        single: &single,
        card: &run.card,
        macs: &macs,
        rule: chosen.as_ref().map(|chosen| &chosen.rule),
    };
    let images = TestImages::open(args, &run)?;
    let ranges = precision::calibration_rows(&run, args.precision, args.place.data.as_deref())?;
    let mut measurements = Vec::new();
    for threads in threads(args, kind) {
        for batch in args.batch.iter().map(|&batch| batch as usize) {
            let mut subject = match kind {
                EngineKind::Burn => Subject::burn(&nets, batch, &run.device)?,
                EngineKind::Compiled => {
                    let plan = match ranges {
                        None => args
                            .engine
                            .multi_exit_plan(&run.net, &run.card, batch, threads)?,
                        Some(_) => precision::plan(&run, ranges.as_deref(), batch, threads)?,
                    };
                    Subject::compiled(&nets, plan, ranges.as_deref())?
                }
            };
            let limit = Duration::from_secs_f64(args.seconds);
            let measured = measure(&mut subject, &images, &nets, batch, limit)?;
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
    if args.json {
        print_json(&document)
    } else {
        show::print(&document, &macs);
        Ok(())
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
fn chosen(args: &BenchArgs, run: &Run) -> Result<Option<ChosenPolicy>, CliError> {
    let exits = run.net.num_exits();
    let none = args.policy.is_none() && !run.dir.join(PolicyFile::FILE).exists();
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

/// Times of one image, for `offramp report`: from the smallest batch, with all threads asked for last.
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
    Ok(latency.write_to(&run.dir)?)
}
