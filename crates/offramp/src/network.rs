//! A network that answers images and stops where its policy says.

use std::path::Path;
use std::sync::Arc;

use offramp_executor::{About, MultiExitPlan, Stepper, Stream};
use offramp_policies::Rule;
use offramp_run::{ChosenPolicy, ImageInput};

use crate::{Error, Image, Prediction};

/// A compiled network with exits, and the policy that decides at which exit an image stops.
///
/// Made by [`load`](crate::load); the counterpart of `offramp.Network` in Python.
#[derive(Debug)]
pub struct Network {
    stream: Stream,
    about: About,
    rule: Arc<Rule>,
    policy: String,
    /// Its memory is taken when all exits are first asked for.
    stepper: Option<Stepper>,
}

impl Network {
    pub(crate) fn new(
        plan: MultiExitPlan,
        about: About,
        policy: ChosenPolicy,
    ) -> Result<Self, Error> {
        policy.rule.check(plan.num_exits(), about.classes.len())?;
        Ok(Self {
            stream: Stream::new(plan, about.macs.clone())?,
            about,
            rule: Arc::new(policy.rule),
            policy: policy.origin,
            stepper: None,
        })
    }

    /// Answers an image: the path of a file, the bytes of one, or an [`RgbImage`](crate::RgbImage).
    ///
    /// Segments behind the exit where the policy stops are not computed.
    ///
    /// # Errors
    /// [`Error::Decode`] for a file that is missing or damaged, [`Error::EmptyImage`], and [`Error::Executor`]
    /// when the weights overflow for the image.
    pub fn predict<'a>(&mut self, image: impl Into<Image<'a>>) -> Result<Prediction, Error> {
        let mut answers = self.predict_all([image])?;
        Ok(answers.pop().expect("an image has an answer"))
    }

    /// Answers images, in their order; as many as the batch are decoded and computed together.
    ///
    /// ```no_run
    /// let mut net = offramp::load("runs/demo")?;
    /// for answer in net.predict_all(["cat.png", "dog.jpg"])? {
    ///     println!("{} at exit {}", answer.class, answer.exit);
    /// }
    /// # Ok::<(), offramp::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`predict`](Self::predict), for the first image that fails.
    pub fn predict_all<'a, I>(&mut self, images: I) -> Result<Vec<Prediction>, Error>
    where
        I: IntoIterator,
        I::Item: Into<Image<'a>>,
    {
        let input = self.input();
        let batch = self.stream.plan().batch();
        let mut images = images.into_iter();
        let mut predictions = Vec::new();
        loop {
            let mut planes = Vec::new();
            for image in images.by_ref().take(batch) {
                planes.extend(image.into().planes(&input)?);
            }
            if planes.is_empty() {
                return Ok(predictions);
            }
            let answers = self.stream.run(&input.normalise(&planes), &self.rule)?;
            let classes = &self.about.classes;
            predictions.extend(answers.into_iter().map(|a| Prediction::new(a, classes)));
        }
    }

    /// Logits of all exits for an image, `[exits][C]`, before any temperature or ensemble.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn all_exits<'a>(&mut self, image: impl Into<Image<'a>>) -> Result<Vec<Vec<f32>>, Error> {
        let input = self.input();
        let pixels = input.normalise(&image.into().planes(&input)?);
        let plan = self.stream.plan();
        let stepper = (self.stepper).get_or_insert_with(|| Stepper::new(plan.clone()));
        stepper.begin(&pixels)?;
        let mut exits = Vec::with_capacity(self.about.macs.len());
        while let Some(logits) = stepper.advance()? {
            exits.push(logits.to_vec());
        }
        Ok(exits)
    }

    /// From now on every image leaves at `exit`, counted from 0.
    ///
    /// # Errors
    /// [`Error::Policy`] for an exit that does not exist.
    pub fn set_exit(&mut self, exit: usize) -> Result<(), Error> {
        self.set(ChosenPolicy::fixed(exit, self.num_exits())?);
        Ok(())
    }

    /// From now on the policy of a file decides, a `policy.json` of the same network.
    ///
    /// # Errors
    /// [`Error::Document`] for a file that is missing, damaged, or of another network.
    pub fn set_policy(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        let (path, about) = (path.as_ref(), &self.about);
        let (exits, classes) = (about.macs.len(), about.classes.len());
        // The file is given, so that the folder of a run is not looked at.
        let chosen = ChosenPolicy::choose(Path::new(""), Some(path), &about.model, exits, classes)?;
        self.set(chosen);
        Ok(())
    }

    fn set(&mut self, chosen: ChosenPolicy) {
        self.rule = Arc::new(chosen.rule);
        self.policy = chosen.origin;
    }

    /// Where the policy comes from: its file, or which exit it always takes.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Names of the classes, in the order of the logits.
    pub fn classes(&self) -> &[String] {
        &self.about.classes
    }

    /// Height and width of an image as the network reads it.
    pub fn image_size(&self) -> (usize, usize) {
        let [_, height, width] = self.about.image;
        (height, width)
    }

    /// How an image file becomes an input of the network.
    pub fn input(&self) -> ImageInput {
        self.about.input()
    }

    /// Multiply-accumulates to each exit.
    pub fn macs(&self) -> &[u64] {
        &self.about.macs
    }

    /// Number of exits.
    pub fn num_exits(&self) -> usize {
        self.about.macs.len()
    }

    /// SHA-256 of the weights, as in `model.json` and `policy.json`.
    pub fn sha256(&self) -> &str {
        &self.about.model
    }
}
