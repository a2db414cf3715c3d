//! The compiled executor beside ONNX Runtime: `executor_peers.py` runs both in turn.
//!
//! Run: `cargo run --release -p offramp-executor --example executor -- prepare DIR NETWORK` writes
//! `NETWORK.onnx`, `NETWORK.input` and `NETWORK.output` (128 images and what the executor answers, raw
//! `f32`); `... -- measure NETWORK BATCH THREADS SECONDS PRECISION` (`f32` or `int8`) prints one line of JSON;
//! `... -- accuracy DATA` compares the published ResNet-56 in `f32` and in bytes on real images.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use offramp_backbones::BackboneConfig;
use offramp_core::{MapShape, default_device};
use offramp_executor::{Executor, Options, Plan};
use offramp_graph::{Graph, fold_batch_norms};
use offramp_heads::NetConfig;
use offramp_interop::export::{OnnxNotes, Opset, graph_to_onnx};
use offramp_interop::{ImportOptions, Imported, WeightFile, import};
use offramp_nn::Init;
use serde_json::json;

const IMAGE: MapShape = MapShape {
    channels: 3,
    height: 32,
    width: 32,
};

/// Images in the files.
const IMAGES: usize = 128;

/// A network with its last exit alone, random weights.
fn graph(network: &str) -> Result<Graph, Box<dyn Error>> {
    let last = if network == "resnet18" { 3 } else { 2 };
    let head = json!({"name": "linear"});
    let config = json!({"backbone": network, "exits": [last], "head": head});
    let config: NetConfig = serde_json::from_value(config)?;
    let net = config.init(100, IMAGE, &mut Init::new(7, &default_device()?))?;
    Ok(net.graph(IMAGE)?)
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Pixels with mean 0 and variance 1.
fn images() -> Vec<f32> {
    let mut state = 1_u64;
    let mut value = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let count = IMAGES * IMAGE.channels * IMAGE.height * IMAGE.width;
    (0..count).map(|_| 3_f32.sqrt() * value()).collect()
}

fn prepare(dir: &Path, network: &str) -> Result<(), Box<dyn Error>> {
    let graph = graph(network)?;
    let folded = fold_batch_norms(graph.clone());
    let onnx = graph_to_onnx(&folded, &OnnxNotes::default(), Opset::default())?;
    fs::create_dir_all(dir)?;
    fs::write(dir.join(format!("{network}.onnx")), onnx)?;
    let images = images();
    fs::write(dir.join(format!("{network}.input")), bytes(&images))?;
    let mut executor = Executor::new(Plan::compile(&graph, IMAGES, Options::default())?);
    let mut logits = vec![0.0; IMAGES * 100];
    executor.run(IMAGES, &[&images], &mut [&mut logits])?;
    fs::write(dir.join(format!("{network}.output")), bytes(&logits))?;
    Ok(())
}

fn measure(
    network: &str,
    batch: usize,
    threads: usize,
    limit: Duration,
    precision: &str,
) -> Result<(), Box<dyn Error>> {
    let options = Options {
        threads,
        ..Options::default()
    };
    let (graph, images) = (graph(network)?, images());
    let plan = match precision {
        "int8" => {
            let calibration = [images.clone()];
            Plan::quantized(&graph, batch, options, IMAGES, &calibration)?
        }
        _ => Plan::compile(&graph, batch, options)?,
    };
    let mut executor = Executor::new(plan);
    let images = &images[..batch * images.len() / IMAGES];
    let mut logits = vec![0.0; batch * 100];
    let mut times = Vec::new();
    let warm = Instant::now();
    while warm.elapsed() < limit / 4 {
        executor.run(batch, &[images], &mut [&mut logits])?;
    }
    let start = Instant::now();
    while start.elapsed() < limit {
        let begin = Instant::now();
        executor.run(batch, &[images], &mut [&mut logits])?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    let line = json!({
        "runtime": format!("offramp {precision}"), "network": network, "batch": batch, "threads": threads,
        "runs": times.len(), "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99),
        "images_per_second": batch as f64 * 1e3 / at(0.5),
    });
    println!("{line}");
    Ok(())
}

/// Top-1 accuracy of the published ResNet-56 on CIFAR-100's test images in `f32` and in bytes, which
/// are chosen on training images.
fn accuracy(data: &Path) -> Result<(), Box<dyn Error>> {
    const SAMPLES: usize = 1000;
    let file = WeightFile::open(&data.join("weights/cifar100_resnet56-f2eff4c8.pt"))?;
    let options = ImportOptions {
        backbone: BackboneConfig::named("resnet56")?,
        classes: None,
        num_classes: Some(100),
        image_size: 32,
        resize: 32,
        mean: [0.507, 0.4865, 0.4409],
        std: [0.2673, 0.2564, 0.2761],
        renames: Vec::new(),
        allow_missing: false,
    };
    let Imported { net, .. } = import(&file, &options, &default_device()?)?;
    let graph = net.graph(IMAGE)?;
    let read = |name: &str| -> Result<(Vec<usize>, Vec<f32>), Box<dyn Error>> {
        let bytes = fs::read(data.join("cifar-100-lowdata").join(name))?;
        let (mut labels, mut pixels) = (Vec::new(), Vec::new());
        // Coarse label, fine label, a plane for each colour.
        for record in bytes.chunks_exact(2 + 3072) {
            labels.push(usize::from(record[1]));
            let normal = |(i, &byte): (usize, &u8)| {
                let (mean, std) = (options.mean[i / 1024], options.std[i / 1024]);
                (f32::from(byte) / 255.0 - mean) / std
            };
            pixels.extend(record[2..].iter().enumerate().map(normal));
        }
        Ok((labels, pixels))
    };
    let (_, train) = read("train.bin")?;
    let (labels, test) = read("test.bin")?;
    let calibration = [train[..SAMPLES * 3072].to_vec()];
    let plans = [
        Plan::compile(&graph, IMAGES, Options::default())?,
        Plan::quantized(&graph, IMAGES, Options::default(), SAMPLES, &calibration)?,
    ];
    for (plan, precision) in plans.into_iter().zip(["f32", "int8"]) {
        let mut executor = Executor::new(plan);
        let (mut right, mut spent) = (0, Duration::ZERO);
        for (x, labels) in test.chunks(IMAGES * 3072).zip(labels.chunks(IMAGES)) {
            let mut logits = vec![0.0; labels.len() * 100];
            let begin = Instant::now();
            executor.run(labels.len(), &[x], &mut [&mut logits])?;
            spent += begin.elapsed();
            right += (logits.chunks(100).zip(labels))
                .filter(|(row, label)| (0..100).all(|class| row[class] <= row[**label]))
                .count();
        }
        let line = json!({
            "runtime": format!("offramp {precision}"), "network": "resnet56",
            "images": labels.len(), "top1": 100.0 * right as f64 / labels.len() as f64,
            "images_per_second": labels.len() as f64 / spent.as_secs_f64(),
        });
        println!("{line}");
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["prepare", dir, network] => prepare(Path::new(dir), network),
        ["measure", network, batch, threads, seconds, precision] => measure(
            network,
            batch.parse()?,
            threads.parse()?,
            Duration::from_secs_f64(seconds.parse()?),
            precision,
        ),
        ["accuracy", data] => accuracy(Path::new(data)),
        _ => Err(
            "accuracy DATA, prepare DIR NETWORK or measure NETWORK BATCH THREADS SECONDS PRECISION"
                .into(),
        ),
    }
}
