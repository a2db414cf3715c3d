//! What teaching costs: a training step of every method on ResNet-18 with four exits, against the
//! step of `plain`, taken in turn so that a busy machine slows both.
//!
//! Criterion reports the time of the method's step; the last lines are the ratios, the medians over
//! all pairs of steps.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Distribution, Int, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use offramp_core::{MapShape, default_device};
use offramp_heads::{MultiExitNet, NetConfig};
use offramp_methods::{
    AnyMethod, Method, MethodConfig, NetworkInfo, StepContext, Targets, registry,
};
use offramp_nn::Init;
use offramp_train::optim::{Optimizer, OptimizerConfig};

const BATCH: usize = 64;
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

fn median(mut values: Vec<f64>) -> f64 {
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
    group.sample_size(10);
    group.throughput(Throughput::Elements(BATCH as u64));
    let mut lines = Vec::new();
    for entry in registry() {
        let mut ratios = Vec::new();
        group.bench_function(entry.name, |b| {
            let mut plain = Trainee::new(&MethodConfig::default(), &device);
            let mut taught = Trainee::new(&(entry.config)(), &device);
            b.iter_custom(|count| {
                let pair = |_| {
                    let alone = plain.step(&images, &targets);
                    let taught = taught.step(&images, &targets);
                    ratios.push(taught.as_secs_f64() / alone.as_secs_f64());
                    taught
                };
                (0..count).map(pair).sum()
            });
        });
        if !ratios.is_empty() {
            let line = format!("{:<15} {:.3} of plain's step", entry.name, median(ratios));
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
