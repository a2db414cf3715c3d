//! What is timed: one network three ways, compiled or by burn.

use std::sync::Arc;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use offramp_core::Features;
use offramp_executor::{Executor, MultiExitExecutor, MultiExitPlan, Plan, Stream};
use offramp_heads::{ModelCard, MultiExitNet};
use offramp_infer::{Answer, EarlyExitNet, Runner};
use offramp_policies::Rule;

use crate::engine::{burn_runner, compiled_exits};
use crate::error::CliError;

/// A network on an engine, for batches of one size.
pub trait Subject {
    /// The network of the same family with its last exit alone.
    fn single(&mut self, images: &[f32]) -> Result<(), CliError>;

    /// All exits, with no image stopping: milliseconds from the images to the logits of each on the host.
    fn all_exits(&mut self, images: &[f32]) -> Result<Vec<f64>, CliError>;

    /// With the policy; no answers without one.
    fn policy(&mut self, images: &[f32]) -> Result<Vec<Answer>, CliError>;
}

/// The networks to time.
pub struct Nets<'a> {
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

/// By the compiled executor.
pub struct Compiled {
    single: Executor,
    executor: MultiExitExecutor,
    stream: Option<(Stream, Arc<Rule>)>,
    logits: Vec<f32>,
    pixels: usize,
    classes: usize,
}

impl Compiled {
    /// Compiles both networks, that with one exit in bytes where there are `rows` to choose ranges on;
    /// `plan` is the plan of the run's.
    pub fn new(
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
        let stream = |rule: &Rule| {
            let stream = Stream::new(plan.clone(), nets.macs.to_vec())?;
            Ok::<_, CliError>((stream, Arc::new(rule.clone())))
        };
        let classes = nets.card.classes.len();
        Ok(Self {
            single: Executor::new(single),
            stream: nets.rule.map(stream).transpose()?,
            pixels: plan.pixels(),
            executor: MultiExitExecutor::new(plan),
            logits: vec![0.0; batch * classes],
            classes,
        })
    }
}

impl Subject for Compiled {
    fn single(&mut self, images: &[f32]) -> Result<(), CliError> {
        let n = images.len() / self.pixels;
        let logits = &mut self.logits[..n * self.classes];
        Ok(self.single.run(n, &[images], &mut [logits])?)
    }

    fn all_exits(&mut self, images: &[f32]) -> Result<Vec<f64>, CliError> {
        compiled_exits(&mut self.executor, images)
    }

    fn policy(&mut self, images: &[f32]) -> Result<Vec<Answer>, CliError> {
        match &mut self.stream {
            Some((stream, rule)) => Ok(stream.run(images, rule)?),
            None => Ok(Vec::new()),
        }
    }
}

/// By burn.
pub struct Burn {
    net: MultiExitNet,
    single: MultiExitNet,
    runner: Option<Runner<MultiExitNet>>,
    image: [usize; 3],
    device: Device,
}

impl Burn {
    /// Both networks on a device.
    pub fn new(nets: &Nets<'_>, device: &Device) -> Result<Self, CliError> {
        let image = nets.card.image;
        let runner = |rule: &Rule| {
            burn_runner(
                nets.net.clone(),
                nets.card,
                rule.clone(),
                nets.macs.to_vec(),
            )
        };
        Ok(Self {
            net: nets.net.clone().valid(),
            single: nets.single.clone().valid(),
            runner: nets.rule.map(runner).transpose()?,
            image: [image.channels, image.height, image.width],
            device: device.clone(),
        })
    }

    fn tensor(&self, images: &[f32]) -> Tensor<4> {
        let [c, h, w] = self.image;
        let data = TensorData::new(images.to_vec(), [images.len() / (c * h * w), c, h, w]);
        Tensor::from_data(data, &self.device)
    }
}

/// Milliseconds from the images to the logits of each exit; the copy on the host is what a policy waits
/// for, and ends the device's queue.
fn burn_exits(net: &MultiExitNet, x: Tensor<4>) -> Vec<f64> {
    let start = Instant::now();
    let mut features = Features::from(x);
    let mut previous = None;
    let exit = |exit: usize| {
        features = net.segment(exit, features.clone());
        let logits = EarlyExitNet::logits(net, exit, features.map.clone(), previous.take());
        let _on_host = logits.clone().into_data();
        previous = Some(logits);
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..net.num_exits()).map(exit).collect()
}

impl Subject for Burn {
    fn single(&mut self, images: &[f32]) -> Result<(), CliError> {
        burn_exits(&self.single, self.tensor(images));
        Ok(())
    }

    fn all_exits(&mut self, images: &[f32]) -> Result<Vec<f64>, CliError> {
        Ok(burn_exits(&self.net, self.tensor(images)))
    }

    fn policy(&mut self, images: &[f32]) -> Result<Vec<Answer>, CliError> {
        match &self.runner {
            Some(runner) => Ok(runner.run(self.tensor(images))?),
            None => Ok(Vec::new()),
        }
    }
}
