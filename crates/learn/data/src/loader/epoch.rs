//! Running through an epoch, with worker threads that make batches ahead.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use super::{Batch, Plan};
use crate::error::DataError;

/// The batches of an epoch, in order. Dropping it ends its workers.
#[derive(Debug)]
pub struct EpochIter {
    plan: Arc<Plan>,
    epoch: u64,
    order: Arc<Vec<usize>>,
    left: Range<usize>,
    workers: Vec<Worker>,
    next_worker: usize,
}

/// Worker `w` of `n` makes the batches `first + w`, `first + w + n`, ... and hands them over through
/// a bounded queue of its own. Taking from the queues in turn restores the order without a buffer.
#[derive(Debug)]
struct Worker {
    /// `None` once the worker is to end.
    batches: Option<Receiver<Batch>>,
    thread: Option<JoinHandle<()>>,
}

impl EpochIter {
    pub(super) fn start(plan: Arc<Plan>, epoch: u64, left: Range<usize>) -> Self {
        let order = Arc::new(plan.order(epoch));
        let count = plan.config.workers.min(left.len());
        let depth = plan.config.prefetch.div_ceil(count.max(1)).max(1);
        let spawn = |worker: usize| {
            let (sender, batches) = sync_channel(depth);
            let (plan, order) = (plan.clone(), order.clone());
            let numbers = left.clone().skip(worker).step_by(count);
            let run = move || {
                for number in numbers {
                    let positions = positions(&plan, &order, number);
                    // The receiver is gone: the iterator was dropped.
                    if sender.send(plan.batch(epoch, positions)).is_err() {
                        return;
                    }
                }
            };
            let name = format!("loader-{worker}");
            let thread = std::thread::Builder::new().name(name).spawn(run).ok()?;
            Some(Worker {
                batches: Some(batches),
                thread: Some(thread),
            })
        };
        // Without threads the batches are made by the caller: slower, but the same.
        let workers: Option<Vec<_>> = (0..count).map(spawn).collect();
        let workers = workers.unwrap_or_default();
        Self {
            plan,
            epoch,
            order,
            left,
            workers,
            next_worker: 0,
        }
    }
}

/// The positions of batch `number`.
fn positions<'a>(plan: &Plan, order: &'a [usize], number: usize) -> &'a [usize] {
    let size = plan.config.batch_size;
    &order[number * size..((number + 1) * size).min(order.len())]
}

impl Iterator for EpochIter {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.left.next()?;
        if self.workers.is_empty() {
            let positions = positions(&self.plan, &self.order, number);
            return Some(Ok(self.plan.batch(self.epoch, positions)));
        }
        let worker = &self.workers[self.next_worker];
        self.next_worker = (self.next_worker + 1) % self.workers.len();
        let batch = worker.batches.as_ref().and_then(|queue| queue.recv().ok());
        if batch.is_none() {
            // The other workers' batches would no longer be in order.
            self.left = 0..0;
        }
        Some(batch.ok_or(DataError::WorkerLost { batch: number }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl ExactSizeIterator for EpochIter {}

impl Drop for EpochIter {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            worker.batches = None;
        }
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                // A panic of the worker was reported as a lost batch.
                let _ = thread.join();
            }
        }
    }
}
