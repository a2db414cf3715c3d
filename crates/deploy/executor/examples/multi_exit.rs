//! What early exits save: a ResNet-20 with three exits and random weights, where every
//! fifth sample needs the whole network, against the same network without exits.
//!
//! Run: `cargo run --release -p offramp-executor --example multi_exit -- [BATCH] [THREADS] [SECONDS]`

use std::error::Error;
use std::time::{Duration, Instant};

use offramp_executor::{Executor, MultiExitExecutor, MultiExitPlan, Options, Plan};
use offramp_graph::{Builder, ConvGeometry, Graph, GraphError, Value};

/// Convolutions with weights that are never the same.
struct Net {
    b: Builder,
    count: u64,
}

impl Net {
    fn new() -> Self {
        Self {
            b: Builder::new(),
            count: 0,
        }
    }

    fn conv(&mut self, x: Value, width: usize, kernel: usize, stride: usize) -> Made {
        let shape = [width, self.b.shape(x)[0], kernel, kernel];
        let size: usize = shape.iter().product();
        let scale = (6.0 / (size / width) as f32).sqrt();
        self.count += 1;
        let seed = self.count;
        let weight = |i: usize| {
            let noise = (i as u64 + seed * 7919).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            scale * (noise as f32 / (1 << 23) as f32 - 1.0)
        };
        let weight = (0..size).map(weight).collect();
        let weight = self.b.weight(seed, &shape, weight);
        let geometry = ConvGeometry {
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            ..ConvGeometry::default()
        };
        self.b.conv(x, weight, None, geometry)
    }

    /// Three residual blocks.
    fn segment(&mut self, mut x: Value, width: usize, mut stride: usize) -> Made {
        for _ in 0..3 {
            let y = self.conv(x, width, 3, stride)?;
            let y = self.b.relu(y)?;
            let y = self.conv(y, width, 3, 1)?;
            let short = match stride {
                1 => x,
                _ => self.conv(x, width, 1, stride)?,
            };
            let y = self.b.add(y, short)?;
            x = self.b.relu(y)?;
            stride = 1;
        }
        Ok(x)
    }

    fn exit(&mut self, x: Value) -> Made {
        let means = self.b.global_avg_pool(x)?;
        let width = self.b.shape(means)[0];
        let means = self.b.reshape(means, &[width, 1, 1])?;
        let logits = self.conv(means, CLASSES, 1, 1)?;
        self.b.reshape(logits, &[CLASSES])
    }
}

type Made = Result<Value, GraphError>;

const CLASSES: usize = 100;
const PIXELS: usize = 3 * 32 * 32;
const WIDTHS: [usize; 3] = [16, 32, 64];

fn segments() -> Result<Vec<Graph>, GraphError> {
    let mut shape = vec![3, 32, 32];
    let mut graphs = Vec::new();
    for (k, width) in WIDTHS.into_iter().enumerate() {
        let mut net = Net::new();
        let name = k
            .checked_sub(1)
            .map_or("image".into(), |k| format!("map{k}"));
        let mut x = net.b.input(&name, &shape);
        if k == 0 {
            let y = net.conv(x, width, 3, 1)?;
            x = net.b.relu(y)?;
        }
        let map = net.segment(x, width, 1 + usize::from(k > 0))?;
        shape = net.b.shape(map).to_vec();
        let logits = net.exit(map)?;
        let (exit, map_name) = (format!("exit{k}"), format!("map{k}"));
        let outputs = [(exit.as_str(), logits), (map_name.as_str(), map)];
        graphs.push(net.b.finish(outputs));
    }
    Ok(graphs)
}

fn whole() -> Result<Graph, GraphError> {
    let mut net = Net::new();
    let x = net.b.input("image", &[3, 32, 32]);
    let y = net.conv(x, WIDTHS[0], 3, 1)?;
    let mut x = net.b.relu(y)?;
    for (k, width) in WIDTHS.into_iter().enumerate() {
        x = net.segment(x, width, 1 + usize::from(k > 0))?;
    }
    let logits = net.exit(x)?;
    Ok(net.b.finish([("logits", logits)]))
}

/// The median time of a run in milliseconds.
fn median(
    limit: Duration,
    mut run: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<f64, Box<dyn Error>> {
    let mut times = Vec::new();
    run()?;
    let start = Instant::now();
    while start.elapsed() < limit || times.len() < 3 {
        let begin = Instant::now();
        run()?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| match arguments.get(i) {
        Some(text) => text.parse(),
        None => Ok(default),
    };
    let (batch, threads) = (number(0, 128)?, number(1, 2)?);
    let limit = Duration::from_secs(number(2, 2)? as u64);
    let options = Options {
        threads,
        ..Options::default()
    };
    let images: Vec<f32> = (0..batch * PIXELS)
        .map(|i| (i * 7919 % 1000) as f32 / 300.0 - 1.6)
        .collect();

    let (whole, graphs) = (whole()?, segments()?);
    let mut full = Executor::new(Plan::compile(&whole, batch, options)?);
    let mut logits = vec![0.0; batch * CLASSES];
    let full_ms = median(limit, || {
        Ok(full.run(batch, &[&images], &mut [&mut logits])?)
    })?;

    let mut executor = MultiExitExecutor::new(MultiExitPlan::compile(&graphs, batch, options)?);
    // Of ten samples five leave at the first exit, three at the second, scattered over the batch.
    let leaves = |sample: usize| match sample * 7 % 10 {
        0..5 => 0,
        5..8 => 1,
        _ => 2,
    };
    let exits_ms = median(limit, || {
        executor.run(batch, &images, |exit, sample, _| leaves(sample) == exit)?;
        Ok(())
    })?;
    let mut all: u64 = 0;
    let cumulative: Vec<u64> = (graphs.iter())
        .map(|graph| {
            all += graph.macs();
            all
        })
        .collect();
    let spent: u64 = (0..batch).map(|sample| cumulative[leaves(sample)]).sum();
    let share = spent as f64 / (batch as f64 * whole.macs() as f64);
    println!(
        "batch {batch}, {threads} threads: without exits {full_ms:.3} ms, with exits {exits_ms:.3} ms at \
         {:.1} % of the multiply-accumulates, {:.2} times as fast",
        100.0 * share,
        full_ms / exits_ms
    );
    Ok(())
}
