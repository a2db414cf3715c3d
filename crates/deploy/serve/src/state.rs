//! The state that all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

use crate::body::Budget;
use crate::metrics::Metrics;
use crate::models::Models;
use crate::{Keys, Limits};

/// Shared by all requests; cheap to clone.
#[derive(Clone)]
pub(crate) struct State(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) models: Models,
    pub(crate) limits: Limits,
    pub(crate) keys: Option<Keys>,
    pub(crate) metrics: Metrics,
    pub(crate) bodies: Budget,
    pub(crate) decoders: Arc<Semaphore>,
    stopping: AtomicBool,
}

impl State {
    pub(crate) fn new(
        models: Models,
        limits: Limits,
        keys: Option<Keys>,
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Shared {
            bodies: Budget::new(limits.bodies),
            decoders: Arc::new(Semaphore::new(limits.decoders)),
            models,
            limits,
            keys,
            metrics,
            stopping: AtomicBool::new(false),
        }))
    }

    /// From now on `/readyz` answers 503.
    pub(crate) fn stop(&self) {
        self.0.stopping.store(true, Ordering::Release);
    }

    pub(crate) fn ready(&self) -> bool {
        !self.0.stopping.load(Ordering::Acquire) && self.0.models.alive()
    }
}

impl std::ops::Deref for State {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
