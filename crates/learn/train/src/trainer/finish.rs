//! The end of a run: choosing the model, writing it, scoring it.

use burn::module::Module;
use offramp_core::MapShape;
use offramp_data::{ImageShape, Split};
use offramp_heads::{MODEL_FORMAT, ModelCard, MultiExitNet, save_model};
use offramp_run::Document;

use super::Outcome;
use super::session::Session;
use super::state::apply;
use crate::checkpoint;
use crate::metrics::{FinalRecord, Record};
use crate::{RunError, TrainError};

impl Session<'_> {
    /// Writes the model and its score. The weights are those of the best validation, or the last
    /// ones where there was no validation or the recipe asks for them; the test images only score.
    pub(super) fn finish(mut self) -> Result<Outcome, TrainError> {
        let (net, model_step) = self.model()?;
        let map = |shape: ImageShape| MapShape::new(shape.channels, shape.height, shape.width);
        let card = ModelCard {
            format: MODEL_FORMAT,
            net: self.model.clone(),
            classes: self.splits.info.classes.clone(),
            image: map(self.splits.info.shape),
            resize: map(self.splits.info.stored_shape()),
            mean: self.splits.info.mean,
            std: self.splits.info.std,
            dataset: self.splits.info.name.clone(),
            commit: option_env!("OFFRAMP_COMMIT").map(str::to_owned),
            sha256: String::new(),
        };
        save_model(self.folder.folder(), &net, card)?;

        let val = if self.splits.val.is_empty() {
            None
        } else {
            Some(self.evaluate(&net, Split::Val)?)
        };
        let test = self.evaluate(&net, Split::Test)?;
        test.write_to(self.folder.folder())?;
        let record = FinalRecord {
            step: self.state.step,
            model_step,
            stopped_early: self.state.stopped,
            val,
            test,
            seconds: self.state.seconds,
        };
        tracing::info!(
            "finished: test top-1 {:.2?}, weights of step {model_step}",
            record.test.top1()
        );
        self.progress.finish(&record);
        self.metrics.append(&Record::Final(record.clone()))?;
        Ok(Outcome {
            model_step,
            stopped_early: record.stopped_early,
            val: record.val,
            test: record.test,
            seconds: record.seconds,
        })
    }

    /// The chosen network, for evaluation, and the step that it is of.
    fn model(&mut self) -> Result<(MultiExitNet, u64), TrainError> {
        let learner = self.learner.take().ok_or(TrainError::NoLoss)?;
        let last = self.state.step;
        let best = match self.state.best {
            Some(best) if best.step != last => best.step,
            _ => return Ok((learner.evaluated().valid(), last)),
        };
        let path = self.store.path(best);
        if !path.exists() {
            return Err(RunError::NoBest { path }.into());
        }
        let found = checkpoint::read(&path)?;
        let tensors = match learner.ema {
            Some(_) => found.ema,
            None => found.net,
        };
        Ok((apply(learner.net.valid(), tensors, &path)?, best))
    }
}
