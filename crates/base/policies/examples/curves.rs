//! Accuracy against cost for both searches and all policies, and how often guarantees fail, from the
//! logits of a run.
//!
//! ```text
//! offramp eval RUN --split val --logits val.safetensors
//! offramp eval RUN --split test --logits test.safetensors
//! cargo run --release -p offramp-policies --example curves -- val.safetensors test.safetensors OUT [MS ...]
//! ```
//!
//! `MS`: milliseconds from the image to each exit, as `--example exit_times` of `offramp-infer` prints them.
//! Writes `curve.csv`, `curve.svg`, `policies.md` and `risk.md` into the folder `OUT`.

use std::{error::Error, fmt::Write, fs, path::Path};

use offramp_policies::{
    AnyPolicy, Criterion, ExitTable, FitRows, FitSplit, Guarantee, PolicyError, Promise, RiskLoss,
    ScoreRows, ScoreSplit, Target, budget_curve, control, ensembles, evaluate, fit,
    fit_temperatures, losses, registry, threshold_path,
};
use safetensors::SafeTensors;

#[path = "../tests/support/mod.rs"]
mod support;
use support::Random;

const DRAWS: usize = 1000;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [val, test, out, ms @ ..] = args.as_slice() else {
        return Err("usage: curves VAL.safetensors TEST.safetensors OUT [MS ...]".into());
    };
    let out = Path::new(out);
    fs::create_dir_all(out)?;
    let ms = ms
        .iter()
        .map(|ms| ms.parse())
        .collect::<Result<Vec<f64>, _>>()?;
    let (val, macs) = read(Path::new(val))?;
    let (test, _) = read(Path::new(test))?;
    let val = FitRows::new(FitSplit::Val, val);
    let test = ScoreRows::new(ScoreSplit::Test, test);
    let points = curves(&val, &test, &macs)?;
    fs::write(out.join("curve.csv"), csv(&points, &macs, &ms))?;
    fs::write(out.join("curve.svg"), svg(&points, &macs))?;
    fs::write(out.join("risk.md"), risk(test.table(), &macs)?)?;
    fs::write(out.join("policies.md"), policies(val, test, &macs)?)?;
    Ok(())
}

fn read(path: &Path) -> Outcome<(ExitTable, Vec<u64>)> {
    let bytes = fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let whole = |name: &str| -> Outcome<Vec<u64>> {
        let numbers = file.tensor(name)?.data().chunks_exact(8);
        Ok(numbers
            .map(|b| u64::from_le_bytes(b.try_into().unwrap_or_default()))
            .collect())
    };
    let (labels, macs) = (whole("labels")?, whole("macs")?);
    let mut logits = Vec::new();
    for exit in 0..macs.len() {
        let numbers = file.tensor(&format!("exit{exit}"))?.data().chunks_exact(4);
        logits.push(
            numbers
                .map(|b| f32::from_le_bytes(b.try_into().unwrap_or_default()))
                .collect(),
        );
    }
    let classes = file.tensor("exit0")?.shape()[1];
    let labels = labels.into_iter().map(|label| label as usize).collect();
    Ok((ExitTable::new(logits, classes, labels)?, macs))
}

/// One policy on the test rows.
struct Point {
    search: &'static str,
    val_macs: f64,
    val_top1: f64,
    fractions: Vec<f64>,
    macs: f64,
    top1: f64,
}

/// MSDNet's 39 budgets, and ours at the cost of each on the validation rows.
fn curves(val: &FitRows, test: &ScoreRows, macs: &[u64]) -> Outcome<Vec<Point>> {
    let mut points = Vec::new();
    let mut add = |search, policy: &AnyPolicy| -> Result<f64, PolicyError> {
        let on_val = evaluate(policy, val.table(), macs)?;
        let on_test = evaluate(policy, test.table(), macs)?;
        points.push(Point {
            search,
            val_macs: on_val.mean_macs,
            val_top1: on_val.top1,
            fractions: on_test.exit_fractions,
            macs: on_test.mean_macs,
            top1: on_test.top1,
        });
        Ok(on_val.mean_macs)
    };
    for row in budget_curve(val, test, Criterion::Confidence, macs)?.rows {
        let theirs = AnyPolicy::with_thresholds(Criterion::Confidence, row.thresholds)?;
        let budget = add("MSDNet", &theirs)?;
        let ours = fit(val, Criterion::Confidence, macs, Target::MaxMacs(budget))?;
        add("ours", &ours.policy)?;
    }
    for exit in 0..macs.len() {
        let mut thresholds = vec![Criterion::Confidence.never(); exit];
        thresholds.resize(macs.len(), Criterion::Confidence.always());
        let policy = AnyPolicy::with_thresholds(Criterion::Confidence, thresholds)?;
        add("one exit", &policy)?;
    }
    Ok(points)
}

