//! A run from its first step, or from a checkpoint, to its last.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use offramp_core::{Cost, DeviceSpec, MapShape};
use offramp_data::{Batch, Loader, LoaderConfig, Split, Splits, Subset};
use offramp_heads::MultiExitNet;
use offramp_methods::{Method, NetworkInfo, StepContext};
use offramp_nn::Init;

use super::learner::{Learner, StepSettings};
use crate::batch::Input;
use crate::checkpoint::{BestSoFar, Kept, Shelf};
use crate::ema::Ema;
use crate::evaluate::{EvalOptions, evaluate};
use crate::metrics::{EvalRecord, MetricsFile, Record, StepValues, Sums, TrainRecord};
use crate::optim::Optimizer;
use crate::progress::{Plan, Progress};
use crate::recipe::Recipe;
use crate::run_folder::RunFolder;
use crate::schedule::Schedule;
use crate::{Best, EvalReport, TrainError};

/// A run that goes on.
pub(super) struct Session<'a> {
    pub recipe: &'a Recipe,
    pub folder: RunFolder,
    pub shelf: Shelf,
    pub device: Device,
    pub splits: Splits,
    pub loader: Loader,
    pub schedule: Schedule,
    pub costs: Vec<Cost>,
    pub metrics: MetricsFile,
    pub progress: &'a mut dyn Progress,
    /// Always there but within a step.
    pub learner: Option<Learner>,
    pub state: State,
}

/// What a checkpoint records beside the tensors.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub step: u64,
    pub best: Option<BestSoFar>,
    pub stale: usize,
    pub stopped: bool,
    pub seconds: f64,
    pub window: Sums,
    pub epoch: Sums,
    pub kept: Vec<Kept>,
    /// The newest checkpoint.
    pub newest: Option<PathBuf>,
}

impl<'a> Session<'a> {
    /// Opens the data, builds the network and takes up the newest checkpoint, if there is one.
    pub fn open(
        recipe: &'a Recipe,
        folder: RunFolder,
        data_root: Option<&Path>,
        device: DeviceSpec,
        progress: &'a mut dyn Progress,
    ) -> Result<Self, TrainError> {
        let train = &recipe.train;
        let device = device.device()?.autodiff();
        let splits = offramp_data::open(&recipe.data, data_root)?;
        let loader = Loader::new(
            splits.train.clone(),
            &splits.info,
            LoaderConfig {
                batch_size: train.batch_size,
                shuffle: true,
                drop_last: train.drop_last,
                seed: recipe.seed,
                workers: train.workers,
                prefetch: train.prefetch,
                augment: Some(recipe.data.augment.clone()),
            },
        )?;
        let shape = splits.info.shape;
        let image = MapShape::new(shape.channels, shape.height, shape.width);
        let learner = learner(recipe, splits.info.classes.len(), image, &device)?;
        let costs = learner.net.exit_costs(image);
        let steps_per_epoch = loader.batches() as u64;
        let schedule = Schedule {
            config: train.schedule.clone(),
            base: train.optimizer.lr(),
            warmup: (train.warmup_epochs * steps_per_epoch as f64).round() as u64,
            steps: train.epochs as u64 * steps_per_epoch,
            steps_per_epoch,
        };
        let shelf = Shelf::new(folder.checkpoints(), train.checkpoint.keep_last);
        let newest = shelf.newest()?;
        let known = newest
            .as_ref()
            .map_or(0, |(_, found)| found.position.metrics_bytes);
        let metrics = MetricsFile::open(&folder.metrics(), known)?;
        let mut session = Self {
            recipe,
            folder,
            shelf,
            device,
            splits,
            loader,
            schedule,
            costs,
            metrics,
            progress,
            learner: Some(learner),
            state: State::default(),
        };
        if let Some((path, checkpoint)) = newest {
            session.restore(path, checkpoint)?;
        }
        Ok(session)
    }

    /// Steps done.
    pub fn steps_done(&self) -> u64 {
        self.state.step
    }

