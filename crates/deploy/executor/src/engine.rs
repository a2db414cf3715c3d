//! The compiled executor as an engine.

use std::sync::Arc;
use std::time::Instant;

use offramp_policies::{Answer, Rule};
use offramp_run::{Engine, EngineError};

use crate::{ExecutorError, MultiExitExecutor, MultiExitPlan, Stream};

impl Engine for Stream {
    fn admit(&mut self, pixels: &[f32], rule: &Arc<Rule>) -> Result<u64, EngineError> {
        Stream::admit(self, pixels, rule).map_err(EngineError::new)
    }

    fn room(&self) -> usize {
        Stream::room(self)
    }

    fn pending(&self) -> usize {
        Stream::pending(self)
    }

    fn step(&mut self) -> Result<Vec<(u64, Answer)>, EngineError> {
        Stream::step(self).map_err(EngineError::new)
    }

    fn batch(&self) -> Option<usize> {
        Some(self.computed())
    }

    fn answer(
        &mut self,
        images: &[f32],
        _count: usize,
        rule: &Arc<Rule>,
    ) -> Result<Vec<Answer>, EngineError> {
        Stream::run(self, images, rule).map_err(EngineError::new)
    }
}

/// A [`Stream`] that can also say how long one pass takes to each exit.
#[derive(Debug)]
pub struct CompiledEngine {
    stream: Stream,
    /// Its memory is taken when it is first asked for.
    timed: Option<MultiExitExecutor>,
}

impl CompiledEngine {
    /// Takes the memory and starts the threads; `macs[k]` is what it costs to answer at exit `k`.
    ///
    /// # Errors
    /// As [`Stream::new`].
    pub fn new(plan: MultiExitPlan, macs: Vec<u64>) -> Result<Self, ExecutorError> {
        Ok(Self {
            stream: Stream::new(plan, macs)?,
            timed: None,
        })
    }

    /// The plan.
    pub fn plan(&self) -> &MultiExitPlan {
        self.stream.plan()
    }
}

impl Engine for CompiledEngine {
    fn admit(&mut self, pixels: &[f32], rule: &Arc<Rule>) -> Result<u64, EngineError> {
        Engine::admit(&mut self.stream, pixels, rule)
    }

    fn room(&self) -> usize {
        self.stream.room()
    }

    fn pending(&self) -> usize {
        self.stream.pending()
    }

    fn step(&mut self) -> Result<Vec<(u64, Answer)>, EngineError> {
        Engine::step(&mut self.stream)
    }

    fn batch(&self) -> Option<usize> {
        Engine::batch(&self.stream)
    }

    fn answer(
        &mut self,
        images: &[f32],
        count: usize,
        rule: &Arc<Rule>,
    ) -> Result<Vec<Answer>, EngineError> {
        self.stream.answer(images, count, rule)
    }

    fn time_to_exits(
        &mut self,
        images: &[f32],
        count: usize,
        _at_exit: &[Arc<Rule>],
    ) -> Result<Vec<f64>, EngineError> {
        let plan = self.stream.plan();
        let mut times = Vec::with_capacity(plan.num_exits());
        let executor = (self.timed).get_or_insert_with(|| MultiExitExecutor::new(plan.clone()));
        let start = Instant::now();
        let ms = || start.elapsed().as_secs_f64() * 1e3;
        let run = executor.run(count, images, |_, sample, _| {
            if sample == 0 {
                times.push(ms());
            }
            false
        });
        run.map_err(EngineError::new)?;
        times.push(ms());
        Ok(times)
    }
}
