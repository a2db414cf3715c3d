//! An engine that needs no weights: for tests, and to look at the service and its page.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use offramp_graph::MapShape;
use offramp_policies::{
    Answer, AnyPolicy, Criterion, Decision, Ensemble, OperatingPoint, Readout, Rule, SampleState,
    SegmentQueue, next_segment,
};
use offramp_run::{ImageInput, RuleCurve};
use offramp_serve::{Engine, EngineError, LoadError, Model, RunFacts, Source};

pub(crate) const SIDE: usize = 8;
pub(crate) const CLASSES: [&str; 6] = ["red", "green", "blue", "cyan", "magenta", "yellow"];
pub(crate) const MACS: [u64; 3] = [1_000_000, 3_000_000, 9_000_000];

/// Names the colour of an image; deeper exits are surer.
#[derive(Clone)]
pub(crate) struct Toy {
    pub name: &'static str,
    /// Time of one stage.
    pub pace: Duration,
    pub batch: usize,
    pub trouble: Trouble,
    /// What puts the exits together.
    pub ensemble: Option<Ensemble>,
    /// How often it was loaded; the commit says so.
    pub loads: Arc<AtomicUsize>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    /// Loading fails from the second time on.
    Reload,
    /// Images that are black make the step fail, and are lost.
    BlackFails,
    /// Images that are black make the engine panic, and loading it again works at the second try.
    BlackPanics,
}

impl Default for Toy {
    fn default() -> Self {
        Self {
            name: "toy",
            pace: Duration::ZERO,
            batch: 16,
            trouble: Trouble::None,
            ensemble: None,
            loads: Arc::default(),
        }
    }
}

pub(crate) fn info() -> ImageInput {
    ImageInput {
        image: MapShape::new(3, SIDE, SIDE),
        resize: MapShape::new(3, SIDE, SIDE),
        mean: [0.5; 3],
        std: [0.25; 3],
    }
}

pub(crate) fn rule() -> Rule {
    let thresholds = vec![0.9, 0.7, 0.0];
    let policy = AnyPolicy::with_thresholds(Criterion::Confidence, thresholds);
    Rule::from(policy.expect("no threshold is NaN"))
}

fn curve() -> RuleCurve {
    let point = |(i, threshold): (usize, f64)| OperatingPoint {
        thresholds: vec![threshold, 0.8 * threshold, 0.0],
        exit_fractions: vec![1.0 - 0.2 * i as f64, 0.12 * i as f64, 0.08 * i as f64],
        mean_macs: 1e6 + 1.2e6 * i as f64,
        top1: 70.0 + 4.0 * (i as f64).sqrt() * 2.0,
    };
    let thresholds = [0.05, 0.6, 0.85, 0.95, 0.99];
    let points = thresholds.into_iter().enumerate().map(point).collect();
    RuleCurve::new(
        Criterion::Confidence,
        &Readout::default(),
        points,
        MACS.len(),
        CLASSES.len(),
    )
    .expect("the curve fits")
}

impl Source for Toy {
    fn name(&self) -> &str {
        self.name
    }

    fn load(&self) -> Result<Model, LoadError> {
        let loads = self.loads.fetch_add(1, Ordering::SeqCst);
        if loads > 0 && self.trouble == Trouble::Reload {
            return Err("the disk is on fire".into());
        }
        if loads == 1 && self.trouble == Trouble::BlackPanics {
            return Err("not yet".into());
        }
        let mut rule = rule();
        rule.readout.ensemble = self.ensemble.clone();
        Ok(Model {
            engine: Box::new(ToyEngine {
                toy: self.clone(),
                tickets: 0,
                computed: 0,
                waiting: vec![Vec::new(); MACS.len()],
            }),
            classes: CLASSES.map(str::to_owned).to_vec(),
            dataset: "colours".to_owned(),
            input: info(),
            macs: MACS.to_vec(),
            rule,
            origin: "confidence".to_owned(),
            sha256: "0".repeat(64),
            commit: Some(format!("load {loads}")),
            facts: RunFacts {
                curve: Some(curve()),
                top1: Some(vec![70.0, 80.0, 86.0]),
                notes: Vec::new(),
            },
        })
    }
}

struct ToyEngine {
    toy: Toy,
    tickets: u64,
    computed: usize,
    waiting: Vec<Vec<Sample>>,
}

#[derive(Clone)]
struct Sample {
    ticket: u64,
    /// Mean of each channel, in deviations.
    means: [f32; 3],
    rule: Arc<Rule>,
    state: SampleState,
}

/// What exit `exit` says of a colour.
pub(crate) fn logits(means: [f32; 3], exit: usize) -> Vec<f32> {
    let [r, g, b] = means;
    let sharp = [1.0, 2.0, 4.0][exit];
    let all = [
        r - g.max(b),
        g - r.max(b),
        b - r.max(g),
        g.min(b) - r,
        r.min(b) - g,
        r.min(g) - b,
    ];
    all.iter().map(|z| sharp * z).collect()
}

impl Engine for ToyEngine {
    fn admit(&mut self, pixels: &[f32], rule: &Arc<Rule>) -> Result<u64, EngineError> {
        if pixels.len() != 3 * SIDE * SIDE || self.room() == 0 {
            return Err(EngineError("no room, or another size".to_owned()));
        }
        rule.check(MACS.len(), CLASSES.len())
            .map_err(EngineError::new)?;
        let mean = |channel: usize| {
            let plane = &pixels[channel * SIDE * SIDE..][..SIDE * SIDE];
            plane.iter().sum::<f32>() / plane.len() as f32
        };
        let ticket = self.tickets;
        self.tickets += 1;
        self.waiting[0].push(Sample {
            ticket,
            means: [0, 1, 2].map(mean),
            rule: Arc::clone(rule),
            state: SampleState::default(),
        });
        Ok(ticket)
    }

    fn room(&self) -> usize {
        self.toy.batch - self.waiting[0].len()
    }

    fn pending(&self) -> usize {
        self.waiting.iter().map(Vec::len).sum()
    }

    fn step(&mut self) -> Result<Vec<(u64, Answer)>, EngineError> {
        let queues = self.waiting.iter().map(|waiting| SegmentQueue {
            samples: waiting.len(),
            waited: 0,
        });
        let queues: Vec<SegmentQueue> = queues.collect();
        let Some(exit) = next_segment(&queues, self.toy.batch) else {
            return Ok(Vec::new());
        };
        std::thread::sleep(self.toy.pace);
        let samples = std::mem::take(&mut self.waiting[exit]);
        self.computed = samples.len();
        let black = |sample: &Sample| sample.means.iter().all(|&mean| mean < -1.9);
        let mut failed = None;
        let mut answers = Vec::new();
        for mut sample in samples {
            if black(&sample) && self.toy.trouble == Trouble::BlackPanics {
                panic!("black");
            }
            if black(&sample) && self.toy.trouble == Trouble::BlackFails {
                failed = Some(EngineError("the logits overflow".to_owned()));
                continue;
            }
            let logits = logits(sample.means, exit);
            let (shown, decision) = sample.state.step(&sample.rule, &logits);
            match decision {
                Decision::Exit => {
                    answers.push((sample.ticket, Answer::new(exit, &shown, &MACS, &logits)));
                }
                Decision::Continue => self.waiting[exit + 1].push(sample),
            }
        }
        match failed {
            None => Ok(answers),
            // Answers of a step that failed are lost too: the service must cope with that.
            Some(error) => Err(error),
        }
    }

    fn batch(&self) -> Option<usize> {
        Some(self.computed)
    }
}
