//! The cost of the frontier search, and its gain over MSDNet's on rows it has not seen.
//!
//! `cargo run --release -p offramp-policies --example frontier [ROWS] [EXITS]`

use std::time::Instant;

use offramp_policies::{
    AnyPolicy, Criterion, FitRows, FitSplit, PolicyError, ScoreRows, ScoreSplit, Target,
    budget_curve, evaluate, fit, frontier,
};

#[path = "../tests/support/mod.rs"]
mod support;
use support::{Random, synthetic};

fn main() -> Result<(), PolicyError> {
    let mut sizes = std::env::args().skip(1).map(|size| size.parse());
    let rows = sizes.next().and_then(Result::ok).unwrap_or(10_000);
    let exits = sizes.next().and_then(Result::ok).unwrap_or(4).max(2);
    let macs: Vec<u64> = (1..=exits as u64).map(|k| 1_000_000 * k * k).collect();
    let val = FitRows::new(FitSplit::Val, synthetic(&mut Random(1), rows, exits));
    let test = ScoreRows::new(ScoreSplit::Test, synthetic(&mut Random(2), 20_000, exits));

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
        println!("{criterion:<11} {points:>6} {seconds:>14.3} {on_val:>27.2} {on_test:>6.2}");
    }
    Ok(())
}
