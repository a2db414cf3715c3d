//! `offramp predict`: classifies images, later segments not computed.

use std::path::Path;
use std::sync::Arc;

use offramp_heads::{ModelCard, load_model};
use offramp_policies::Answer;
use offramp_run::ChosenPolicy;
use serde::Serialize;

use super::{policy, print_json};
use crate::args::PredictArgs;
use crate::engine::engine;
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
pub(crate) fn run(args: &PredictArgs) -> Result<(), CliError> {
    let device = args.device.device()?;
    let (net, card) = load_model(&args.run, &device)?;
    let (input, exits) = (card.input(), net.num_exits());
    let ChosenPolicy { rule, origin, .. } = match args.exit {
        Some(exit) => ChosenPolicy::fixed(exit, exits)?,
        None => policy::choose(&args.run, args.policy.as_deref(), &card, exits)?,
    };
    rule.check(exits, card.classes.len())?;
    let rule = Arc::new(rule);
    let batch = args.images.len().min(BATCH);
    let mut engine = engine(&args.engine, args.device, &net, &card, batch, &device)?;

    let mut predictions = Vec::new();
    for paths in args.images.chunks(BATCH) {
        let mut bytes = Vec::with_capacity(paths.len() * input.len());
        for path in paths {
            bytes.extend(input.decode_file(path)?);
        }
        let answers = engine.answer(&input.normalise(&bytes), paths.len(), &rule);
        let answers = answers.map_err(|source| CliError::NoAnswer {
            run: args.run.clone(),
            source,
        })?;
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
