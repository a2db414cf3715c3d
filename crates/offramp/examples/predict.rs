//! Classifies image files with a trained network.
//!
//! Run: `cargo run --release -p offramp --no-default-features --features predict --example predict -- RUN IMAGE...`;
//! RUN is a run folder with a plan (`offramp export RUN --format plan` writes one) or the plan's file.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let run = arguments.next().ok_or("usage: predict RUN IMAGE...")?;
    let images: Vec<String> = arguments.collect();
    let mut net = offramp::load(run)?;
    println!("policy: {}", net.policy());
    for (image, answer) in images.iter().zip(net.predict_all(&images)?) {
        let million = answer.macs as f64 / 1e6;
        println!(
            "{image}: {} ({:.3}), exit {}, {million:.2} M MACs",
            answer.class, answer.confidence, answer.exit
        );
    }
    Ok(())
}
