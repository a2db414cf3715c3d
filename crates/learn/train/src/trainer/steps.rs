//! Training steps, and what is due after each: metrics, validation, checkpoints.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::time::Instant;

use burn::tensor::Device;
use offramp_core::DeviceSpec;
use offramp_data::{Batch, Split};
use offramp_methods::StepContext;
use offramp_policies::PolicyError;

use super::learner::StepSettings;
use super::session::Session;
use crate::batch::Input;
use crate::checkpoint::BestSoFar;
use crate::config::Checkpointing;
use crate::metrics::{EvalRecord, Record, StepValues};
use crate::{Best, TrainError, Work};

impl Session<'_> {
    /// One step and what is due after it.
    pub(super) fn step(&mut self, batch: Batch, began: Instant) -> Result<(), TrainError> {
        let (train, step) = (&self.recipe.train, self.state.step);
        let epoch = step as f64 / self.schedule.steps_per_epoch as f64;
        let settings = StepSettings {
            step,
            lr: self.schedule.at(step),
            clip_norm: train.clip_norm,
            precision: train.precision,
            accumulate: train.accumulate,
            checkpointing: train.checkpointing,
            context: StepContext {
                epoch,
                epochs: train.epochs as f64,
                step,
                seed: self.recipe.seed,
            },
        };
        let info = &self.splits.info;
        let input =
            |batch: Batch, device: &Device| Input::new(batch, info, train.label_smoothing, device);
        // It is missing only after an error, and then no further step is taken.
        let learner = self.learner.take().ok_or(TrainError::NoLoss)?;
        let data_parallel = self.data_parallel.take();
        let learn = || match data_parallel {
            None => {
                let (learner, values) = learner.step(input(batch, &self.device), settings, None)?;
                Ok((learner, None, values))
            }
            Some(mut data_parallel) => {
                let tracked =
                    |batch: Batch, device: &Device| input(batch, &device.clone().autodiff());
                let (learner, values) = data_parallel.step(learner, &batch, tracked, settings)?;
                Ok((learner, Some(data_parallel), values))
            }
        };
        let work = Work::Step {
            step: step + 1,
            images: train.batch_size,
            parts: train.accumulate,
            blocks_kept: train.checkpointing == Checkpointing::None,
        };
        let (learner, data_parallel, mut values) = self.guarded(work, learn)?;
        if let Some((term, value)) = values.not_finite() {
            return Err(TrainError::NotFinite {
                step: step + 1,
                epoch,
                term,
                value,
                checkpoint: self.state.newest.clone(),
            });
        }
        self.learner = Some(learner);
        self.data_parallel = data_parallel;
        values.seconds = began.elapsed().as_secs_f64();
        self.count(&values);
        self.after_step(settings.lr)
    }

    /// Computes on the device. burn reports a failing device by a panic, which becomes an error with advice;
    /// on the CPU a panic is a bug, and stays one.
    pub(super) fn guarded<T>(
        &self,
        work: Work,
        compute: impl FnOnce() -> Result<T, TrainError>,
    ) -> Result<T, TrainError> {
        if matches!(self.spec, DeviceSpec::Cpu | DeviceSpec::Ndarray) {
            return compute();
        }
        panic::catch_unwind(AssertUnwindSafe(compute)).unwrap_or_else(|panic| {
            Err(TrainError::DeviceFailed {
                device: self.spec,
                work,
                reason: panic_message(&*panic),
                checkpoint: self.state.newest.clone(),
            })
        })
    }

    fn count(&mut self, values: &StepValues) {
        self.state.step += 1;
        self.state.seconds += values.seconds;
        self.state.window.add(values);
        self.state.epoch.add(values);
        self.progress.advance(self.state.step);
    }

    fn after_step(&mut self, lr: f64) -> Result<(), TrainError> {
        let (train, step) = (&self.recipe.train, self.state.step);
        if step % train.log_every as u64 == 0 {
            let window = std::mem::take(&mut self.state.window);
            let record = self.record(&window, lr);
            self.progress
                .train(&record, window.seconds / window.steps.max(1) as f64);
            self.metrics.append(&Record::Step(record))?;
        }
        let every = train.checkpoint.every_steps;
        let mut due = every > 0 && step % every == 0;
        if step % self.schedule.steps_per_epoch == 0 {
            due |= self.end_epoch(lr)?;
        }
        if due { self.checkpoint() } else { Ok(()) }
    }

    /// Ends an epoch; returns whether a checkpoint is due.
    fn end_epoch(&mut self, lr: f64) -> Result<bool, TrainError> {
        let sums = std::mem::take(&mut self.state.epoch);
        let record = self.record(&sums, lr);
        self.progress.epoch(&record);
        tracing::info!(
            "epoch {:.0}: loss {:.4}, train top-1 {:.2?}, {:.0} images/s",
            record.epoch,
            record.loss,
            record.train_top1,
            record.images_per_second
        );
        self.metrics.append(&Record::Epoch(record))?;

        let train = &self.recipe.train;
        let epoch = self.state.step / self.schedule.steps_per_epoch;
        let last = epoch >= train.epochs as u64;
        let validate =
            last || (train.eval_every > 0 && epoch.is_multiple_of(train.eval_every as u64));
        let best = validate && !self.splits.val.is_empty() && self.validate(epoch)?;
        let every = train.checkpoint.every_epochs as u64;
        let regular = every > 0 && epoch.is_multiple_of(every);
        Ok(best || regular || last || self.state.stopped)
    }

    /// Adds step and checkpoint to the error of logits that are not finite.
    fn diverged(&self, error: TrainError) -> TrainError {
        let TrainError::Table(PolicyError::NonFiniteLogit {
            sample,
            exit,
            value,
            ..
        }) = error
        else {
            return error;
        };
        TrainError::NotFinite {
            step: self.state.step,
            epoch: self.state.step as f64 / self.schedule.steps_per_epoch as f64,
            term: format!("a logit of exit {exit} for validation image {sample}"),
            value: value.into(),
            checkpoint: self.state.newest.clone(),
        }
    }

    /// Evaluates on the validation images; returns whether it is the best so far.
    fn validate(&mut self, epoch: u64) -> Result<bool, TrainError> {
        let Some(learner) = &self.learner else {
            return Ok(false);
        };
        let report = self.evaluate(&learner.evaluated(), Split::Val);
        let report = report.map_err(|error| self.diverged(error))?;
        let top1 = report.top1();
        let value = match self.recipe.train.checkpoint.best {
            Best::Deepest => top1.last().copied(),
            Best::Mean => Some(top1.iter().sum::<f64>() / top1.len().max(1) as f64),
            Best::Last => None,
        };
        let best = value.is_some_and(|value| self.state.best.is_none_or(|best| value > best.top1));
        if let (true, Some(top1)) = (best, value) {
            let step = self.state.step;
            self.state.best = Some(BestSoFar { step, epoch, top1 });
        }
        self.state.stale = if best { 0 } else { self.state.stale + 1 };
        let patience = self.recipe.train.patience;
        if value.is_some() && patience.is_some_and(|patience| self.state.stale >= patience) {
            self.state.stopped = true;
            let text = format!(
                "no better validation for {} times: training ends",
                self.state.stale
            );
            tracing::info!("{text}");
            self.progress.message(&text);
        }
        tracing::info!(
            "epoch {epoch}: val top-1 {top1:.2?}{}",
            if best { ", the best" } else { "" }
        );
        let step = self.state.step;
        let record = EvalRecord {
            step,
            epoch,
            best,
            report,
        };
        self.progress.eval(&record);
        self.metrics.append(&Record::Eval(record))?;
        Ok(best)
    }
}

/// The message of a panic in one line, without burn's notes on backtraces and skipped work.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let lines = text.unwrap_or("it did not say why").lines().map(str::trim);
    let notes = [
        "Caused by:",
        "Asked at:",
        "No backtrace",
        "skipped ",
        "Several failures",
    ];
    let worth = |line: &&str| !line.is_empty() && !notes.iter().any(|note| line.starts_with(note));
    lines.filter(worth).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_in_one_line() {
        let burn = "Error while reading data\nCaused by:\n  Several failures at once\n  skipped `KernelBinop`\n\n\
                    Caused by:\n  can't allocate buffer of size: 327680000\nNo backtrace available";
        let told = panic_message(&burn.to_owned());
        assert_eq!(
            told,
            "Error while reading data: can't allocate buffer of size: 327680000"
        );
        assert_eq!(panic_message(&"no memory"), "no memory");
        assert_eq!(panic_message(&7), "it did not say why");
    }
}
