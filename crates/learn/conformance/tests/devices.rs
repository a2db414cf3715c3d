//! Every check on every device, each a test of its own: `wgpu/layers/conv2d-3x3`.
//!
//! Devices are those of the build that are there; with `OFFRAMP_DEVICES=cpu,wgpu` exactly these.

use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};
use offramp_conformance::{Check, Found, Numbers, Place, checks, devices, training};
use offramp_core::DeviceSpec;

fn main() {
    let arguments = Arguments::from_args();
    let required = std::env::var_os("OFFRAMP_DEVICES").is_some();
    let shared: Vec<Arc<Shared>> = checks().into_iter().map(Shared::new).collect();
    let mut trials = Vec::new();
    match devices() {
        Err(error) => trials.push(failing("OFFRAMP_DEVICES", error.to_string())),
        Ok(devices) => {
            for Found { spec, place } in devices {
                match place {
                    Ok(place) => trials.extend(of_device(spec, &place, &shared)),
                    Err(error) => {
                        println!("left out: {error}");
                        let trial = failing(&spec.to_string(), error.to_string());
                        trials.push(trial.with_ignored_flag(!required));
                    }
                }
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn failing(name: &str, error: String) -> Trial {
    Trial::test(name, || Err(Failed::from(error)))
}

/// A check and what it expects, computed when the first device asks.
struct Shared {
    check: Check,
    expected: OnceLock<Numbers>,
}

impl Shared {
    fn new(check: Check) -> Arc<Self> {
        let expected = OnceLock::new();
        Arc::new(Self { check, expected })
    }

    fn run(&self, place: &Place) -> Result<(), Failed> {
        let expected = self.expected.get_or_init(|| self.check.reference());
        let verdict = self.check.verdict(expected, place)?;
        println!("{}: {verdict}", self.check.name);
        Ok(())
    }
}

fn of_device(spec: DeviceSpec, place: &Place, shared: &[Arc<Shared>]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for shared in shared {
        let (name, shared, place) = (&shared.check.name, Arc::clone(shared), place.clone());
        trials.push(Trial::test(format!("{spec}/{name}"), move || {
            shared.run(&place)
        }));
    }
    if spec == DeviceSpec::Cpu {
        return trials;
    }
    for (name, run, pair) in training::trials(spec) {
        trials.push(Trial::test(format!("{spec}/{name}"), move || {
            let beside = run(pair)?;
            let (error, all) = (beside.judged()?, beside.error(usize::MAX));
            println!(
                "{name} {pair:?}: {error:.1e} over {} steps, {all:.1e} in all",
                training::STEPS
            );
            Ok(())
        }));
    }
    trials
}
