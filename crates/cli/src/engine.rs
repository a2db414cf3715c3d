//! Engines that compute a trained network: the compiled executor on a CPU, burn elsewhere.

use std::fmt;
use std::path::PathBuf;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use clap::{Args, ValueEnum};
use offramp_core::DeviceSpec;
use offramp_core::images::normalise;
use offramp_executor::{CompiledEngine, MultiExitPlan, Options};
use offramp_heads::{ModelCard, MultiExitNet};
use offramp_infer::BurnEngine;
use offramp_run::Engine;

use crate::error::CliError;

/// What can compute a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineKind {
    /// Compiled for the CPU: fused steps, packed weights, planned memory
    Compiled,
    /// burn, on any device
    Burn,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compiled => "compiled",
            Self::Burn => "burn",
        })
    }
}

/// Which engine, and how it computes.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct EngineArgs {
    /// What computes the network [default: compiled on a CPU, else burn]
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<EngineKind>,
    /// A plan of the run that `offramp export --format plan` wrote, in place of one made now
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
}

impl EngineArgs {
    /// The engine for a device.
    ///
    /// # Errors
    /// When the compiled executor is asked for on a GPU, or a plan for burn.
    pub(crate) fn kind(&self, device: DeviceSpec) -> Result<EngineKind, CliError> {
        let cpu = device.best() == DeviceSpec::Cpu;
        let kind = match (self.engine, &self.plan) {
            (Some(kind), _) => kind,
            (None, Some(_)) => EngineKind::Compiled,
            (None, None) if cpu => EngineKind::Compiled,
            (None, None) => EngineKind::Burn,
        };
        match kind {
            EngineKind::Compiled if !cpu => Err(CliError::Usage(format!(
                "the compiled engine is for --device cpu, not for {device}; leave out --engine and \
                 --plan there"
            ))),
            EngineKind::Burn if self.plan.is_some() => Err(CliError::Usage(
                "--plan is for the compiled engine, not for --engine burn".to_owned(),
            )),
            kind => Ok(kind),
        }
    }

    /// The plan of the file asked for, else one made of the network, for at most `batch` images.
    ///
    /// # Errors
    /// When the file is damaged, of another model or for smaller batches, or a node of the network has
    /// no compiled form.
    pub(crate) fn multi_exit_plan(
        &self,
        net: &MultiExitNet,
        card: &ModelCard,
        batch: usize,
        threads: Option<usize>,
    ) -> Result<MultiExitPlan, CliError> {
        let options = options(threads);
        let Some(path) = &self.plan else {
            let graphs = net.segment_graphs(card.image)?;
            return Ok(MultiExitPlan::compile(&graphs, batch, options)?);
        };
        let plan = MultiExitPlan::load(path)?;
        let model = plan.about().map_or("", |about| about.model.as_str());
        if model != card.sha256 {
            return Err(CliError::OtherPlan {
                path: path.clone(),
                found: model.chars().take(12).collect(),
                expected: card.sha256.chars().take(12).collect(),
            });
        }
        Ok(plan.with_batch(batch).with_threads(options.threads))
    }
}

/// Options with `threads` threads, or all processors.
pub(crate) fn options(threads: Option<usize>) -> Options {
    let default = Options::default();
    Options {
        threads: threads.unwrap_or(default.threads),
        ..default
    }
}

/// What computes the network, for batches of at most `batch` images.
///
/// # Errors
/// Those of [`EngineArgs::kind`] and [`EngineArgs::multi_exit_plan`].
pub(crate) fn engine(
    args: &EngineArgs,
    spec: DeviceSpec,
    net: &MultiExitNet,
    card: &ModelCard,
    batch: usize,
    device: &Device,
) -> Result<Box<dyn Engine>, CliError> {
    match args.kind(spec)? {
        EngineKind::Compiled => {
            let plan = args.multi_exit_plan(net, card, batch, None)?;
            Ok(Box::new(CompiledEngine::new(plan, macs(net, card))?))
        }
        EngineKind::Burn => Ok(Box::new(burn_engine(net, card, batch, device)?)),
    }
}

/// The network, computed by burn.
///
/// # Errors
/// [`CliError::Infer`] for a network without exits.
pub(crate) fn burn_engine(
    net: &MultiExitNet,
    card: &ModelCard,
    batch: usize,
    device: &Device,
) -> Result<BurnEngine<MultiExitNet>, CliError> {
    let image = [card.image.channels, card.image.height, card.image.width];
    let (macs, classes) = (macs(net, card), card.classes.len());
    let net = net.clone().valid();
    Ok(BurnEngine::new(net, macs, image, classes, batch, device)?)
}

/// Multiply-accumulates to each exit.
pub(crate) fn macs(net: &MultiExitNet, card: &ModelCard) -> Vec<u64> {
    let costs = net.exit_costs(card.image);
    costs.iter().map(|cost| cost.macs).collect()
}

/// Planar bytes of images as the network reads them, `[N, 3, H, W]`.
pub(crate) fn images(bytes: Vec<u8>, card: &ModelCard, device: &Device) -> Tensor<4> {
    let size = card.image.channels * card.image.height * card.image.width;
    let shape = [
        bytes.len() / size.max(1),
        card.image.channels,
        card.image.height,
        card.image.width,
    ];
    normalise(bytes, shape, card.mean, card.std, device)
}

/// A tensor's values, row-major.
pub(crate) fn values(x: Tensor<4>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}
