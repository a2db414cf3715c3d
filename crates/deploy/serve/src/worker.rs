//! The thread that owns an engine.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use offramp_policies::{Answer, Rule};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::metrics::ModelMetrics;
use crate::model::Card;
use crate::{Engine, EngineError};

/// When one image is to stop.
#[derive(Clone, Debug)]
pub(crate) enum StopRule {
    /// By a rule.
    Rule(Arc<Rule>),
    /// So that it is answered within this many ms after it was accepted.
    Within(f64),
}

/// One image with a place in the queue.
pub(crate) struct Job {
    pub(crate) pixels: Vec<f32>,
    pub(crate) stop: StopRule,
    pub(crate) accepted: Instant,
    pub(crate) reply: oneshot::Sender<Result<Done, EngineError>>,
    /// The place, free again when the job is gone.
    pub(crate) place: OwnedSemaphorePermit,
}

/// An answer and how long it took.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) answer: Answer,
    /// From acceptance to the answer.
    pub(crate) ms: f64,
    /// From acceptance to the first segment.
    pub(crate) waited_ms: f64,
}

/// The way to an engine's thread. The thread ends when all of them are gone and every job is answered.
#[derive(Clone)]
pub(crate) struct Worker {
    jobs: mpsc::Sender<Job>,
    alive: Arc<AtomicBool>,
}

impl Worker {
    /// Starts the thread; `died` is called when the engine panics.
    pub(crate) fn start(
        engine: Box<dyn Engine>,
        card: Arc<Card>,
        metrics: ModelMetrics,
        died: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, jobs) = mpsc::channel();
        let alive = Arc::new(AtomicBool::new(true));
        let state = Loop {
            engine,
            card,
            metrics,
            jobs,
            alive: Arc::clone(&alive),
            waiting: HashMap::new(),
        };
        let name = format!("engine {}", state.card.name);
        std::thread::Builder::new().name(name).spawn(move || {
            if state.run().is_err() {
                died();
            }
        })?;
        Ok(Self {
            jobs: sender,
            alive,
        })
    }

    /// Hands over a job; gives it up, and its place, when the engine is gone.
    pub(crate) fn submit(&self, job: Job) -> Result<(), EngineError> {
        let gone = |_| EngineError("the engine has stopped".to_owned());
        self.jobs.send(job).map_err(gone)
    }

    pub(crate) fn alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }
}

struct Loop {
    engine: Box<dyn Engine>,
    card: Arc<Card>,
    metrics: ModelMetrics,
    jobs: mpsc::Receiver<Job>,
    alive: Arc<AtomicBool>,
    waiting: HashMap<u64, Waiting>,
}

/// A job inside the engine.
struct Waiting {
    accepted: Instant,
    admitted: Instant,
    reply: oneshot::Sender<Result<Done, EngineError>>,
    _place: OwnedSemaphorePermit,
}

/// The engine panicked.
struct Broken;

impl Loop {
    fn run(mut self) -> Result<(), Broken> {
        // After an error some images are lost, and which ones is known only when the engine is empty.
        let mut lost: Option<EngineError> = None;
        loop {
            if self.engine.pending() == 0 {
                let error = lost.take();
                self.give_up(error.unwrap_or_else(|| EngineError("lost".to_owned())));
                match self.jobs.recv() {
                    Ok(job) => self.admit(job)?,
                    Err(_) => return Ok(()),
                }
            }
            while lost.is_none() && self.engine.room() > 0 {
                match self.jobs.try_recv() {
                    Ok(job) => self.admit(job)?,
                    Err(_) => break,
                }
            }
            if self.engine.pending() == 0 {
                continue;
            }
            match self.guarded(|engine| engine.step())? {
                Ok(answers) => {
                    if let Some(images) = self.engine.batch() {
                        self.metrics.batch(images);
                    }
                    for (ticket, answer) in answers {
                        self.answer(ticket, answer);
                    }
                }
                Err(error) => {
                    tracing::error!("model {:?}: {error}", self.card.name);
                    self.metrics.failed();
                    lost = Some(error);
                }
            }
        }
    }

    fn admit(&mut self, job: Job) -> Result<(), Broken> {
        if job.reply.is_closed() {
            return Ok(());
        }
        let admitted = Instant::now();
        let rule = match &job.stop {
            StopRule::Rule(rule) => Arc::clone(rule),
            StopRule::Within(ms) => {
                let waited = 1e3 * (admitted - job.accepted).as_secs_f64();
                let times = &self.card.exit_ms;
                let in_time = times.partition_point(|&time| time <= ms - waited);
                Arc::clone(&self.card.at_exit[in_time.saturating_sub(1)])
            }
        };
        match self.guarded(|engine| engine.admit(&job.pixels, &rule))? {
            Ok(ticket) => {
                let waiting = Waiting {
                    accepted: job.accepted,
                    admitted,
                    reply: job.reply,
                    _place: job.place,
                };
                self.waiting.insert(ticket, waiting);
            }
            Err(error) => {
                self.metrics.failed();
                // The client may have gone.
                let _ = job.reply.send(Err(error));
            }
        }
        Ok(())
    }

    fn answer(&mut self, ticket: u64, answer: Answer) {
        let Some(waiting) = self.waiting.remove(&ticket) else {
            return;
        };
        let elapsed = waiting.accepted.elapsed();
        self.metrics.answered(answer.exit, elapsed);
        let done = Done {
            ms: 1e3 * elapsed.as_secs_f64(),
            waited_ms: 1e3 * (waiting.admitted - waiting.accepted).as_secs_f64(),
            answer,
        };
        let _ = waiting.reply.send(Ok(done));
    }

    fn give_up(&mut self, error: EngineError) {
        for (_, waiting) in self.waiting.drain() {
            let _ = waiting.reply.send(Err(error.clone()));
        }
    }

    /// An engine that panics is not touched again.
    fn guarded<T>(&mut self, call: impl FnOnce(&mut dyn Engine) -> T) -> Result<T, Broken> {
        let engine = self.engine.as_mut();
        catch_unwind(AssertUnwindSafe(|| call(engine))).map_err(|_| {
            tracing::error!("model {:?}: the engine panicked", self.card.name);
            self.metrics.failed();
            // Before the jobs are dropped: a client that hears of it must not find the service ready.
            self.alive.store(false, Ordering::Release);
            Broken
        })
    }
}
