//! The compiled executor as an engine.

use std::sync::Arc;

use offramp_executor::Stream;
use offramp_policies::{Answer, Rule};

use crate::{Engine, EngineError};

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
}
