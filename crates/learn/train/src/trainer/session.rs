//! A run from its first step, or from a checkpoint, to its last.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use offramp_core::{Cost, DeviceSpec, MapShape, Precision};
use offramp_data::{DatasetInfo, Loader, LoaderConfig, Split, Splits, Subset};
use offramp_heads::{MultiExitNet, NetConfig};
use offramp_methods::distill::{DistillConfig, Distillers, ExitShapes, Student};
use offramp_methods::{Method, NetworkInfo, StepContext};
use offramp_nn::Init;
use offramp_run::METRICS_FORMAT;
use offramp_teachers::{ExternalTeacher, StudentImages};

use super::data_parallel::DataParallel;
use super::initial::Initial;
use super::learner::{Learner, Objective};
use crate::checkpoint::{BestSoFar, CheckpointStore, Kept};
use crate::ema::Ema;
use crate::evaluate::{EvalOptions, evaluate};
use crate::loss_scale::LossScale;
use crate::metrics::{MetricsFile, StartRecord, Sums, TrainRecord};
use crate::optim::Optimizer;
use crate::progress::{Plan, Progress};
use crate::recipe::{Recipe, TeacherConfig};
use crate::run_folder::RunFolder;
use crate::schedule::Schedule;
use crate::teachers::{Teachers, TrainImages};
use crate::{EvalReport, RunError, TrainError, Work};