fn csv(points: &[Point], macs: &[u64], ms: &[f64]) -> String {
    let mut text =
        "search,val_macs,val_top1,test_macs,test_share_of_full,test_top1,test_ms\n".to_owned();
    let full = macs[macs.len() - 1] as f64;
    for p in points {
        let time: f64 = p
            .fractions
            .iter()
            .zip(ms)
            .map(|(share, ms)| share * ms)
            .sum();
        let time = if ms.is_empty() {
            String::new()
        } else {
            format!("{time:.4}")
        };
        let _ = writeln!(
            text,
            "{},{:.0},{:.2},{:.0},{:.4},{:.2},{time}",
            p.search,
            p.val_macs,
            p.val_top1,
            p.macs,
            p.macs / full,
            p.top1
        );
    }
    text
}

/// Every policy and ensemble at three costs and at one drop, thresholds from validation rows.
fn policies(mut val: FitRows, mut test: ScoreRows, macs: &[u64]) -> Outcome<String> {
    let full = macs[macs.len() - 1] as f64;
    let mut text = "| before | policy | 45 % of the MACs | 60 % | 80 % | at most 1 point |\n|---|---|---|---|---|---|\n".to_owned();
    let mut line = |before: &str, name: &str, cells: Vec<String>| {
        let _ = writeln!(text, "| {before} | {name} | {} |", cells.join(" | "));
    };
    let targets = [0.45, 0.6, 0.8].map(|share| Target::MaxMacs(share * full));
    let targets = [&targets[..], &[Target::MaxDrop(1.0)]].concat();
    let mut befores = vec![("", None), ("temperatures", None)];
    befores.extend(ensembles().iter().map(|entry| (entry.name, Some(entry))));
    for (before, entry) in befores {
        if before == "temperatures" {
            let temperatures = fit_temperatures(&val);
            val = val.with_temperatures(&temperatures)?;
            test = test.with_temperatures(&temperatures)?;
        }
        if let Some(entry) = entry {
            let ensemble = (entry.fit)(&val)?;
            val = val.with_ensemble(&ensemble)?;
            test = test.with_ensemble(&ensemble)?;
        }
        for policy in registry().into_iter().filter(|policy| !policy.timed) {
            if !before.is_empty() && policy.name != "confidence" && policy.name != "fixed-exit" {
                continue;
            }
            let mut cells = Vec::new();
            for &target in &targets {
                cells.push(match (policy.fit)(&val, macs, target) {
                    Ok(fitted) => {
                        let point = evaluate(&fitted.policy, test.table(), macs)?;
                        format!(
                            "{:.2} % at {:.1} %",
                            point.top1,
                            100.0 * point.mean_macs / full
                        )
                    }
                    Err(_) => "-".to_owned(),
                });
            }
            line(before, policy.name, cells);
        }
    }
    Ok(text)
}

const METHODS: [&str; 3] = [
    "learn then test, 95 %",
    "conformal, on average",
    "none: the rows' own mean",
];

