//! Images per second of training and of inference, on random data.
//!
//! Run: `cargo run --release -p offramp-kernels --example train_step -- resnet20 128`
//! (or `resnet18 32`; a third argument gives the number of timed steps, a fourth one of
//! `train`, `infer` and `single` does only this, for a profiler; the weights are random anyway).

use std::time::Instant;

use burn::tensor::{Device, Distribution, Int, Tensor};
use offramp_kernels::{
    Conv2dOptions, SgdOptions, batch_norm_eval, batch_norm_train, conv2d, global_avg_pool, linear,
    sgd_step, softmax_cross_entropy,
};

const OPTIONS: SgdOptions = SgdOptions {
    learning_rate: 0.01,
    momentum: 0.9,
    weight_decay: 5e-4,
    nesterov: true,
};

/// Parameters in the order in which a network asks for them; the first pass makes them.
struct Parameters {
    device: Device,
    maps: Vec<Tensor<4>>,
    rows: Vec<Tensor<2>>,
    vectors: Vec<Tensor<1>>,
    velocities: Velocities,
    next: [usize; 3],
    training: bool,
}

/// The velocity of every parameter, none before the first update.
#[derive(Default)]
struct Velocities {
    maps: Vec<Option<Tensor<4>>>,
    rows: Vec<Option<Tensor<2>>>,
    vectors: Vec<Option<Tensor<1>>>,
}

impl Parameters {
    fn map(&mut self, shape: [usize; 4]) -> Tensor<4> {
        if self.next[0] == self.maps.len() {
            let std = (2.0 / (shape[0] * shape[2] * shape[3]) as f64).sqrt();
            let value = Tensor::random(shape, Distribution::Normal(0.0, std), &self.device);
            self.maps.push(value.require_grad());
        }
        self.next[0] += 1;
        self.maps[self.next[0] - 1].clone()
    }

    fn rows(&mut self, shape: [usize; 2]) -> Tensor<2> {
        if self.next[1] == self.rows.len() {
            let value = Tensor::random(shape, Distribution::Normal(0.0, 0.1), &self.device);
            self.rows.push(value.require_grad());
        }
        self.next[1] += 1;
        self.rows[self.next[1] - 1].clone()
    }

    fn vector(&mut self, len: usize, value: f32) -> Tensor<1> {
        if self.next[2] == self.vectors.len() {
            let value = Tensor::full([len], value, &self.device);
            self.vectors.push(value.require_grad());
        }
        self.next[2] += 1;
        self.vectors[self.next[2] - 1].clone()
    }

    fn conv(&mut self, x: Tensor<4>, c_out: usize, k: usize, stride: usize) -> Tensor<4> {
        let weight = self.map([c_out, x.dims()[1], k, k]);
        let options = Conv2dOptions {
            stride: [stride; 2],
            padding: [k / 2; 2],
            ..Conv2dOptions::default()
        };
        conv2d(x, weight, None, options)
    }

    fn depthwise(&mut self, x: Tensor<4>, stride: usize) -> Tensor<4> {
        let groups = x.dims()[1];
        let weight = self.map([groups, 1, 3, 3]);
        let options = Conv2dOptions {
            stride: [stride; 2],
            padding: [1; 2],
            groups,
            ..Conv2dOptions::default()
        };
        conv2d(x, weight, None, options)
    }

    fn norm(&mut self, x: Tensor<4>, residual: Option<Tensor<4>>, relu: bool) -> Tensor<4> {
        let channels = x.dims()[1];
        let (gamma, beta) = (self.vector(channels, 1.0), self.vector(channels, 0.0));
        if self.training {
            batch_norm_train(x, gamma, beta, 1e-5, residual, relu).output
        } else {
            let mean = Tensor::zeros([channels], &self.device);
            let variance = Tensor::ones([channels], &self.device);
            batch_norm_eval(x, gamma, beta, mean, variance, 1e-5, residual, relu)
        }
    }

    fn block(&mut self, x: Tensor<4>, width: usize, stride: usize) -> Tensor<4> {
        let y = self.conv(x.clone(), width, 3, stride);
        let y = self.norm(y, None, true);
        let y = self.conv(y, width, 3, 1);
        let residual = if stride != 1 || x.dims()[1] != width {
            let x = self.conv(x, width, 1, stride);
            self.norm(x, None, false)
        } else {
            x
        };
        self.norm(y, Some(residual), true)
    }

    fn head(&mut self, mut x: Tensor<4>, deepest: usize) -> Tensor<2> {
        while x.dims()[1] < deepest {
            let width = x.dims()[1] * 2;
            let y = self.depthwise(x, 2);
            let y = self.conv(y, width, 1, 1);
            x = self.norm(y, None, true);
        }
        let (weight, bias) = (self.rows([100, deepest]), self.vector(100, 0.0));
        linear(global_avg_pool(x), weight, Some(bias))
    }

