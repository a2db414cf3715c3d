//! A network, its policy, and the image at hand.

use std::path::Path;

use image::RgbImage;
use offramp_executor::{About, MultiExitPlan, Stepper};
use offramp_policies::{AnyPolicy, Decision, PolicyState, ReadoutState, Rule};
use offramp_run::{ChosenPolicy, RuleCurve, RunFacts, known};

use crate::{
    Choice, ClassAnswer, CurvePoint, ExitAnswer, ExitFacts, ModelAnswer, RunFiles, WebError,
};

/// The most memory for a network's maps, in bytes; browsers give a page a few times as much.
const MOST_BYTES: usize = 512 << 20;

const TOP_K: usize = 5;

/// A trained network that answers for one image at a time.
///
/// ```no_run
/// # fn show(plan: &[u8], rgba: &[u8]) -> Result<(), offramp_web::WebError> {
/// let mut network = offramp_web::Network::new(plan)?;
/// network.begin(rgba, 640, 480)?;
/// while let Some(answer) = network.advance()? {
///     println!("exit {}: {}", answer.exit, answer.class);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Network {
    stepper: Stepper,
    about: About,
    /// The run's own rule.
    own: Rule,
    /// What it is called.
    origin: String,
    curve: Option<RuleCurve>,
    /// The rule in force.
    rule: Rule,
    walk: ImageState,
}

/// The state of one image.
#[derive(Debug, Default)]
struct ImageState {
    reading: ReadoutState,
    trail: PolicyState,
    stopped: bool,
}

impl Network {
    /// A network of the bytes of a plan; every image goes to the deepest exit.
    ///
    /// # Errors
    /// [`WebError::Plan`] for damaged bytes, [`WebError::Anonymous`] for a plan without a description of its network,
    /// [`WebError::Memory`] for one too large for a page.
    pub fn new(plan: &[u8]) -> Result<Self, WebError> {
        let plan = MultiExitPlan::from_bytes(plan)?
            .with_batch(1)
            .with_threads(1);
        let about = plan.about().ok_or(WebError::Anonymous)?.clone();
        let words = plan.segments().iter().map(|segment| {
            let parts = segment.program().parts();
            let outputs = parts.outputs.iter().map(|layout| layout.words());
            outputs.fold(parts.arena, usize::saturating_add)
        });
        let words = words.fold(0, usize::saturating_add);
        let needed = words.saturating_mul(4);
        if needed > MOST_BYTES {
            return Err(WebError::Memory {
                needed,
                most: MOST_BYTES,
            });
        }
        let own = fixed(plan.num_exits() - 1, plan.num_exits())?;
        Ok(Self {
            stepper: Stepper::new(plan),
            origin: "always the deepest exit".to_owned(),
            curve: None,
            rule: own.clone(),
            own,
            about,
            walk: ImageState::default(),
        })
    }

    /// What the network was made of.
    pub fn about(&self) -> &About {
        &self.about
    }

    fn exits(&self) -> usize {
        self.stepper.plan().num_exits()
    }

    /// Takes the policy and the curve of a run, and returns what was found.
    ///
    /// A damaged or foreign `eval.json` or `calibrate.json` is left out with a note.
    ///
    /// # Errors
    /// [`WebError::Document`] for a policy that is damaged or another network's.
    pub fn load_run(&mut self, files: &RunFiles) -> Result<ModelAnswer, WebError> {
        let (exits, classes) = (self.exits(), self.about.classes.len());
        let about = &self.about;
        let policy = files.policy.as_deref();
        if policy.is_some() {
            self.own = ChosenPolicy::choose_text(policy, &about.model, exits, classes)?.rule;
            self.origin = "policy.json of the run".to_owned();
        }
        self.rule = self.own.clone();
        let facts = RunFacts::parse(
            Path::new(""),
            files.calibrate.as_deref(),
            files.eval.as_deref(),
            &about.model,
            &about.macs,
            classes,
        );
        self.curve = facts.curve;
        Ok(self.answer(files, facts.top1.as_deref(), facts.notes))
    }

    fn answer(&self, files: &RunFiles, top1: Option<&[f64]>, notes: Vec<String>) -> ModelAnswer {
        let exit = |(exit, &macs): (usize, &u64)| ExitFacts {
            exit,
            macs,
            top1: top1.and_then(|list| known(*list.get(exit)?)),
        };
        let points = self.curve.iter().flat_map(RuleCurve::points);
        let points = points.map(|point| CurvePoint {
            mean_macs: point.mean_macs,
            top1: point.top1,
            exit_fractions: point.exit_fractions.clone(),
        });
        let about = &self.about;
        ModelAnswer {
            name: files.name.clone(),
            classes: about.classes.clone(),
            dataset: files.dataset.clone().unwrap_or_default(),
            image_size: [about.image[1], about.image[2]],
            image: [about.image[1], about.image[2]],
            exits: about.macs.iter().enumerate().map(exit).collect(),
            policy: self.origin.clone(),
            curve: points.collect(),
            sha256: about.model.clone(),
            notes,
        }
    }

