//! Random numbers, weights and comparisons for the tests.

#![allow(dead_code, reason = "each test binary uses its part")]

use offramp_executor::{Executor, Options, Plan};
use offramp_graph::{Builder, ConvGeometry, Graph, Value, WeightId, reference};

/// A small generator of test values (xorshift64*, Vigna 2016).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Values in `-1..1`.
    pub(crate) fn values(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.value()).collect()
    }

    pub(crate) fn value(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// Weights of a graph, numbered as they come.
pub(crate) struct Weights {
    random: Random,
    count: u64,
}

impl Weights {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            count: 0,
        }
    }

    /// Of a size that keeps the variance of what flows through.
    pub(crate) fn add(&mut self, b: &mut Builder, shape: &[usize]) -> WeightId {
        let len = shape.iter().product();
        let fan_in: usize = shape[1..].iter().product();
        let scale = (6.0 / fan_in as f32).sqrt().min(1.0);
        let data = self.random.values(len).iter().map(|v| v * scale).collect();
        self.count += 1;
        b.weight(self.count, shape, data)
    }

    /// Scale, shift, mean, variance.
    pub(crate) fn norm(&mut self, b: &mut Builder, channels: usize) -> [WeightId; 4] {
        [[0.5, 1.0], [0.3, 0.0], [0.3, 0.0], [0.5, 1.0]].map(|[width, centre]| {
            let values = self.random.values(channels);
            let data = values.iter().map(|v| centre + width * v).collect();
            self.count += 1;
            b.weight(self.count, &[channels], data)
        })
    }
}

/// Images and what the interpreter makes of them.
pub(crate) struct Example {
    pub inputs: Vec<Vec<f32>>,
    pub outputs: Vec<Vec<f32>>,
}

impl Example {
    pub(crate) fn new(graph: &Graph, images: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let inputs: Vec<Vec<f32>> = (graph.inputs().iter())
            .map(|port| random.values(images * graph.shape(port.value).iter().product::<usize>()))
            .collect();
        let outputs = reference::run(graph, images, &inputs).unwrap();
        Self { inputs, outputs }
    }
}

/// Runs the first `images` images of an example, of which there are `of`.
pub(crate) fn run(
    executor: &mut Executor,
    example: &Example,
    images: usize,
    of: usize,
) -> Vec<Vec<f32>> {
    let part = |values: &[f32]| values.len() / of * images;
    let inputs: Vec<&[f32]> = (example.inputs.iter()).map(|x| &x[..part(x)]).collect();
    let mut outputs: Vec<Vec<f32>> = (example.outputs.iter())
        .map(|y| vec![f32::NAN; part(y)])
        .collect();
    let mut slices: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    executor.run(images, &inputs, &mut slices).unwrap();
    outputs
}

/// Relative to the largest number.
#[track_caller]
pub(crate) fn near(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-30, |max: f32, e| max.max(e.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!(
            (f - e).abs() <= tolerance * scale,
            "{what}: number {i} is {f} instead of {e}, largest {scale}"
        );
    }
}

/// Compares a graph's executor with the interpreter: batches of 1 to 5, one to three threads.
#[track_caller]
pub(crate) fn check(graph: &Graph) {
    const IMAGES: usize = 5;
    let example = Example::new(graph, IMAGES, 9);
    for threads in 1..=3 {
        let options = Options {
            threads,
            ..Options::default()
        };
        let plan = Plan::compile(graph, IMAGES, options).unwrap();
        let mut executor = Executor::new(plan);
        for images in [5, 1, 3, 2, 4] {
            let outputs = run(&mut executor, &example, images, IMAGES);
            for (i, output) in outputs.iter().enumerate() {
                let expected = &example.outputs[i][..output.len()];
                let what = format!("output {i}, {images} images, {threads} threads");
                near(output, expected, 1e-5, &what);
            }
        }
    }
}

struct Net {
    b: Builder,
    weights: Weights,
}

impl Net {
    fn conv(&mut self, x: Value, width: usize, kernel: usize, stride: usize) -> Value {
        let shape = [width, self.b.shape(x)[0], kernel, kernel];
        let weight = self.weights.add(&mut self.b, &shape);
        let geometry = ConvGeometry {
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            ..ConvGeometry::default()
        };
        let y = self.b.conv(x, weight, None, geometry).unwrap();
        let norm = self.weights.norm(&mut self.b, width);
        self.b.batch_norm(y, norm, 1e-5).unwrap()
    }

    fn block(&mut self, x: Value, width: usize, stride: usize) -> Value {
        let y = self.conv(x, width, 3, stride);
        let y = self.b.relu(y).unwrap();
        let y = self.conv(y, width, 3, 1);
        let short = match stride {
            1 => x,
            _ => self.conv(x, width, 1, stride),
        };
        let y = self.b.add(y, short).unwrap();
        self.b.relu(y).unwrap()
    }
}

/// A residual network for images of 32x32, two blocks a width, ten classes.
pub(crate) fn residual_network(widths: &[usize]) -> Graph {
    let mut net = Net {
        b: Builder::new(),
        weights: Weights::new(2),
    };
    let x = net.b.input("image", &[3, 32, 32]);
    let mut y = net.conv(x, widths[0], 3, 1);
    for (i, &width) in widths.iter().enumerate() {
        y = net.block(y, width, 1 + usize::from(i > 0));
        y = net.block(y, width, 1);
    }
    let y = net.b.global_avg_pool(y).unwrap();
    let shape = [10, widths[widths.len() - 1]];
    let weight = net.weights.add(&mut net.b, &shape);
    let y = net.b.linear(y, weight, None).unwrap();
    net.b.finish([("logits", y)])
}