    /// Trains to the end; whether that was reached, and not `stop_after` steps first.
    pub fn train(&mut self, stop_after: Option<u64>) -> Result<bool, TrainError> {
        self.announce();
        while self.state.step < self.schedule.steps && !self.state.stopped {
            let per_epoch = self.schedule.steps_per_epoch;
            let (epoch, first) = (self.state.step / per_epoch, self.state.step % per_epoch);
            let mut began = Instant::now();
            for batch in self.loader.clone().epoch_from(epoch, first as usize) {
                if stop_after.is_some_and(|stop| self.state.step >= stop) {
                    return Ok(false);
                }
                self.step(batch?, began)?;
                began = Instant::now();
            }
        }
        Ok(true)
    }

    fn announce(&mut self) {
        let recipe = self.recipe;
        let plan = Plan {
            name: recipe.name.clone(),
            device: format!("{:?}", self.device),
            summary: format!(
                "{} ({} images), {}, {} exits, {}",
                self.splits.info.name,
                self.loader.samples(),
                recipe.model.backbone.name(),
                self.costs.len(),
                recipe.method.name()
            ),
            epochs: recipe.train.epochs as u64,
            steps_per_epoch: self.schedule.steps_per_epoch,
            done: self.state.step,
        };
        tracing::info!(
            "{}: {} on {}, {} steps",
            plan.name,
            plan.summary,
            plan.device,
            plan.steps()
        );
        if plan.done > 0 {
            tracing::info!("resumed after step {}", plan.done);
        }
        self.progress.start(&plan);
    }

    /// One step and whatever is due after it.
    fn step(&mut self, batch: Batch, began: Instant) -> Result<(), TrainError> {
        let (train, step) = (&self.recipe.train, self.state.step);
        let epoch = step as f64 / self.schedule.steps_per_epoch as f64;
        let settings = StepSettings {
            step,
            lr: self.schedule.at(step),
            clip_norm: train.clip_norm,
            context: StepContext {
                epoch,
                epochs: train.epochs as f64,
            },
        };
        let input = Input::new(
            batch,
            &self.splits.info,
            train.label_smoothing,
            &self.device,
        );
        // Missing only after an error, and then no further step is taken.
        let learner = self.learner.take().ok_or(TrainError::NoLoss)?;
        let (learner, mut values) = learner.step(input, settings)?;
        if let Some((term, value)) = values.not_finite() {
            return Err(TrainError::NotFinite {
                step: step + 1,
                epoch,
                term,
                value,
                checkpoint: self.state.newest.clone(),
            });
        }
        self.learner = Some(learner);
        values.seconds = began.elapsed().as_secs_f64();
        self.count(&values);
        self.after_step(settings.lr)
    }

    fn count(&mut self, values: &StepValues) {
        self.state.step += 1;
        self.state.seconds += values.seconds;
        self.state.window.add(values);
        self.state.epoch.add(values);
        self.progress.advance(self.state.step);
    }

    fn after_step(&mut self, lr: f64) -> Result<(), TrainError> {
        let (train, step) = (&self.recipe.train, self.state.step);
        if step % train.log_every as u64 == 0 {
            let window = std::mem::take(&mut self.state.window);
            let record = self.record(&window, lr);
            self.progress
                .train(&record, window.seconds / window.steps.max(1) as f64);
            self.metrics.append(&Record::Step(record))?;
        }
        let every = train.checkpoint.every_steps;
        let mut due = every > 0 && step % every == 0;
        if step % self.schedule.steps_per_epoch == 0 {
            due |= self.end_epoch(lr)?;
        }
        match due {
            true => self.checkpoint(),
            false => Ok(()),
        }
    }

    /// Closes an epoch; whether a checkpoint is due.
    fn end_epoch(&mut self, lr: f64) -> Result<bool, TrainError> {
        let sums = std::mem::take(&mut self.state.epoch);
        let record = self.record(&sums, lr);
        self.progress.epoch(&record);
        tracing::info!(
            "epoch {:.0}: loss {:.4}, train top-1 {:.2?}, {:.0} images/s",
            record.epoch,
            record.loss,
            record.train_top1,
            record.images_per_second
        );
        self.metrics.append(&Record::Epoch(record))?;

        let train = &self.recipe.train;
        let epoch = self.state.step / self.schedule.steps_per_epoch;
        let last = epoch >= train.epochs as u64;
        let validate =
            last || (train.eval_every > 0 && epoch.is_multiple_of(train.eval_every as u64));
        let best = validate && !self.splits.val.is_empty() && self.validate(epoch)?;
        let every = train.checkpoint.every_epochs as u64;
        let regular = every > 0 && epoch.is_multiple_of(every);
        Ok(best || regular || last || self.state.stopped)
    }