    /// Sets when images stop from now on; returns a description of it.
    ///
    /// # Errors
    /// [`WebError::Several`], [`WebError::Exit`], [`WebError::Budget`], or [`WebError::Policy`] for a policy of
    /// another network.
    pub fn choose(&mut self, choice: &Choice) -> Result<String, WebError> {
        let (rule, words) = match (choice.max_macs, choice.exit, &choice.policy) {
            (None, None, None) => (self.own.clone(), self.origin.clone()),
            (Some(macs), None, None) => self.within(macs)?,
            (None, Some(exit), None) => self.at_exit(exit)?,
            (None, None, Some(policy)) => {
                let rule = self.read_alike(policy.clone());
                rule.check(self.exits(), self.about.classes.len())?;
                (rule, "a policy of the page".to_owned())
            }
            _ => return Err(WebError::Several),
        };
        self.rule = rule;
        Ok(words)
    }

    fn within(&self, macs: f64) -> Result<(Rule, String), WebError> {
        if let Some((point, rule)) = self.curve.as_ref().and_then(|curve| curve.within(macs)) {
            let words = format!("{:.0} MACs on average", point.mean_macs);
            return Ok((Rule::clone(rule), words));
        }
        let costs = &self.about.macs;
        match (0..costs.len()).rfind(|&exit| costs[exit] as f64 <= macs) {
            Some(exit) => self.at_exit(exit),
            None => Err(WebError::Budget {
                macs,
                least: costs.first().copied().unwrap_or_default(),
            }),
        }
    }

    fn at_exit(&self, exit: usize) -> Result<(Rule, String), WebError> {
        let last = self.exits() - 1;
        if exit <= last {
            Ok((
                self.read_alike(fixed(exit, last + 1)?.policy),
                format!("always exit {exit}"),
            ))
        } else {
            Err(WebError::Exit { exit, last })
        }
    }

    /// Logits are read as the run's own policy reads them.
    fn read_alike(&self, policy: AnyPolicy) -> Rule {
        Rule {
            policy,
            readout: self.own.readout.clone(),
        }
    }

    /// Starts with an image, resized to the network's size as in the rest of the program; transparency is
    /// dropped.
    ///
    /// # Shapes
    /// - `rgba`: `[height, width, 4]`
    ///
    /// # Errors
    /// [`WebError::Image`] for another number of bytes or no pixel.
    pub fn begin(&mut self, rgba: &[u8], width: u32, height: u32) -> Result<(), WebError> {
        let wrong = WebError::Image {
            width,
            height,
            bytes: rgba.len(),
        };
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 || pixels.checked_mul(4) != Some(rgba.len() as u64) {
            return Err(wrong);
        }
        let rgb = rgba
            .chunks_exact(4)
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]);
        let image = RgbImage::from_raw(width, height, rgb.collect()).ok_or(wrong)?;
        let planes = self.about.input().planes(image);
        self.walk = ImageState::default();
        self.stepper.begin(&self.about.normalise(&planes))?;
        Ok(())
    }

    /// Computes the next segment and returns the answer of its exit; nothing after the last.
    ///
    /// # Errors
    /// [`WebError::Executor`] when the weights overflow.
    pub fn advance(&mut self) -> Result<Option<ExitAnswer>, WebError> {
        let Some(logits) = self.stepper.advance()? else {
            return Ok(None);
        };
        let exit = self.walk.trail.exit();
        let view = (self.rule.readout).read(logits, &mut self.walk.reading);
        let decision = self.walk.trail.step(&self.rule.policy, &view);
        let stops = decision == Decision::Exit && !self.walk.stopped;
        self.walk.stopped |= stops;
        let label = view.evidence.prediction;
        Ok(Some(ExitAnswer {
            exit,
            class: self.about.classes[label].clone(),
            label,
            confidence: view.evidence.confidence,
            probability: view.evidence.confidence,
            macs: self.about.macs[exit],
            stops,
            top_k: ClassAnswer::top_k(&view, &self.about.classes, TOP_K),
        }))
    }
}

fn fixed(exit: usize, exits: usize) -> Result<Rule, WebError> {
    Ok(ChosenPolicy::fixed(exit, exits)?.rule)
}
