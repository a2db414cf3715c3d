//! The cost of methods and distillers, relative to the step without them: the two kinds of step
//! alternate, so that a busy machine slows both. Criterion reports the step with the method; the last
//! lines are the ratios of the medians, and how many numbers the method keeps beside the network
//! (parameters, statistics and memory banks).
//!
//! 1. Every method of `[method]` on ResNet-18 with four exits, against `plain`. L2W-DEN, which
//!    looks ahead, is left out.
//! 2. Every distiller on ResNet-20, taught by a ResNet-56 (by two of them where teachers are weighted),
//!    against the student alone. Most of it is the teacher's own forward pass.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::{Device, Distribution, Int, Tensor};
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use offramp_core::{ExitOutputs, MapShape, default_device};
use offramp_heads::{MODEL_FORMAT, ModelCard, MultiExitNet, NetConfig};
use offramp_methods::distill::{
    DistillConfig, DistillerEntry, Distillers, StepBatch, Student, TeacherCount, Uses, distillers,
};
use offramp_methods::{
    AnyMethod, Method, MethodConfig, NetworkInfo, StepContext, Targets, registry,
};
use offramp_nn::Init;
use offramp_teachers::{ExternalTeacher, StudentImages};
use offramp_train::optim::{Optimizer, OptimizerConfig};
use serde_json::{Value, json};

const CLASSES: usize = 100;
const IMAGE: MapShape = MapShape {
    channels: 3,
    height: 32,
    width: 32,
};

/// A batch.
struct Batch {
    images: Tensor<4>,
    targets: Targets,
    indices: Vec<usize>,
}

impl Batch {
    fn new(size: usize, device: &Device) -> Self {
        let noise = Distribution::Normal(0.0, 1.0);
        let labels = Tensor::<1, Int>::arange(0..size as i64, device);
        Self {
            images: Tensor::random([size, 3, 32, 32], noise, device),
            targets: Targets::new(labels),
            indices: (0..size).collect(),
        }
    }
}

/// A network with its method, distillers, teachers and optimiser.
struct Trainee {
    net: Option<MultiExitNet>,
    method: AnyMethod,
    distill: Distillers,
    teachers: Vec<ExternalTeacher>,
    optimizer: Optimizer,
}

impl Trainee {
    /// A network that is trained by a method without distillers.
    fn by(method: &MethodConfig, net: Value, device: &Device) -> Self {
        Self::new(net, method, &BTreeMap::new(), Vec::new(), device)
    }

    /// A network that is taught by distillers.
    fn taught_by(entry: &DistillerEntry, device: &Device) -> Self {
        let student = match entry.name {
            "simkd" | "atsc" => json!({
                "backbone": "resnet20", "exits": [2],
                "head": {"name": "projector", "width": [64], "size": 8},
            }),
            _ => alone(),
        };
        let count = match entry.teachers {
            TeacherCount::None => 0,
            TeacherCount::One => 1,
            TeacherCount::All if ["ebkd", "ca-mkd"].contains(&entry.name) => 2,
            TeacherCount::All => 1,
        };
        let teachers = (0..count).map(|at| teacher(&format!("t{at}"), device));
        let table: DistillConfig =
            serde_json::from_value(json!({ "loss": entry.name })).expect("a table");
        let tables = BTreeMap::from([(entry.name.to_owned(), table)]);
        let plain = MethodConfig::default();
        Self::new(student, &plain, &tables, teachers.collect(), device)
    }

    fn new(
        net: Value,
        method: &MethodConfig,
        tables: &BTreeMap<String, DistillConfig>,
        teachers: Vec<ExternalTeacher>,
        device: &Device,
    ) -> Self {
        let config: NetConfig = serde_json::from_value(net).expect("a network");
        let mut init = Init::new(0, device);
        let net = config.init(CLASSES, IMAGE, &mut init).expect("a network");
        let student = Student {
            net: &net,
            config: &config,
            image: IMAGE,
            train_images: 10_000,
            batch_size: 64,
        };
        let distill = Distillers::new(tables, &student, &teachers, &mut init).expect("they fit");
        let method = method
            .init(&NetworkInfo::from(&net), &mut init)
            .expect("a method");
        Self {
            method,
            net: Some(distill.share(net)),
            distill,
            teachers,
            optimizer: Optimizer::new(OptimizerConfig::default()),
        }
    }

