//! The curve and the chosen policy, for people.

use offramp_policies::{Criterion, OperatingPoint, Promise};

use offramp_run::{Calibration, Full};

use crate::table;

/// Every `step`-th row of the curve, the chosen policy and what it buys, for people.
pub(crate) fn print(document: &Calibration, step: usize) {
    let (Some(full), Some(scored)) = (document.full, &document.scored) else {
        return;
    };
    let criterion = document.policy.criterion;
    match criterion {
        Some(criterion) => {
            println!("{criterion} thresholds, fitted on validation rows, scored on test rows")
        }
        None => println!("fitted on validation rows, scored on test rows"),
    }
    let rows: Vec<Vec<String>> = (document.rows.iter().step_by(step))
        .map(|point| cells(criterion, point, full))
        .collect();
    let header = [
        "mean MACs",
        "of full",
        "top-1",
        "leave at exit",
        "thresholds",
    ];
    print!("{}", table::render(&header, &rows));
    println!(
        "full network: {} MACs, top-1 {:.2} %",
        table::macs(full.macs as f64),
        full.top1
    );
    println!(
        "policy.json:  {} MACs ({:.1} % of full), top-1 {:.2} % ({:+.2} points)",
        table::macs(scored.mean_macs),
        100.0 * scored.mean_macs / full.macs as f64,
        scored.top1,
        scored.top1 - full.top1,
    );
    if let Some(guarantee) = document.policy.guarantee {
        let sense = match guarantee.promise {
            Promise::Probability(p) => format!("with probability {p:.4}"),
            Promise::Mean => "on average over validation rows".to_owned(),
        };
        println!(
            "guarantee:    at most {:.2} points below the full network on new images, {sense}",
            100.0 * guarantee.level
        );
    }
}

fn cells(criterion: Option<Criterion>, point: &OperatingPoint, full: Full) -> Vec<String> {
    let fractions = point.exit_fractions.iter().map(|n| format!("{n:.2}"));
    let early = point.thresholds.len().saturating_sub(1);
    let thresholds = point.thresholds[..early].iter().map(|&t| match t {
        t if criterion.is_some_and(|c| t == c.never()) => "never".to_owned(),
        t if criterion.is_some_and(|c| t == c.always()) => "always".to_owned(),
        t => format!("{t:.3}"),
    });
    let join = |texts: Vec<String>| texts.join(" ");
    vec![
        table::macs(point.mean_macs),
        format!("{:.1} %", 100.0 * point.mean_macs / full.macs as f64),
        format!("{:.2} %", point.top1),
        join(fractions.collect()),
        join(thresholds.collect()),
    ]
}
