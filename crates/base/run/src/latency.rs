//! `latency.json`: how long an image takes to each exit, measured on some machine.

use serde::{Deserialize, Serialize};

use crate::check::json;
use crate::document::{Document, Fault};

/// How long an image takes that leaves at each exit, measured on some machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// The machine, in words.
    pub hardware: String,
    /// Milliseconds for one image, by the exit at which it leaves, shallowest first.
    pub exits_ms: Vec<f64>,
}

impl Latency {
    /// Refuses the times of another network than one with `exits` exits.
    ///
    /// # Errors
    /// [`Fault`] at `exits_ms`.
    pub fn check_exits(&self, exits: usize) -> Result<(), Fault> {
        match self.exits_ms.len() {
            found if found != exits => Err(Fault::new(
                "exits_ms",
                format!("a list of {found}"),
                format!("it has {found} exits, the run {exits}"),
            )),
            _ => Ok(()),
        }
    }
}

impl Document for Latency {
    const FILE: &'static str = "latency.json";
    const NAME: &'static str = "measurement of times";
    const FORMAT: u32 = 1;
    const REMEDY: &'static str = "run `offramp bench` again";

    fn check(&self) -> Result<(), Fault> {
        if self.exits_ms.is_empty() {
            return Err(Fault::new("exits_ms", "[]", "a network has exits"));
        }
        for (exit, &ms) in self.exits_ms.iter().enumerate() {
            if !(ms.is_finite() && ms > 0.0) {
                let rule = format!("{ms} ms is no time");
                return Err(Fault::new(format!("exits_ms[{exit}]"), json(ms), rule));
            }
        }
        Ok(())
    }
}
