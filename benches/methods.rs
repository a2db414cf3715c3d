//! What teaching costs: a training step of every method on ResNet-18 with four exits, against the
//! step of `plain`, taken in turn so that a busy machine slows both.
//!
//! L2W-DEN, which tries steps out before it takes them, is left out. Criterion reports the time of the method's step; the last lines are the ratios, the medians of
//! either kind of step.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Distribution, Int, Tensor};
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use offramp_core::{MapShape, default_device};
use offramp_heads::{MultiExitNet, NetConfig};
use offramp_methods::{
    AnyMethod, Method, MethodConfig, NetworkInfo, StepContext, Targets, registry,
};
use offramp_nn::Init;
use offramp_train::optim::{Optimizer, OptimizerConfig};

const BATCH: usize = 32;
const CLASSES: usize = 100;
const IMAGE: MapShape = MapShape {
    channels: 3,
    height: 32,
    width: 32,
};

/// A network, what it learns by, and its optimiser.
struct Trainee {
    net: Option<MultiExitNet>,
    method: AnyMethod,
    optimizer: Optimizer,
}

impl Trainee {
    fn new(method: &MethodConfig, device: &Device) -> Self {
        // Heads of one width, which the terms that compare embeddings need.
        let config = r#"{"backbone": "resnet18", "head": "sepconv"}"#;
        let config: NetConfig = serde_json::from_str(config).expect("a network");
        let mut init = Init::new(0, device);
        let net = config.init(CLASSES, IMAGE, &mut init).expect("a network");
        let info = NetworkInfo::from(&net);
        Self {
            net: Some(net),
            method: method.init(&info, &mut init).expect("a method"),
            optimizer: Optimizer::new(OptimizerConfig::default()),
        }
    }

    /// A step, and how long it took.
    fn step(&mut self, images: &Tensor<4>, targets: &Targets) -> Duration {
        // In the middle of training: every ramp has ended.
        let context = StepContext {
            epoch: 50.0,
            epochs: 100.0,
            step: 1,
            seed: 0,
        };
        let began = Instant::now();
        let net = self.net.take().expect("it comes back below");
        let outputs = net.forward(images.clone());
        let terms = self.method.losses(&outputs, targets, &context);
        let mut gradients = terms.total().backward();
        let net = self.optimizer.step("net", net, &mut gradients, 0.01, None);
        let method = self.method.clone();
        self.method = (self.optimizer).step("method", method, &mut gradients, 0.01, None);
        self.method.after_step(&outputs);
        self.net = Some(net);
        began.elapsed()
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn steps(c: &mut Criterion) {
    let device = default_device().expect("a device").autodiff();
    let noise = Distribution::Normal(0.0, 1.0);
    let images = Tensor::random([BATCH, 3, 32, 32], noise, &device);
    let labels = Tensor::<1, Int>::arange(0..BATCH as i64, &device);
    let targets = Targets::new(labels);
    let mut group = c.benchmark_group("training step, ResNet-18 with four exits");
    group.sample_size(20).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(BATCH as u64));
    let mut lines = Vec::new();
    for entry in registry() {
        // A method that tries steps out pays for them on purpose.
        let tries = Trainee::new(&(entry.config)(), &device).method;
        if tries.rehearses(&StepContext::default()) {
            continue;
        }
        let mut times = Vec::new();
        group.bench_function(entry.name, |b| {
            let mut plain = Trainee::new(&MethodConfig::default(), &device);
            let mut taught = Trainee::new(&(entry.config)(), &device);
            b.iter_custom(|count| {
                // First the one, then the other: what comes second finds warmer caches.
                let pair = |_| {
                    let before = (times.len() % 2 == 0).then(|| plain.step(&images, &targets));
                    let taught = taught.step(&images, &targets);
                    let alone = before.unwrap_or_else(|| plain.step(&images, &targets));
                    times.push([taught, alone].map(|time| time.as_secs_f64()));
                    taught
                };
                (0..count).map(pair).sum()
            });
        });
        if !times.is_empty() {
            let [taught, alone] = [0, 1].map(|at| median(times.iter().map(|pair| pair[at])));
            let line = format!("{:<15} {:.3} of plain's step", entry.name, taught / alone);
            lines.push(line);
        }
    }
    group.finish();
    for line in lines {
        println!("{line}");
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
