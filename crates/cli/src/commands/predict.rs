//! `offramp predict`: classifies images, later segments not computed.

use std::path::Path;

use offramp_data::{DatasetInfo, ImageShape};
use offramp_heads::{ModelCard, load_model};
use offramp_infer::Answer;
use serde::Serialize;

use super::policy::{self, Chosen};
use super::print_json;
use crate::args::PredictArgs;
use crate::engine::{Engine, images};
use crate::error::CliError;
use crate::table;

/// Images that are computed together; bounds memory for long lists.
const BATCH: usize = 64;

#[derive(Serialize)]
struct Row {
    image: String,
    class: String,
    label: usize,
    confidence: f32,
    exit: usize,
    macs: u64,
}

#[derive(Serialize)]
struct Document {
    run: String,
    policy: String,
    predictions: Vec<Row>,
}

/// Classifies images.
pub fn run(args: &PredictArgs) -> Result<(), CliError> {
    let device = args.device.device()?;
    let (net, card) = load_model(&args.run, &device)?;
    let info = dataset_info(&card);
    let exits = net.num_exits();
    let Chosen { rule, origin } = match args.exit {
        Some(exit) => Chosen::fixed(exit, exits)?,
        None => policy::choose(&args.run, args.policy.as_deref(), &card, exits)?,
    };
    let batch = args.images.len().min(BATCH);
    let mut engine = Engine::new(&args.engine, args.device, net, &card, rule, batch)?;

    let mut predictions = Vec::new();
    for paths in args.images.chunks(BATCH) {
        let mut bytes = Vec::with_capacity(paths.len() * info.shape.bytes());
        for path in paths {
            bytes.extend(info.decode(path.as_path())?);
        }
        let answers = engine.run(images(bytes, &card, &device), &args.run)?;
        predictions.extend(
            paths
                .iter()
                .zip(answers)
                .map(|(path, answer)| row(path, answer, &card)),
        );
    }

    if args.json {
        return print_json(&Document {
            run: args.run.display().to_string(),
            policy: origin,
            predictions,
        });
    }
    println!("policy: {origin}");
    let rows: Vec<Vec<String>> = predictions
        .into_iter()
        .map(|row| {
            vec![
                row.image,
                row.class,
                format!("{:.3}", row.confidence),
                row.exit.to_string(),
                table::macs(row.macs as f64),
            ]
        })
        .collect();
    let header = ["image", "class", "confidence", "exit", "MACs"];
    print!("{}", table::render(&header, &rows));
    Ok(())
}

fn row(path: &Path, answer: Answer, card: &ModelCard) -> Row {
    Row {
        image: path.display().to_string(),
        class: card.classes[answer.class].clone(),
        label: answer.class,
        confidence: answer.confidence,
        exit: answer.exit,
        macs: answer.macs,
    }
}

/// What the data crate needs to decode an image as the evaluation loader does.
pub fn dataset_info(card: &ModelCard) -> DatasetInfo {
    let shape = |map: offramp_core::MapShape| ImageShape {
        channels: map.channels,
        height: map.height,
        width: map.width,
    };
    DatasetInfo {
        name: card.dataset.clone(),
        classes: card.classes.clone(),
        shape: shape(card.image),
        mean: card.mean,
        std: card.std,
        decoded: (card.resize != card.image).then(|| shape(card.resize)),
    }
}
