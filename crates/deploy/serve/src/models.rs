//! The models that are served, and how they are loaded again.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Semaphore, mpsc};

use crate::metrics::Metrics;
use crate::model::Card;
use crate::timing::exit_times;
use crate::worker::Worker;
use crate::{LoadError, ServeError, Source};

/// All models; the first answers requests that name none.
pub(crate) struct Models {
    slots: Vec<Slot>,
    metrics: Metrics,
    queue: usize,
    /// Numbers of slots whose engine panicked.
    died: mpsc::UnboundedSender<usize>,
}

struct Slot {
    source: Box<dyn Source>,
    /// Places of accepted images; they outlive a reload.
    places: Arc<Semaphore>,
    live: RwLock<Arc<Live>>,
}

/// A model as it is now. Requests hold on to the one they began with.
pub(crate) struct Live {
    pub(crate) card: Arc<Card>,
    pub(crate) worker: Worker,
    pub(crate) places: Arc<Semaphore>,
}

impl Models {
    /// Loads every model.
    pub(crate) fn load(
        sources: Vec<Box<dyn Source>>,
        queue: usize,
        metrics: Metrics,
        died: mpsc::UnboundedSender<usize>,
    ) -> Result<Self, ServeError> {
        if sources.is_empty() {
            return Err(ServeError::NoModels);
        }
        let mut slots: Vec<Slot> = Vec::with_capacity(sources.len());
        for (number, source) in sources.into_iter().enumerate() {
            let name = source.name().to_owned();
            if slots.iter().any(|slot| slot.source.name() == name) {
                return Err(ServeError::SameName { name });
            }
            let places = Arc::new(Semaphore::new(queue));
            let start = Start {
                metrics: &metrics,
                died: &died,
                number,
                places: &places,
            };
            let live = start
                .live(source.as_ref())
                .map_err(|source| ServeError::Load { name, source })?;
            slots.push(Slot {
                source,
                places,
                live: RwLock::new(Arc::new(live)),
            });
        }
        Ok(Self {
            slots,
            metrics,
            queue,
            died,
        })
    }

    /// The model called so, or the first.
    pub(crate) fn get(&self, name: Option<&str>) -> Option<Arc<Live>> {
        let slot = match name {
            None => self.slots.first(),
            Some(name) => self.slots.iter().find(|slot| slot.source.name() == name),
        };
        slot.map(Slot::live)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<Live>> {
        self.slots.iter().map(Slot::live)
    }

    /// Loads models again, `which` or all. The new one takes over when it is ready; images that the old
    /// one has accepted it answers. One that cannot be loaded stays as it was; returns whether all could.
    pub(crate) fn reload(&self, which: Option<usize>) -> bool {
        let mut all = true;
        let chosen = |number: &usize| which.is_none_or(|which| which == *number);
        for number in (0..self.slots.len()).filter(chosen) {
            let slot = &self.slots[number];
            let start = Start {
                metrics: &self.metrics,
                died: &self.died,
                number,
                places: &slot.places,
            };
            let name = slot.source.name();
            let loaded = start.live(slot.source.as_ref());
            self.metrics.reloaded(name, loaded.is_ok());
            all &= loaded.is_ok();
            match loaded {
                Ok(live) => {
                    tracing::info!(
                        "model {name:?} loaded again, weights {:.12}",
                        live.card.sha256
                    );
                    *slot.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
                }
                Err(error) => tracing::error!("model {name:?} stays as it was: {error}"),
            }
        }
        all
    }

    /// Whether every engine runs.
    pub(crate) fn alive(&self) -> bool {
        self.all().all(|live| live.worker.alive())
    }

    /// Brings the queue's numbers up to date.
    pub(crate) fn count_queues(&self) {
        for slot in &self.slots {
            let images = self.queue - slot.places.available_permits().min(self.queue);
            self.metrics.queue(slot.source.name(), images, self.queue);
        }
    }
}

impl Slot {
    fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What it takes to start a model.
struct Start<'a> {
    metrics: &'a Metrics,
    died: &'a mpsc::UnboundedSender<usize>,
    number: usize,
    places: &'a Arc<Semaphore>,
}

impl Start<'_> {
    fn live(&self, source: &dyn Source) -> Result<Live, LoadError> {
        let name = source.name();
        let (mut card, mut engine) = Card::new(name, source.load()?)?;
        card.exit_ms = exit_times(engine.as_mut(), &card)?;
        for note in &card.facts.notes {
            tracing::warn!("model {name:?}: {note}");
        }
        let card = Arc::new(card);
        let metrics = self.metrics.of_model(name, card.exits());
        let (died, number) = (self.died.clone(), self.number);
        // The receiver is gone when the service has stopped.
        let died = move || {
            let _ = died.send(number);
        };
        let worker = Worker::start(engine, Arc::clone(&card), metrics, died)?;
        Ok(Live {
            card,
            worker,
            places: Arc::clone(self.places),
        })
    }
}