    /// Evaluates on the validation rows; whether it is the best so far.
    fn validate(&mut self, epoch: u64) -> Result<bool, TrainError> {
        let Some(learner) = &self.learner else {
            return Ok(false);
        };
        let report = self.evaluate(&learner.evaluated(), Split::Val)?;
        let top1 = report.top1();
        let value = match self.recipe.train.checkpoint.best {
            Best::Deepest => top1.last().copied(),
            Best::Mean => Some(top1.iter().sum::<f64>() / top1.len().max(1) as f64),
            Best::Last => None,
        };
        let best = value.is_some_and(|value| self.state.best.is_none_or(|best| value > best.top1));
        if let (true, Some(top1)) = (best, value) {
            let step = self.state.step;
            self.state.best = Some(BestSoFar { step, epoch, top1 });
        }
        self.state.stale = if best { 0 } else { self.state.stale + 1 };
        let patience = self.recipe.train.patience;
        if value.is_some() && patience.is_some_and(|patience| self.state.stale >= patience) {
            self.state.stopped = true;
            let text = format!(
                "no better validation for {} times: training ends",
                self.state.stale
            );
            tracing::info!("{text}");
            self.progress.message(&text);
        }
        tracing::info!(
            "epoch {epoch}: val top-1 {top1:.2?}{}",
            if best { ", the best" } else { "" }
        );
        let step = self.state.step;
        let record = EvalRecord {
            step,
            epoch,
            best,
            report,
        };
        self.progress.eval(&record);
        self.metrics.append(&Record::Eval(record))?;
        Ok(best)
    }

    /// How good a network is on a split.
    pub fn evaluate(&self, net: &MultiExitNet, split: Split) -> Result<EvalReport, TrainError> {
        let options = EvalOptions::from(&self.recipe.train);
        let rows: &Subset = match split {
            Split::Train => &self.splits.train,
            Split::Val => &self.splits.val,
            Split::Test => &self.splits.test,
        };
        let table = evaluate(net, rows, split, &self.splits.info, &options)?;
        Ok(EvalReport::new(&split.to_string(), &table, &self.costs))
    }

    fn record(&self, sums: &Sums, lr: f64) -> TrainRecord {
        let step = self.state.step;
        let epoch = step as f64 / self.schedule.steps_per_epoch as f64;
        let mut record = sums.record(step, epoch, lr);
        if let Some(learner) = &self.learner {
            record.scalars = learner.method.scalars().into_iter().collect();
        }
        record.seconds = self.state.seconds;
        record
    }
}

impl Learner {
    /// The network that is evaluated and kept: the averaged one if there is one.
    pub(super) fn evaluated(&self) -> MultiExitNet {
        match &self.ema {
            Some(ema) => ema.network(&self.net),
            None => self.net.clone(),
        }
    }
}

/// A learner that has learned nothing.
fn learner(
    recipe: &Recipe,
    classes: usize,
    image: MapShape,
    device: &Device,
) -> Result<Learner, TrainError> {
    let mut init = Init::new(recipe.seed, device);
    let net = recipe.model.init(classes, image, &mut init.fork())?;
    let info = NetworkInfo {
        exits: net.num_exits(),
        classes,
        embedding_dims: net.embedding_dims(),
    };
    let method = recipe.method.init(&info, &mut init.fork())?;
    let ema = recipe
        .train
        .ema
        .clone()
        .map(|config| Ema::new(config, &net));
    Ok(Learner {
        net,
        method,
        optimizer: Optimizer::new(recipe.train.optimizer.clone()),
        ema,
    })
}
