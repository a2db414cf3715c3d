//! Checks of the options of `calibrate`, and the targets that they set.

use offramp_policies::{Guarantee, PolicyEntry, Promise, RiskLoss, Target, registry};

use crate::args::CalibrateArgs;
use crate::error::CliError;

/// Without a target, `policy.json` gets the cheapest thresholds at most this many points below the
/// deepest exit.
const DEFAULT_DROP: f64 = 1.0;

/// Refuses combinations that make no sense, before anything is computed.
pub(crate) fn check(args: &CalibrateArgs, entry: &PolicyEntry) -> Result<(), CliError> {
    let usage = |message: String| Err(CliError::Usage(message));
    if let Some(limit) = args.max_mean_ms
        && (entry.timed || !(limit.is_finite() && limit > 0.0))
    {
        return usage(format!(
            "--max-mean-ms {limit}: write a time above 0; --policy {} takes --max-ms",
            timed_names()
        ));
    }
    if entry.timed && args.max_ms.is_none() {
        return usage(format!(
            "--policy {} needs a limit for one image, --max-ms",
            entry.name
        ));
    }
    if !entry.timed && args.max_ms.is_some() {
        return usage(format!(
            "--max-ms is for --policy {}; --policy {} takes --max-macs or --max-drop",
            timed_names(),
            entry.name
        ));
    }
    if args.guarantee.is_some() && entry.criterion.is_none() {
        return usage(format!(
            "--guarantee is for policies with thresholds ({}), not for {}",
            names(|entry| entry.criterion.is_some()),
            entry.name
        ));
    }
    Ok(())
}

/// The policies that are made from measured times.
fn timed_names() -> String {
    names(|entry| entry.timed)
}

fn names(choose: impl Fn(&PolicyEntry) -> bool) -> String {
    let chosen: Vec<&str> = (registry().iter())
        .filter(|entry| choose(entry))
        .map(|entry| entry.name)
        .collect();
    chosen.join(", ")
}

/// `95%`, `0.95` or `mean`, with the drop in accuracy as loss.
pub(crate) fn guarantee(args: &CalibrateArgs) -> Result<Option<Guarantee>, CliError> {
    let Some(text) = args.guarantee.as_deref() else {
        return Ok(None);
    };
    let promise = match text.trim() {
        "mean" => Promise::Mean,
        text => {
            let (number, unit) = match text.strip_suffix('%') {
                Some(number) => (number, 100.0),
                None => (text, 1.0),
            };
            match number.trim().parse::<f64>().map(|number| number / unit) {
                Ok(p) if p > 0.0 && p < 1.0 => Promise::Probability(p),
                _ => {
                    return Err(CliError::Usage(format!(
                        "--guarantee {text:?}: write a probability below 1, such as 95%, or `mean`"
                    )));
                }
            }
        }
    };
    Ok(Some(Guarantee {
        loss: RiskLoss::Drop,
        level: args.max_drop.unwrap_or(DEFAULT_DROP) / 100.0,
        promise,
    }))
}

/// What the thresholds shall keep to.
pub(crate) fn target(args: &CalibrateArgs, full_macs: u64) -> Result<Target, CliError> {
    match (&args.max_macs, args.max_drop) {
        (Some(text), _) => Ok(Target::MaxMacs(parse_macs(text, full_macs)?)),
        (None, points) => Ok(Target::MaxDrop(points.unwrap_or(DEFAULT_DROP))),
    }
}

/// `12000000`, `12M`, `1.2G` or `60%` of the full network.
fn parse_macs(text: &str, full: u64) -> Result<f64, CliError> {
    let text = text.trim();
    let split = text.len() - usize::from(text.ends_with(['k', 'K', 'M', 'G', '%']));
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "k" | "K" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "%" => full as f64 / 100.0,
        _ => 1.0,
    };
    match number.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value * unit),
        _ => Err(CliError::Usage(format!(
            "--max-macs {text:?}: write a positive number, 30M, 1.2G, or 60% of the full network"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read() {
        for (text, value) in [
            ("12000000", 12e6),
            ("12M", 12e6),
            ("1.5G", 1.5e9),
            ("60%", 600.0),
        ] {
            assert_eq!(parse_macs(text, 1000).unwrap(), value);
        }
        for text in ["", "M", "-3", "NaN", "inf", "3X", "%"] {
            assert!(
                parse_macs(text, 1000)
                    .unwrap_err()
                    .to_string()
                    .contains("60%"),
                "{text}"
            );
        }
    }
}
