//! A network of burn as an engine.

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use offramp_core::Features;
use offramp_policies::{Answer, AnyPolicy, FixedExit, PolicyError, Rule};
use offramp_run::{Engine, EngineError};

use crate::{EarlyExitNet, InferError, Runner};

/// A network on a device, with images that wait for their turn.
///
/// One step computes all that wait with the rule of the first, from the first segment to the last exit
/// taken: for a stream of images [`Stream`](crate::Stream) does less work.
#[derive(Clone, Debug)]
pub struct BurnEngine<N> {
    runner: Runner<N>,
    image: [usize; 3],
    classes: usize,
    device: Device,
    batch: usize,
    tickets: u64,
    waiting: Vec<Waiting>,
}

/// An image that waits for its turn.
#[derive(Clone, Debug)]
struct Waiting {
    ticket: u64,
    pixels: Vec<f32>,
    rule: Arc<Rule>,
}

impl<N: EarlyExitNet> BurnEngine<N> {
    /// An engine for images `[C, H, W]` and `classes` classes; `macs[k]` is what it costs to answer at exit `k`,
    /// and at most `batch` images wait.
    ///
    /// The network should be in evaluation mode on a device without gradients.
    ///
    /// # Errors
    /// When the costs are for another number of exits.
    pub fn new(
        net: N,
        macs: Vec<u64>,
        image: [usize; 3],
        classes: usize,
        batch: usize,
        device: &Device,
    ) -> Result<Self, InferError> {
        let exits = net.num_exits();
        let deepest = AnyPolicy::FixedExit(FixedExit::new(exits.saturating_sub(1), exits)?);
        Ok(Self {
            runner: Runner::new(net, deepest, macs)?.with_image(image),
            image,
            classes,
            device: device.clone(),
            batch,
            tickets: 0,
            waiting: Vec::new(),
        })
    }

    /// The network.
    pub fn net(&self) -> &N {
        self.runner.net()
    }

    fn tensor(&self, images: Vec<f32>, count: usize) -> Result<Tensor<4>, EngineError> {
        let [channels, height, width] = self.image;
        let expected = count * channels * height * width;
        if images.len() != expected {
            return Err(EngineError(format!(
                "{} values for {count} images, which have {expected}",
                images.len()
            )));
        }
        let data = TensorData::new(images, [count, channels, height, width]);
        Ok(Tensor::from_data(data, &self.device))
    }

    fn check(&self, rule: &Rule) -> Result<(), PolicyError> {
        rule.check(self.runner.net().num_exits(), self.classes)
    }
}

impl<N: EarlyExitNet + Send> Engine for BurnEngine<N> {
    fn admit(&mut self, pixels: &[f32], rule: &Arc<Rule>) -> Result<u64, EngineError> {
        let expected: usize = self.image.iter().product();
        if self.room() == 0 || pixels.len() != expected {
            return Err(EngineError(format!(
                "room for {} images of {expected} values, not for one of {}",
                self.room(),
                pixels.len()
            )));
        }
        self.check(rule).map_err(EngineError::new)?;
        let ticket = self.tickets;
        self.tickets += 1;
        self.waiting.push(Waiting {
            ticket,
            pixels: pixels.to_vec(),
            rule: Arc::clone(rule),
        });
        Ok(ticket)
    }

    fn room(&self) -> usize {
        self.batch.saturating_sub(self.waiting.len())
    }

    fn pending(&self) -> usize {
        self.waiting.len()
    }

    fn step(&mut self) -> Result<Vec<(u64, Answer)>, EngineError> {
        let Some(first) = self.waiting.first() else {
            return Ok(Vec::new());
        };
        let rule = Arc::clone(&first.rule);
        let alike = |waiting: &mut Waiting| waiting.rule == rule;
        let group: Vec<Waiting> = self.waiting.extract_if(.., alike).collect();
        let images = group
            .iter()
            .flat_map(|waiting| waiting.pixels.iter().copied());
        let answers = self.answer(&images.collect::<Vec<_>>(), group.len(), &rule)?;
        let tickets = group.iter().map(|waiting| waiting.ticket);
        Ok(tickets.zip(answers).collect())
    }

    fn answer(
        &mut self,
        images: &[f32],
        count: usize,
        rule: &Arc<Rule>,
    ) -> Result<Vec<Answer>, EngineError> {
        self.check(rule).map_err(EngineError::new)?;
        self.runner.rule = Rule::clone(rule);
        let x = self.tensor(images.to_vec(), count)?;
        self.runner.run(x).map_err(EngineError::new)
    }

    fn time_to_exits(
        &mut self,
        images: &[f32],
        count: usize,
        _at_exit: &[Arc<Rule>],
    ) -> Result<Vec<f64>, EngineError> {
        let x = self.tensor(images.to_vec(), count)?;
        let net = self.runner.net();
        let start = Instant::now();
        let mut features = Features::from(x);
        let (mut previous, mut times) = (None, Vec::with_capacity(net.num_exits()));
        for exit in 0..net.num_exits() {
            features = net.segment(exit, features);
            let logits = net.logits(exit, features.map.clone(), previous);
            // The host's copy is what a policy waits for, and ends the device's queue.
            let _on_host = logits.clone().into_data();
            previous = Some(logits);
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(times)
    }
}
