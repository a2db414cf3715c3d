//! `offramp serve`: run folders as an HTTP service.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use offramp_core::DeviceSpec;
use offramp_executor::Stream;
use offramp_heads::load_model;
use offramp_serve::{
    Config, Keys, Limits, LoadError, Model, PlanFile, RunFacts, Server, Source, Tls,
};

use super::policy;
use crate::engine::{EngineArgs, EngineKind, macs, options};
use crate::error::CliError;

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Run folders or plan files, or NAME=RUN for another name than theirs; the first answers requests
    /// that name no model
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<String>,
    /// Where to listen; only this machine can reach the default
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Policy file of the one run [default: policy.json of each run; without one, the deepest exit]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// A plan of the one run that `offramp export --format plan` wrote, such as one of bytes
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// Images computed together at most
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = at_least_one())]
    pub batch: u64,
    /// Threads of each model [default: all processors]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub threads: Option<u64>,
    /// Images accepted and not answered at most, of each model; beyond it requests get 503
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = at_least_one())]
    pub queue: u64,
    /// Images of one request at most
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = at_least_one())]
    pub max_images: u64,
    /// Megabytes of one request at most
    #[arg(long, default_value_t = 16, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub max_body: u64,
    /// Millions of pixels of one image at most
    #[arg(long, default_value_t = 40, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub max_megapixels: u64,
    /// Connections at most
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = at_least_one())]
    pub connections: u64,
    /// Seconds for a request's body, and again for its answer
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = at_least_one())]
    pub timeout: u64,
    /// Seconds to go on accepting after a signal to stop, while /readyz answers 503
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub drain: u64,
    /// API keys, one per line; without, no key is asked for
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// Certificate chain for TLS, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

fn at_least_one() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(1..=1_000_000)
}

/// Serves until a signal stops it.
pub(crate) fn run(args: &ServeArgs) -> Result<(), CliError> {
    let of_one = args.policy.is_some() || args.plan.is_some();
    if of_one && args.runs.len() > 1 {
        return Err(CliError::Usage(
            "--policy and --plan are for one run; several take the policy.json of their folders \
             and are compiled"
                .to_owned(),
        ));
    }
    let _log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
    let sources = args.runs.iter().map(|run| source(run, args));
    let sources = sources.collect::<Result<Vec<_>, _>>()?;
    let config = config(args)?;
    if !config.listen.ip().is_loopback() && config.keys.is_none() {
        tracing::warn!(
            "{} can be reached from elsewhere, and no --keys are asked for",
            config.listen
        );
    }
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let runtime = tokio::runtime::Runtime::new().map_err(CliError::Runtime)?;
    let result = runtime.block_on(async {
        let server = Server::bind(config, sources).await?;
        let control = server.control();
        println!("listening on {scheme}://{}", server.address());
        tokio::select! {
            ended = server.run() => Ok(ended?),
            () = control.follow_signals() => Err(CliError::Usage("stopped at once, as told".to_owned())),
        }
    });
    // An image that is still being decoded then is not needed any more.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

fn config(args: &ServeArgs) -> Result<Config, CliError> {
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let body = count(args.max_body << 20);
    let time = Duration::from_secs(args.timeout);
    let default = Limits::default();
    let tls = args.tls_cert.clone().zip(args.tls_key.clone());
    Ok(Config {
        listen: args.listen,
        limits: Limits {
            queue: count(args.queue),
            images: count(args.max_images),
            body,
            bodies: default.bodies.max(4 * body),
            pixels: args.max_megapixels * 1_000_000,
            connections: count(args.connections),
            body_time: time,
            answer_time: time,
            drain_time: Duration::from_secs(args.drain),
            stop_time: 2 * time + Duration::from_secs(1),
            ..default
        },
        keys: args.keys.as_deref().map(Keys::read).transpose()?,
        tls: tls.map(|(certificate, key)| Tls { certificate, key }),
    })
}

/// `RUN` or `NAME=RUN`, a run folder or a plan's file.
fn source(text: &str, args: &ServeArgs) -> Result<Box<dyn Source>, CliError> {
    let (name, path) = match text.split_once('=') {
        Some((name, path)) if !Path::new(text).exists() => (Some(name.to_owned()), path),
        _ => (None, text),
    };
    let path = PathBuf::from(path);
    let own = || {
        let whole = path.canonicalize().ok()?;
        let name = if whole.is_file() {
            whole.file_stem()
        } else {
            whole.file_name()
        };
        Some(name?.to_string_lossy().into_owned())
    };
    let name = name.or_else(own).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| {
        CliError::Usage(format!(
            "{text:?} is no run folder and no plan; write RUN or NAME=RUN"
        ))
    })?;
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let (batch, threads) = (count(args.batch), args.threads.map(count));
    let policy = args.policy.clone();
    if path.is_file() {
        let threads = Some(options(threads).threads);
        return Ok(Box::new(PlanFile {
            name,
            path,
            policy,
            batch,
            threads,
        }));
    }
    let engine = EngineArgs {
        engine: Some(EngineKind::Compiled),
        plan: args.plan.clone(),
    };
    Ok(Box::new(RunFolder {
        name,
        dir: path,
        policy,
        engine,
        batch,
        threads,
    }))
}

/// A model in a run folder, compiled for the CPU when it is loaded.
struct RunFolder {
    name: String,
    dir: PathBuf,
    policy: Option<PathBuf>,
    engine: EngineArgs,
    batch: usize,
    threads: Option<usize>,
}

impl Source for RunFolder {
    fn name(&self) -> &str {
        &self.name
    }

    fn load(&self) -> Result<Model, LoadError> {
        let (net, card) = load_model(&self.dir, &DeviceSpec::Cpu.device()?)?;
        let macs = macs(&net, &card);
        let chosen = policy::choose(&self.dir, self.policy.as_deref(), &card, macs.len())?;
        let plan = (self.engine).multi_exit_plan(&net, &card, self.batch, self.threads)?;
        Ok(Model {
            engine: Box::new(Stream::new(plan, macs.clone())?),
            input: card.input(),
            rule: chosen.rule,
            origin: chosen.origin,
            facts: RunFacts::read(&self.dir, &card.sha256, &macs, card.classes.len()),
            macs,
            classes: card.classes,
            dataset: card.dataset,
            sha256: card.sha256,
            commit: card.commit,
        })
    }
}