/// A run in progress.
pub(super) struct Session<'a> {
    pub recipe: &'a Recipe,
    /// The recipe's network, with the teachers' names resolved to widths and sizes.
    pub model: NetConfig,
    pub folder: RunFolder,
    pub store: CheckpointStore,
    pub device: Device,
    pub spec: DeviceSpec,
    pub splits: Splits,
    pub loader: Loader,
    pub schedule: Schedule,
    pub costs: Vec<Cost>,
    pub metrics: MetricsFile,
    pub progress: &'a mut dyn Progress,
    /// `None` only within a step, or after a failed one.
    pub learner: Option<Learner>,
    /// The other replicas, once training has begun.
    pub data_parallel: Option<DataParallel>,
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
    /// Opens the data, builds the network and restores the newest checkpoint, if there is one.
    pub(crate) fn open(
        recipe: &'a Recipe,
        folder: RunFolder,
        data_root: Option<&Path>,
        device: DeviceSpec,
        progress: &'a mut dyn Progress,
    ) -> Result<Self, TrainError> {
        let train = &recipe.train;
        let spec = device;
        let device = spec.device()?.autodiff();
        let mut splits = offramp_data::open(&recipe.data, data_root)?;
        let initial = Initial::of(&recipe.model, &device)?;
        if let Some(initial) = &initial {
            initial.normalise(&recipe.data, &mut splits.info);
        }
        if train.patience.is_some() && splits.val.is_empty() {
            return Err(TrainError::NoValidation);
        }
        let loader = loader(recipe, &splits)?;
        let shape = splits.info.shape;
        let image = MapShape::new(shape.channels, shape.height, shape.width);
        let teachers = teachers(recipe, &splits.info, image, &device)?;
        let model = resolved(&recipe.model.net(), &teachers)?;
        let mut learner = learner(
            recipe,
            &model,
            teachers,
            &splits,
            initial.as_ref(),
            image,
            &device,
        )?;
        let costs = learner.net.exit_costs(image);
        let steps_per_epoch = loader.batches() as u64;
        let schedule = Schedule {
            config: train.schedule.clone(),
            base: train.optimizer.lr(),
            warmup: (train.warmup_epochs * steps_per_epoch as f64).round() as u64,
            steps: train.epochs as u64 * steps_per_epoch,
            steps_per_epoch,
        };
        let store = CheckpointStore::new(folder.checkpoints(), train.checkpoint.keep_last);
        let newest = store.newest()?;
        let position = newest.as_ref().map(|(path, found)| (path, &found.position));
        if let Some((path, position)) = position
            && position.steps_per_epoch != steps_per_epoch
        {
            return Err(RunError::OtherData {
                path: path.clone(),
                dataset: splits.info.name.clone(),
                recorded: position.steps_per_epoch,
                found: steps_per_epoch,
            }
            .into());
        }
        let train_images = TrainImages {
            subset: &splits.train,
            info: &splits.info,
            device: &device.clone().inner(),
        };
        let mut say = |text: &str| {
            tracing::info!("{text}");
            progress.message(text);
        };
        let Learner {
            teachers,
            objective,
            ..
        } = &mut learner;
        teachers.open_caches(recipe, &objective.distill, &train_images, &mut say)?;
        // The metrics are truncated only after everything that can be refused has been checked.
        let known = position.map_or(0, |(_, position)| position.metrics_bytes);
        let metrics = MetricsFile::open(&folder.metrics(), known)?.with_start(StartRecord {
            format: METRICS_FORMAT,
            device: spec.to_string(),
        });
        let mut session = Self {
            recipe,
            model,
            folder,
            store,
            device,
            spec,
            splits,
            loader,
            schedule,
            costs,
            metrics,
            progress,
            learner: Some(learner),
            data_parallel: None,
            state: State::default(),
        };
        if let Some((path, checkpoint)) = newest {
            session.restore(path, checkpoint)?;
        }
        Ok(session)
    }

    /// Steps done.
    pub(crate) fn steps_done(&self) -> u64 {
        self.state.step
    }

    /// Trains to the end; returns whether that was reached before `stop_after` steps.
    pub(crate) fn train(&mut self, stop_after: Option<u64>) -> Result<bool, TrainError> {
        self.announce();
        self.start_replicas()?;
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

    /// Starts the other replicas as copies of the first, new or resumed.
    fn start_replicas(&mut self) -> Result<(), TrainError> {
        let train = &self.recipe.train;
        if let Some(learner) = &self.learner {
            let (replicas, synchronised) = (train.replicas, train.sync_batch_norm);
            self.data_parallel = DataParallel::new(learner, self.spec, replicas, synchronised)?;
        }
        Ok(())
    }

    fn announce(&mut self) {
        let recipe = self.recipe;
        let plan = Plan {
            name: recipe.name.clone(),
            device: self.spec.to_string(),
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

    /// Evaluates a network on a split.
    pub(crate) fn evaluate(
        &self,
        net: &MultiExitNet,
        split: Split,
    ) -> Result<EvalReport, TrainError> {
        let options = EvalOptions::from(&self.recipe.train);
        let subset: &Subset = match split {
            Split::Train => &self.splits.train,
            Split::Val => &self.splits.val,
            Split::Test => &self.splits.test,
        };
        let work = Work::Scores {
            split,
            step: self.state.step,
            images: self.recipe.train.eval_batch_size,
        };
        let info = &self.splits.info;
        let table = self.guarded(work, || evaluate(net, subset, split, info, &options))?;
        Ok(EvalReport::new(&split.to_string(), &table, &self.costs))
    }

    pub(super) fn record(&self, sums: &Sums, lr: f64) -> TrainRecord {
        let step = self.state.step;
        let epoch = step as f64 / self.schedule.steps_per_epoch as f64;
        let mut record = sums.record(step, epoch, lr);
        if let Some(learner) = &self.learner {
            record.scalars = learner.objective.method.scalars().into_iter().collect();
            record.loss_scale = learner.scale.as_ref().map(LossScale::factor);
        }
        record.seconds = self.state.seconds;
        record
    }
}

impl Learner {
    /// The network that is evaluated and saved: the averaged one if there is one.
    pub(super) fn evaluated(&self) -> MultiExitNet {
        match &self.ema {
            Some(ema) => ema.network(&self.net),
            None => self.net.clone(),
        }
    }
}

fn loader(recipe: &Recipe, splits: &Splits) -> Result<Loader, TrainError> {
    let train = &recipe.train;
    let config = LoaderConfig {
        batch_size: train.batch_size,
        shuffle: true,
        drop_last: train.drop_last,
        seed: recipe.seed,
        workers: train.workers,
        prefetch: train.prefetch,
        augment: Some(recipe.data.augment.clone()),
        interleave: train.interleave,
    };
    Ok(Loader::new(splits.train.clone(), &splits.info, config)?)
}

/// The networks of `[teachers]`, in the order of their names.
fn teachers(
    recipe: &Recipe,
    info: &DatasetInfo,
    image: MapShape,
    device: &Device,
) -> Result<Vec<ExternalTeacher>, TrainError> {
    let images = StudentImages {
        classes: info.classes.clone(),
        image,
        mean: info.mean,
        std: info.std,
    };
    let device = device.clone().inner();
    let load = |(name, config): (&String, &TeacherConfig)| {
        Ok(ExternalTeacher::load(name, &config.run, &images, &device)?)
    };
    recipe.teachers.iter().map(load).collect()
}

/// The network's settings, with the teachers' names resolved to widths and sizes.
fn resolved(model: &NetConfig, teachers: &[ExternalTeacher]) -> Result<NetConfig, TrainError> {
    let deepest = |teacher: &ExternalTeacher| {
        let exit = teacher.net().num_exits() - 1;
        ExitShapes::of(teacher.net(), teacher.image(), exit).map
    };
    let maps: Vec<(&str, MapShape)> = (teachers.iter())
        .map(|teacher| (teacher.name(), deepest(teacher)))
        .collect();
    Ok(model.resolved(&maps)?)
}

/// A learner before its first step.
fn learner(
    recipe: &Recipe,
    model: &NetConfig,
    teachers: Vec<ExternalTeacher>,
    splits: &Splits,
    initial: Option<&Initial>,
    image: MapShape,
    device: &Device,
) -> Result<Learner, TrainError> {
    let mut init = Init::new(recipe.seed, device);
    let classes = splits.info.classes.len();
    let mut net = model.init(classes, image, &mut init.fork())?;
    if let Some(initial) = initial {
        net = initial.fill(net)?;
    }
    net = net.with_gradients(recipe.model.gradients);
    if recipe.model.freeze_backbone {
        net = net.freeze_backbone();
    }
    let info = NetworkInfo::from(&net);
    let method = recipe.method.init(&info, &mut init.fork())?;
    let optimizer = Optimizer::new(recipe.train.optimizer.clone());
    if method.looks_ahead(&StepContext::default()) && optimizer.gain(1.0).is_none() {
        return Err(TrainError::LookAheadOptimizer {
            method: recipe.method.name(),
        });
    }
    if method.looks_ahead(&StepContext::default()) && recipe.train.accumulate > 1 {
        return Err(TrainError::LookAheadInParts {
            method: recipe.method.name(),
        });
    }
    if recipe.train.replicas > 1 {
        let looks_ahead = method.looks_ahead(&StepContext::default());
        let crd = |taught: &&DistillConfig| taught.loss.name() == "crd";
        let what = match recipe.distill.values().find(crd) {
            Some(_) => Some("the distiller \"crd\", which remembers every image,".to_owned()),
            None => looks_ahead
                .then(|| format!("method {:?}, which looks ahead,", recipe.method.name())),
        };
        if let Some(what) = what {
            return Err(TrainError::NotParallel { what });
        }
    }
    let student = Student {
        net: &net,
        config: model,
        image,
        train_images: splits
            .train
            .indices()
            .iter()
            .max()
            .map_or(0, |last| last + 1),
        batch_size: recipe.train.batch_size,
    };
    let distill = Distillers::new(&recipe.distill, &student, &teachers, &mut init.fork())?;
    let shapes_a_head = |name: &str| {
        recipe
            .model
            .head
            .teachers()
            .iter()
            .any(|other| other == name)
    };
    let unused = (teachers.iter().enumerate())
        .find(|(at, teacher)| !distill.uses_teacher(*at) && !shapes_a_head(teacher.name()));
    if let Some((_, teacher)) = unused {
        return Err(TrainError::UnusedTeacher {
            teacher: teacher.name().to_owned(),
        });
    }
    let net = distill.share(net);
    let ema = recipe
        .train
        .ema
        .clone()
        .map(|config| Ema::new(config, &net));
    Ok(Learner {
        net,
        objective: Objective { method, distill },
        teachers: Teachers::new(teachers),
        optimizer,
        ema,
        scale: (recipe.train.precision == Precision::Fp16).then(LossScale::default),
    })
}
