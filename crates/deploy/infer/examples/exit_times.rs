//! Milliseconds from a batch of images to each exit of a run's network, for one image of the batch.
//!
//! `cargo run --release -p offramp-infer --example exit_times -- RUN BATCH [RUNS]`

use std::{error::Error, path::Path};

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::default_device;
use offramp_heads::load_model;
use offramp_infer::{exit_times, quantile};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let run = args.next().ok_or("usage: exit_times RUN BATCH [RUNS]")?;
    let batch: usize = args.next().ok_or("how many images a batch?")?.parse()?;
    let runs: usize = args.next().map_or(Ok(50), |runs| runs.parse())?;
    let device = default_device()?;
    let (net, card) = load_model(Path::new(&run), &device)?;
    let net = net.valid();
    let image = card.image;
    let x = Tensor::zeros([batch, image.channels, image.height, image.width], &device);
    println!("quantile  ms an image to exit 0, 1, ...");
    let times = exit_times(&net, &x, runs);
    for q in [0.05, 0.5, 0.95, 0.99] {
        let ms = times.iter().map(|times| quantile(times, q) / batch as f64);
        let ms: Vec<String> = ms.map(|ms| format!("{ms:.4}")).collect();
        println!("{:<9} {}", format!("{} %", 100.0 * q), ms.join(" "));
    }
    Ok(())
}