/// 1,000 draws of `n` rows from the test rows, which stand for the population.
fn risk(population: &ExitTable, macs: &[u64]) -> Outcome<String> {
    let (exits, classes) = (population.exits(), population.classes());
    let path = threshold_path(Criterion::Confidence, exits, classes, 100)?;
    let full = macs[exits - 1] as f64;
    let costs = (path.iter())
        .map(|policy| Ok(evaluate(policy, population, macs)?.mean_macs / full))
        .collect::<Result<Vec<f64>, PolicyError>>()?;
    let settings = [
        (RiskLoss::Drop, 0.01),
        (RiskLoss::Drop, 0.02),
        (RiskLoss::Harm, 0.02),
        (RiskLoss::Disagreement, 0.1),
    ];
    let known = settings
        .iter()
        .map(|&(loss, _)| {
            let all = path.iter().map(|policy| losses(policy, population, loss));
            all.collect::<Result<Vec<_>, _>>()
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut text = "| rows | loss | level | method | failed, of 1,000 | mean risk | worst risk | mean cost of full |\n|---|---|---|---|---|---|---|---|\n".to_owned();
    for n in [500, 2000] {
        let mut random = Random(7);
        let mut chosen = vec![[const { Vec::new() }; METHODS.len()]; settings.len()];
        for _ in 0..DRAWS {
            let drawn: Vec<usize> = (0..n).map(|_| random.below(population.samples())).collect();
            let rows = draw(population, &drawn)?;
            for ((&(loss, level), chosen), known) in settings.iter().zip(&mut chosen).zip(&known) {
                let promises = [Promise::Probability(0.95), Promise::Mean];
                for (promise, chosen) in promises.into_iter().zip(&mut *chosen) {
                    let guarantee = Guarantee {
                        loss,
                        level,
                        promise,
                    };
                    let found = control(&rows, &path, macs, guarantee)?.policy;
                    chosen.extend(path.iter().position(|policy| *policy == found));
                }
                // The boldest that looks good on the rows.
                let fine = known.iter().rposition(|losses| {
                    drawn.iter().map(|&i| f64::from(losses[i])).sum::<f64>() <= level * n as f64
                });
                chosen[2].push(fine.unwrap_or(0));
            }
        }
        for ((&(loss, level), chosen), known) in settings.iter().zip(&chosen).zip(&known) {
            let mean = |losses: &Vec<i8>| {
                losses.iter().map(|&l| f64::from(l)).sum::<f64>() / losses.len() as f64
            };
            let risks: Vec<f64> = known.iter().map(mean).collect();
            for (method, chosen) in METHODS.iter().zip(chosen) {
                let failed = chosen.iter().filter(|&&i| risks[i] > level).count();
                let average = |values: &[f64]| {
                    chosen.iter().map(|&i| values[i]).sum::<f64>() / chosen.len() as f64
                };
                let worst = chosen
                    .iter()
                    .map(|&i| risks[i])
                    .fold(f64::NEG_INFINITY, f64::max);
                let _ = writeln!(
                    text,
                    "| {n} | {loss} | {level} | {method} | {failed} | {:.4} | {worst:.4} | {:.1} % |",
                    average(&risks),
                    100.0 * average(&costs)
                );
            }
        }
    }
    Ok(text)
}

fn draw(population: &ExitTable, chosen: &[usize]) -> Result<FitRows, PolicyError> {
    let classes = population.classes();
    let logits = (0..population.exits()).map(|exit| {
        let logits = population.logits(exit);
        chosen
            .iter()
            .flat_map(|&i| &logits[i * classes..][..classes])
            .copied()
            .collect()
    });
    let labels = chosen.iter().map(|&i| population.labels()[i]).collect();
    Ok(FitRows::new(
        FitSplit::Val,
        ExitTable::new(logits.collect(), classes, labels)?,
    ))
}

/// A drawing of the curves: share of the full MACs to the right, top-1 upwards.
fn svg(points: &[Point], macs: &[u64]) -> String {
    const SIZE: (f64, f64) = (640.0, 400.0);
    const EDGE: f64 = 56.0;
    let full = macs[macs.len() - 1] as f64;
    let bounds = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
            (low.min(v), high.max(v))
        })
    };
    let (left, right) = bounds(&mut points.iter().map(|p| 100.0 * p.macs / full));
    let (low, high) = bounds(&mut points.iter().map(|p| p.top1));
    let (low, high) = (low.floor(), high.ceil());
    let (left, right) = ((left / 10.0).floor() * 10.0, (right / 10.0).ceil() * 10.0);
    let x = |share: f64| EDGE + (share - left) / (right - left) * (SIZE.0 - 2.0 * EDGE);
    let y = |top1: f64| SIZE.1 - EDGE - (top1 - low) / (high - low) * (SIZE.1 - 2.0 * EDGE);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        SIZE.0, SIZE.1
    );
    for i in 0..=((right - left) / 10.0) as usize {
        let share = left + 10.0 * i as f64;
        let _ = writeln!(
            text,
            "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1}\" y2=\"{2}\" stroke=\"#ddd\"/><text x=\"{0:.1}\" y=\"{3}\" text-anchor=\"middle\">{share} %</text>",
            x(share),
            EDGE,
            SIZE.1 - EDGE,
            SIZE.1 - EDGE + 18.0
        );
    }
    for top1 in (low as i64)..=(high as i64) {
        let _ = writeln!(
            text,
            "<line x1=\"{1}\" x2=\"{2}\" y1=\"{0:.1}\" y2=\"{0:.1}\" stroke=\"#ddd\"/><text x=\"{3}\" y=\"{4:.1}\" text-anchor=\"end\">{top1} %</text>",
            y(top1 as f64),
            EDGE,
            SIZE.0 - EDGE,
            EDGE - 6.0,
            y(top1 as f64) + 4.0
        );
    }
    for (row, (search, colour)) in [
        ("MSDNet", "#c0392b"),
        ("ours", "#1f6fb2"),
        ("one exit", "#333"),
    ]
    .iter()
    .enumerate()
    {
        let mut own: Vec<&Point> = points.iter().filter(|p| p.search == *search).collect();
        own.sort_by(|a, b| a.macs.total_cmp(&b.macs));
        let at: Vec<String> = own
            .iter()
            .map(|p| format!("{:.1},{:.1}", x(100.0 * p.macs / full), y(p.top1)))
            .collect();
        let dash = if *search == "one exit" {
            " stroke-dasharray=\"4 3\""
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"{dash}/>",
            at.join(" ")
        );
        for at in &at {
            if let Some((cx, cy)) = at.split_once(',') {
                let _ = writeln!(
                    text,
                    "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"2.2\" fill=\"{colour}\"/>"
                );
            }
        }
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" fill=\"{colour}\">{search}</text>",
            SIZE.0 - EDGE - 70.0,
            SIZE.1 - EDGE - 50.0 + 16.0 * row as f64
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">mean cost, share of the full network's MACs</text>\n<text x=\"{}\" y=\"24\">top-1 on test images</text>\n</svg>",
        SIZE.0 / 2.0,
        SIZE.1 - 14.0,
        EDGE
    );
    text
}