    fn network(&mut self, x: Tensor<4>, widths: &[usize], blocks: usize) -> Vec<Tensor<2>> {
        self.next = [0; 3];
        let deepest = widths[widths.len() - 1];
        let x = self.conv(x, widths[0], 3, 1);
        let mut x = self.norm(x, None, true);
        let mut exits = Vec::new();
        for (stage, &width) in widths.iter().enumerate() {
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                x = self.block(x, width, stride);
            }
            exits.push(self.head(x.clone(), deepest));
        }
        exits
    }

    fn update(&mut self, loss: &Tensor<1>) {
        let grads = loss.backward();
        fn step<const D: usize>(
            values: &mut [Tensor<D>],
            velocities: &mut Vec<Option<Tensor<D>>>,
            grads: &burn::tensor::Gradients,
        ) {
            velocities.resize(values.len(), None);
            for (value, velocity) in values.iter_mut().zip(velocities) {
                let grad = value.grad(grads).expect("every parameter has a gradient");
                let old = value.clone().inner();
                let (new, next) = sgd_step(old, grad, velocity.take(), OPTIONS);
                *value = Tensor::from_inner(new).require_grad();
                *velocity = Some(next);
            }
        }
        step(&mut self.maps, &mut self.velocities.maps, &grads);
        step(&mut self.rows, &mut self.velocities.rows, &grads);
        step(&mut self.vectors, &mut self.velocities.vectors, &grads);
    }
}

/// Processor seconds of this process so far, over all threads; 0 where the system does not say.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name in brackets, user and system time are fields 12 and 13, in hundredths.
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks = fields
        .skip(11)
        .take(2)
        .filter_map(|t| t.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// Wall-clock rates, and the processor time per image, which varies little on a busy machine.
fn report(what: &str, batch: usize, mut seconds: Vec<f64>, processor: f64) {
    seconds.sort_by(f64::total_cmp);
    let rate = |s: f64| batch as f64 / s;
    println!(
        "{what}: median {:.0} images/s, best {:.0}, worst {:.0}; {:.3} processor ms an image",
        rate(seconds[seconds.len() / 2]),
        rate(seconds[0]),
        rate(seconds[seconds.len() - 1]),
        1e3 * processor / (batch * seconds.len()) as f64
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let at = |i: usize| arguments.get(i).map(String::as_str);
    let (widths, blocks) = match at(0) {
        Some("resnet18") => (vec![64, 128, 256, 512], 2),
        _ => (vec![16, 32, 64], 3),
    };
    let batch: usize = at(1).and_then(|s| s.parse().ok()).unwrap_or(128);
    let steps: usize = at(2).and_then(|s| s.parse().ok()).unwrap_or(10);
    let device = Device::flex();
    let mut parameters = Parameters {
        device: device.clone().autodiff(),
        maps: vec![],
        rows: vec![],
        vectors: vec![],
        velocities: Velocities::default(),
        next: [0; 3],
        training: true,
    };
    let images = Tensor::<4>::random([batch, 3, 32, 32], Distribution::Default, &device);
    let labels = Tensor::<1, Int>::from_ints(
        (0..batch as i32)
            .map(|i| i % 100)
            .collect::<Vec<_>>()
            .as_slice(),
        &device,
    );
    let mut times = Vec::new();
    let mut processor = 0.0;
    let only = at(3).unwrap_or_default();
    let timed = if matches!(only, "infer" | "single") {
        0
    } else {
        steps
    };
    for step in 0..timed + 2 {
        let start = Instant::now();
        let x = Tensor::from_inner(images.clone());
        let labels = Tensor::from_inner(labels.clone());
        let exits = parameters.network(x, &widths, blocks);
        let loss = exits
            .into_iter()
            .map(|logits| softmax_cross_entropy(logits, labels.clone()).mean())
            .reduce(|a, b| a + b)
            .expect("an exit");
        parameters.update(&loss);
        if step == 1 {
            processor = processor_seconds();
        }
        if step >= 2 {
            times.push(start.elapsed().as_secs_f64());
        } else {
            println!("loss {:.4}", loss.into_scalar::<f32>());
        }
    }
    if timed > 0 {
        report("training", batch, times, processor_seconds() - processor);
    }
    let inner = |values: &[Tensor<4>]| values.iter().map(|v| v.clone().inner()).collect();
    let mut frozen = Parameters {
        maps: inner(&parameters.maps),
        rows: parameters.rows.iter().map(|v| v.clone().inner()).collect(),
        vectors: parameters
            .vectors
            .iter()
            .map(|v| v.clone().inner())
            .collect(),
        velocities: Velocities::default(),
        next: [0; 3],
        training: false,
        device,
    };
    for (what, count) in [("infer", batch), ("single", 1)] {
        if !matches!(only, "") && only != what {
            continue;
        }
        let mut times = Vec::new();
        let images = images.clone().narrow(0, 0, count);
        let mut processor = 0.0;
        let repeats = steps * batch.div_ceil(count).min(20);
        for step in 0..repeats + 2 {
            let start = Instant::now();
            let exits = frozen.network(images.clone(), &widths, blocks);
            let _ = exits.last().expect("an exit").to_data();
            if step >= 2 {
                times.push(start.elapsed().as_secs_f64());
            } else {
                processor = processor_seconds();
            }
        }
        let what = format!("inference, batch {count}");
        report(&what, count, times, processor_seconds() - processor);
    }
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        for line in status.lines().filter(|l| l.starts_with("VmHWM")) {
            println!("peak memory: {}", line.trim_start_matches("VmHWM:").trim());
        }
    }
}
