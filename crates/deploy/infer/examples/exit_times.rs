//! Milliseconds from a batch of images to each exit of a run's network, for one image of the batch.
//!
//! `cargo run --release -p offramp-infer --example exit_times -- RUN BATCH [RUNS]`

use std::{error::Error, path::Path};

use burn::module::Module;
use offramp_core::default_device;
use offramp_heads::load_model;
use offramp_infer::BurnEngine;
use offramp_run::{ExitTimes, Repeats};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let run = args.next().ok_or("usage: exit_times RUN BATCH [RUNS]")?;
    let batch: usize = args.next().ok_or("how many images a batch?")?.parse()?;
    let runs: usize = args.next().map_or(Ok(50), |runs| runs.parse())?;
    let device = default_device()?;
    let (net, card) = load_model(Path::new(&run), &device)?;
    let net = net.valid();
    let image = card.image;
    let macs = net.exit_costs(image).iter().map(|cost| cost.macs).collect();
    let shape = [image.channels, image.height, image.width];
    let mut engine = BurnEngine::new(net, macs, shape, card.classes.len(), batch, &device)?;
    let images = vec![0.0; batch * card.input().len()];
    let repeats = Repeats {
        warm_up: 5,
        runs,
        patience: None,
    };
    let times = ExitTimes::measure(&mut engine, &images, batch, &[], repeats)?;
    println!("quantile  ms an image to exit 0, 1, ...");
    for q in [0.05, 0.5, 0.95, 0.99] {
        let ms = times.quantile(q).into_iter().map(|ms| ms / batch as f64);
        let ms: Vec<String> = ms.map(|ms| format!("{ms:.4}")).collect();
        println!("{:<9} {}", format!("{} %", 100.0 * q), ms.join(" "));
    }
    Ok(())
}
