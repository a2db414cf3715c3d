//! What is timed: one network three ways, compiled or by burn.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use offramp_executor::{CompiledEngine, Executor, MultiExitPlan, Plan};
use offramp_heads::{ModelCard, MultiExitNet};
use offramp_infer::BurnEngine;
use offramp_policies::{Answer, Rule};
use offramp_run::{Engine, EngineError};

use crate::engine::burn_engine;
use crate::error::CliError;

/// The networks to time.
pub(crate) struct Nets<'a> {
    /// The run's folder, for messages.
    pub run: &'a Path,
    /// The run's.
    pub net: &'a MultiExitNet,
    /// The one with the last exit alone, fresh weights.
    pub single: &'a MultiExitNet,
    /// What is known of the run's.
    pub card: &'a ModelCard,
    /// Costs to each exit.
    pub macs: &'a [u64],
    /// Where images leave, if that is to be timed.
    pub rule: Option<&'a Rule>,
}

/// The networks on an engine, for batches of one size.
pub(crate) struct Subject {
    single: Single,
    engine: Box<dyn Engine>,
    rule: Option<Arc<Rule>>,
    /// Values of an image.
    pixels: usize,
    run: PathBuf,
}

/// The network with its last exit alone.
#[expect(clippy::large_enum_variant, reason = "there is one")]
enum Single {
    Compiled {
        executor: Executor,
        logits: Vec<f32>,
        classes: usize,
    },
    Burn(Box<BurnEngine<MultiExitNet>>),
}

impl Subject {
    /// Compiles both networks, that with one exit in bytes where there are `rows` to choose ranges on;
    /// `plan` is that of the run's.
    pub(crate) fn compiled(
        nets: &Nets<'_>,
        plan: MultiExitPlan,
        rows: Option<&[f32]>,
    ) -> Result<Self, CliError> {
        let (batch, options) = (plan.batch(), plan.segments()[0].options());
        let graph = nets.single.graph(nets.card.image)?;
        let single = match rows {
            None => Plan::compile(&graph, batch, options)?,
            Some(rows) => {
                let samples = rows.len() / plan.pixels();
                Plan::quantized(&graph, batch, options, samples, &[rows.to_vec()])?
            }
        };
        let classes = nets.card.classes.len();
        let single = Single::Compiled {
            executor: Executor::new(single),
            logits: vec![0.0; batch * classes],
            classes,
        };
        let engine = CompiledEngine::new(plan, nets.macs.to_vec())?;
        Self::new(nets, single, Box::new(engine))
    }

    /// Both networks on a device.
    pub(crate) fn burn(nets: &Nets<'_>, batch: usize, device: &Device) -> Result<Self, CliError> {
        let single = burn_engine(nets.single, nets.card, batch, device)?;
        let engine = burn_engine(nets.net, nets.card, batch, device)?;
        Self::new(nets, Single::Burn(Box::new(single)), Box::new(engine))
    }

    fn new(nets: &Nets<'_>, single: Single, engine: Box<dyn Engine>) -> Result<Self, CliError> {
        if let Some(rule) = nets.rule {
            rule.check(nets.macs.len(), nets.card.classes.len())?;
        }
        Ok(Self {
            single,
            engine,
            rule: nets.rule.cloned().map(Arc::new),
            pixels: nets.card.input().len(),
            run: nets.run.to_owned(),
        })
    }

    /// The network of the same family with its last exit alone.
    pub(crate) fn single(&mut self, images: &[f32]) -> Result<(), CliError> {
        let n = images.len() / self.pixels;
        match &mut self.single {
            Single::Compiled {
                executor,
                logits,
                classes,
            } => Ok(executor.run(n, &[images], &mut [&mut logits[..n * *classes]])?),
            Single::Burn(engine) => {
                let run = &self.run;
                let times = engine.time_to_exits(images, n, &[]);
                times.map(drop).map_err(|source| no_answer(run, source))
            }
        }
    }

    /// All exits, nobody stops: milliseconds from the images to the logits of each on the host.
    pub(crate) fn all_exits(&mut self, images: &[f32]) -> Result<Vec<f64>, CliError> {
        let times = (self.engine).time_to_exits(images, images.len() / self.pixels, &[]);
        times.map_err(|source| no_answer(&self.run, source))
    }

    /// As the policy says; no answers where there is none.
    pub(crate) fn policy(&mut self, images: &[f32]) -> Result<Vec<Answer>, CliError> {
        let Some(rule) = &self.rule else {
            return Ok(Vec::new());
        };
        let answers = (self.engine).answer(images, images.len() / self.pixels, rule);
        answers.map_err(|source| no_answer(&self.run, source))
    }
}

fn no_answer(run: &Path, source: EngineError) -> CliError {
    CliError::NoAnswer {
        run: run.to_owned(),
        source,
    }
}
