//! What the search of our own costs, and what it gains over MSDNet's on rows it has not seen.
//!
//! `cargo run --release -p offramp-policies --example frontier [ROWS] [EXITS]`

use std::time::Instant;

use offramp_policies::{
    AnyPolicy, Criterion, ExitTable, FitRows, FitSplit, PolicyError, ScoreRows, ScoreSplit, Target,
    budget_curve, evaluate, fit, frontier,
};

#[path = "../tests/support/mod.rs"]
mod support;
use support::Random;

const CLASSES: usize = 20;

fn main() -> Result<(), PolicyError> {
    let mut sizes = std::env::args().skip(1).map(|size| size.parse());
    let rows = sizes.next().and_then(Result::ok).unwrap_or(10_000);
    let exits = sizes.next().and_then(Result::ok).unwrap_or(4).max(2);
    let macs: Vec<u64> = (1..=exits as u64).map(|k| 1_000_000 * k * k).collect();
    let val = FitRows::new(FitSplit::Val, synthetic(&mut Random(1), rows, exits)?);
    let test = ScoreRows::new(ScoreSplit::Test, synthetic(&mut Random(2), 20_000, exits)?);

    println!(
        "criterion   points  seconds a fit  mean gain in top-1 over MSDNet, points: val, test"
    );
    for criterion in Criterion::ALL {
        let points = frontier(&val, criterion, &macs)?.len();
        let start = Instant::now();
        fit(&val, criterion, &macs, Target::MaxDrop(1.0))?;
        let seconds = start.elapsed().as_secs_f64();
        let curve = budget_curve(&val, &test, criterion, &macs)?;
        let (mut on_val, mut on_test) = (0.0, 0.0);
        for row in &curve.rows {
            let theirs = AnyPolicy::with_thresholds(criterion, row.thresholds.clone())?;
            let theirs_on_val = evaluate(&theirs, val.table(), &macs)?;
            let ours = fit(
                &val,
                criterion,
                &macs,
                Target::MaxMacs(theirs_on_val.mean_macs),
            )?;
            on_val += ours.on_fit.top1 - theirs_on_val.top1;
            on_test += evaluate(&ours.policy, test.table(), &macs)?.top1 - row.top1;
        }
        let budgets = curve.rows.len() as f64;
        let (on_val, on_test) = (on_val / budgets, on_test / budgets);
        println!(
            "{criterion:<11} {:>6} {seconds:>14.3} {on_val:>27.2} {on_test:>6.2}",
            points
        );
    }
    Ok(())
}

/// Rows of varying difficulty: the deeper the exit, the higher the label's logit above the noise.
fn synthetic(random: &mut Random, rows: usize, exits: usize) -> Result<ExitTable, PolicyError> {
    let mut logits = vec![Vec::with_capacity(rows * CLASSES); exits];
    let mut labels = Vec::with_capacity(rows);
    for _ in 0..rows {
        let label = random.below(CLASSES);
        let ease = 6.0 * random.uniform();
        let noise: Vec<f64> = (0..CLASSES).map(|_| normal(random)).collect();
        for (k, logits) in logits.iter_mut().enumerate() {
            let depth = (k + 1) as f64 / exits as f64;
            logits.extend((0..CLASSES).map(|class| {
                let signal = if class == label {
                    ease * depth.sqrt()
                } else {
                    0.0
                };
                (2.0 * (signal + noise[class] + 0.7 * normal(random))) as f32
            }));
        }
        labels.push(label);
    }
    ExitTable::new(logits, CLASSES, labels)
}

/// Nearly normal, mean 0, variance 1.
fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| random.uniform()).sum::<f64>() - 6.0
}
