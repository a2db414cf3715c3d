//! A device whose memory runs out in the middle of a run, and the run that goes on.
//!
//! Run: `cargo run --release -p offramp-conformance --features wgpu --example out_of_memory -- wgpu [IMAGES]`
//!
//! An epoch of few steps is trained (five, for 20,000 IMAGES); then a validation with all IMAGES at once asks for
//! more than the device gives, if it is small enough. The same run is then resumed with batches of 250.

use std::error::Error;

use offramp_core::DeviceSpec;
use offramp_train::progress::Silent;
use offramp_train::{Recipe, TrainOptions, train};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let device: DeviceSpec = arguments.next().unwrap_or("wgpu".into()).parse()?;
    let images: usize = arguments.next().map_or(Ok(20_000), |count| count.parse())?;
    let text = format!(
        "[data]
        dataset = 'generated'
        val-fraction = 0.9
        generated = {{ train = {}, test = 20 }}
        [model]
        backbone = 'resnet8'
        [train]
        epochs = 1
        batch-size = 400
        eval-batch-size = {images}
        [train.checkpoint]
        every-steps = 2",
        images * 10 / 9 + 1
    );
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    let run = |resume: bool, settings: &[&str]| {
        let recipe = Recipe::parse(&text, "memory.toml".as_ref(), settings)?;
        let options = TrainOptions {
            out: out.clone(),
            resume,
            data_root: None,
            device: Some(device),
            progress: &mut Silent,
            stop_after_steps: None,
        };
        let report = train(&recipe, options)?;
        Ok::<_, Box<dyn Error>>(report.steps)
    };
    match run(false, &[]) {
        Ok(steps) => println!("{device} had memory enough for {images} images, {steps} steps"),
        Err(error) => println!("error: {error}"),
    }
    let steps = run(true, &["train.eval-batch-size=250"])?;
    println!("resumed with 250 images at a time: {steps} steps, finished");
    Ok(())
}
