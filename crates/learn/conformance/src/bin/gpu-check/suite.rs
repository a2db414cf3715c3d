//! All checks, one line each.

use std::panic;
use std::time::Instant;

use offramp_conformance::training::{self, Beside};
use offramp_conformance::{Place, checks};
use offramp_core::DeviceSpec;

/// Runs the checks whose name contains `only`; whether all pass.
pub(crate) fn run(spec: DeviceSpec, place: &Place, only: &str) -> bool {
    // A check that panics says so in its line.
    panic::set_hook(Box::new(|_| {}));
    let start = Instant::now();
    let (mut passed, mut failed) = (0, 0);
    let mut tell = |name: &str, verdict: Result<String, String>| {
        let (word, text) = match verdict {
            Ok(text) => ("ok    ", text),
            Err(text) => ("FAILED", text),
        };
        println!("{word} {name:<40} {text}");
        match word {
            "FAILED" => failed += 1,
            _ => passed += 1,
        }
    };
    for check in checks().iter().filter(|check| check.name.contains(only)) {
        let verdict = check.verdict(&check.reference(), place);
        let text = verdict.map(|verdict| verdict.to_string());
        tell(&check.name, text);
    }
    if spec != DeviceSpec::Cpu {
        for (name, run, pair) in training::trials(spec) {
            if name.contains(only) {
                tell(name, run(pair).and_then(judged));
            }
        }
    }
    let _ = panic::take_hook();
    println!(
        "{passed} passed, {failed} failed, {:.0} s",
        start.elapsed().as_secs_f64()
    );
    if passed + failed == 0 {
        println!("no check has {only:?} in its name");
    }
    passed > 0 && failed == 0
}

fn judged(beside: Beside) -> Result<String, String> {
    let error = beside.judged()?;
    Ok(format!(
        "losses of {} steps within {error:.1e}",
        training::STEPS
    ))
}