    /// A step, and how long it took.
    fn step(&mut self, batch: &Batch) -> Duration {
        // In the middle of training: every ramp has ended.
        let context = StepContext {
            epoch: 50.0,
            epochs: 100.0,
            step: 1,
            seed: 0,
        };
        let began = Instant::now();
        let net = self.net.take().expect("it comes back below");
        let outputs = net.forward(batch.images.clone());
        let outputs_of = |(at, teacher): (usize, &ExternalTeacher)| match self.distill.uses(at) {
            Uses::Nothing => ExitOutputs::default(),
            _ => teacher.outputs(batch.images.clone()),
        };
        let teacher_outputs: Vec<ExitOutputs> =
            self.teachers.iter().enumerate().map(outputs_of).collect();
        let taught = StepBatch {
            images: &batch.images,
            indices: &batch.indices,
            outputs: &outputs,
            teachers: &teacher_outputs,
            targets: &batch.targets,
            context: &context,
        };
        let mut terms = self.method.losses(&outputs, &batch.targets, &context);
        self.distill.push_losses(&mut terms, &taught);
        let mut gradients = terms.total().backward();
        let optimizer = &mut self.optimizer;
        let net = optimizer.step("net", net, &mut gradients, 0.01, None);
        self.method = optimizer.step("method", self.method.clone(), &mut gradients, 0.01, None);
        self.distill = optimizer.step("distill", self.distill.clone(), &mut gradients, 0.01, None);
        self.method.after_step(&outputs);
        self.distill.after_step(&taught);
        self.net = Some(self.distill.share(net));
        began.elapsed()
    }
}

/// The student of the second part.
fn alone() -> Value {
    json!({"backbone": "resnet20", "exits": [2]})
}

/// An untrained teacher: it costs what a trained one does.
fn teacher(name: &str, device: &Device) -> ExternalTeacher {
    let config: NetConfig =
        serde_json::from_value(json!({"backbone": "resnet56", "exits": [2]})).expect("a network");
    let mut init = Init::new(1, &device.clone().inner());
    let net = config.init(CLASSES, IMAGE, &mut init).expect("a network");
    let images = StudentImages {
        classes: (0..CLASSES).map(|class| class.to_string()).collect(),
        image: IMAGE,
        mean: [0.5; 3],
        std: [0.25; 3],
    };
    let card = ModelCard {
        format: MODEL_FORMAT,
        net: config,
        classes: images.classes.clone(),
        image: IMAGE,
        resize: IMAGE,
        mean: images.mean,
        std: images.std,
        dataset: "none".into(),
        commit: None,
        sha256: String::new(),
    };
    ExternalTeacher::new(name, net, &card, &images)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Measures a trainee beside another; a line with the ratio, unless it was filtered out.
fn compare(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    batch: &Batch,
    new: impl Fn() -> [Trainee; 2],
) -> Option<String> {
    let mut times = Vec::new();
    let mut beside = 0;
    group.bench_function(name, |b| {
        let [mut taught, mut alone] = new();
        beside = taught.method.num_params() + taught.distill.num_params();
        b.iter_custom(|count| {
            // The order alternates: the second of a pair finds warmer caches.
            let pair = |_| {
                let before = (times.len() % 2 == 0).then(|| alone.step(batch));
                let taught = taught.step(batch);
                let alone = before.unwrap_or_else(|| alone.step(batch));
                times.push([taught, alone].map(|time| time.as_secs_f64()));
                taught
            };
            (0..count).map(pair).sum()
        });
    });
    let [taught, alone] = [0, 1].map(|at| median(times.iter().map(|pair| pair[at])));
    let ratio = taught / alone;
    (!times.is_empty())
        .then(|| format!("{name:<15} {ratio:.3}  {beside:>9} numbers beside the network"))
}

fn group<'a>(c: &'a mut Criterion, name: &str, batch: usize) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.sample_size(20).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(batch as u64));
    group
}

fn say(what: &str, lines: Vec<Option<String>>) {
    println!("{what}");
    for line in lines.into_iter().flatten() {
        println!("  {line}");
    }
}

fn methods(c: &mut Criterion) {
    let device = default_device().expect("a device").autodiff();
    let batch = Batch::new(32, &device);
    // Heads of one width, which the terms that compare embeddings need.
    let net = || json!({"backbone": "resnet18", "head": "sepconv"});
    let mut group = group(c, "ResNet-18 with four exits", 32);
    let plain = || Trainee::by(&MethodConfig::default(), net(), &device);
    let looks_ahead = |config: &MethodConfig| {
        let method = Trainee::by(config, net(), &device).method;
        method.looks_ahead(&StepContext::default())
    };
    let lines = (registry().iter())
        .filter(|entry| !looks_ahead(&(entry.config)()))
        .map(|entry| {
            let taught = || Trainee::by(&(entry.config)(), net(), &device);
            compare(&mut group, entry.name, &batch, || [taught(), plain()])
        });
    let lines = lines.collect();
    group.finish();
    say("a step, as a multiple of plain's:", lines);
}

fn teaching(c: &mut Criterion) {
    let device = default_device().expect("a device").autodiff();
    let batch = Batch::new(64, &device);
    let mut group = group(c, "ResNet-20 taught by ResNet-56", 64);
    let student = || Trainee::by(&MethodConfig::default(), alone(), &device);
    let lines = distillers().iter().map(|entry| {
        let taught = || Trainee::taught_by(entry, &device);
        compare(&mut group, entry.name, &batch, || [taught(), student()])
    });
    let lines = lines.collect();
    group.finish();
    say("a step, as a multiple of the student's alone:", lines);
}

criterion_group!(benches, methods, teaching);
criterion_main!(benches);
