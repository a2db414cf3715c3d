//! Threads that work on one thing together, at a cost of less than a microsecond per step.
//!
//! A pool for tasks wakes sleeping threads and hands out work through queues: five to fifty
//! microseconds per parallel loop. A network of twenty small layers has forty microseconds' worth of
//! work in each. So the workers are woken once per run, go through all steps side by side and
//! wait for each other by watching a counter. They watch for a while after a run too, before they
//! sleep, since the next image often comes at once.

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread, park, yield_now};
use std::time::{Duration, Instant};

/// How long a thread watches for the next run before it sleeps.
const WATCH: Duration = Duration::from_micros(500);

/// Looks at a counter before the thread yields the processor.
const LOOKS: usize = 4000;

type Job = *const (dyn Fn(usize, &Barrier) + Sync);

struct Common {
    /// Runs begun.
    begun: AtomicUsize,
    /// Threads that have finished the current run.
    finished: AtomicUsize,
    job: UnsafeCell<Option<Job>>,
    barrier: Barrier,
    end: AtomicBool,
}

// SAFETY: `job` is written before `begun` rises and read after, and not changed until all threads
// have finished.
unsafe impl Send for Common {}
// SAFETY: as above.
unsafe impl Sync for Common {}

/// Where the threads wait for each other.
pub(super) struct Barrier {
    arrived: AtomicUsize,
    threads: usize,
    /// Whether a thread panicked, so that no other waits for it.
    broken: AtomicBool,
}

impl Barrier {
    /// Returns when all threads have called it as often as this one.
    ///
    /// # Panics
    /// If another thread panicked.
    pub(crate) fn wait(&self) {
        if self.threads == 1 {
            return;
        }
        let ticket = self.arrived.fetch_add(1, Ordering::AcqRel);
        let round = (ticket / self.threads + 1) * self.threads;
        wait_until(|| {
            assert!(
                !self.broken.load(Ordering::Relaxed),
                "another thread panicked"
            );
            self.arrived.load(Ordering::Acquire) >= round
        });
    }
}

/// Watches, and yields now and then in case the thread waited for needs this processor.
fn wait_until(mut done: impl FnMut() -> bool) {
    loop {
        for _ in 0..LOOKS {
            if done() {
                return;
            }
            spin_loop();
        }
        yield_now();
    }
}

/// Threads that run one job side by side; the caller's is one of them.
pub(super) struct Workers {
    common: Arc<Common>,
    others: Vec<JoinHandle<()>>,
    /// The same, to be woken.
    threads: Vec<Thread>,
}

impl Workers {
    /// At least one thread; fewer than `count` where the system refuses threads.
    pub(crate) fn new(count: usize) -> Self {
        let mut others = Vec::new();
        // The number is part of the barrier, so refused threads mean a smaller barrier.
        for size in (1..=count.max(1)).rev() {
            let common = Arc::new(Common {
                begun: AtomicUsize::new(0),
                finished: AtomicUsize::new(0),
                job: UnsafeCell::new(None),
                barrier: Barrier {
                    arrived: AtomicUsize::new(0),
                    threads: size,
                    broken: AtomicBool::new(false),
                },
                end: AtomicBool::new(false),
            });
            let spawned: Result<Vec<_>, _> = (1..size)
                .map(|thread| {
                    let common = common.clone();
                    std::thread::Builder::new()
                        .name(format!("offramp-{thread}"))
                        .spawn(move || work(&common, thread))
                })
                .collect();
            if let Ok(spawned) = spawned {
                others = spawned;
                let threads = others.iter().map(|other| other.thread().clone()).collect();
                return Self {
                    common,
                    others,
                    threads,
                };
            }
            common.end.store(true, Ordering::Release);
        }
        unreachable!("one thread needs no other: {}", others.len())
    }

    /// Number of threads, the caller's included.
    pub(crate) fn threads(&self) -> usize {
        self.common.barrier.threads
    }

    /// Calls `job(thread, barrier)` on every thread at once and returns when all calls have.
    ///
    /// # Panics
    /// If the job does, on any thread; the workers cannot be used afterwards.
    pub(crate) fn run(&mut self, job: &(dyn Fn(usize, &Barrier) + Sync)) {
        let common = &*self.common;
        assert!(
            !common.barrier.broken.load(Ordering::Relaxed),
            "a worker panicked before"
        );
        if self.threads() == 1 {
            return job(0, &common.barrier);
        }
        common.finished.store(0, Ordering::Relaxed);
        // SAFETY: all threads have finished the last run, so nothing reads it; the lifetime is given up
        // because this function returns only after they have finished this one.
        unsafe {
            *common.job.get() = Some(std::mem::transmute::<
                *const (dyn Fn(usize, &Barrier) + Sync + '_),
                Job,
            >(job));
        }
        common.begun.fetch_add(1, Ordering::Release);
        for thread in &self.threads {
            thread.unpark();
        }
        let mine = catch_unwind(AssertUnwindSafe(|| job(0, &common.barrier)));
        if mine.is_err() {
            common.barrier.broken.store(true, Ordering::Relaxed);
        }
        let others = self.threads() - 1;
        wait_until(|| common.finished.load(Ordering::Acquire) == others);
        match mine {
            Err(panic) => resume_unwind(panic),
            Ok(()) => assert!(
                !common.barrier.broken.load(Ordering::Relaxed),
                "a worker panicked"
            ),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.common.end.store(true, Ordering::Release);
        for thread in &self.threads {
            thread.unpark();
        }
        for other in self.others.drain(..) {
            // A panic was reported by `run`.
            let _ = other.join();
        }
    }
}

/// The loop of every thread but the caller's.
fn work(common: &Common, thread: usize) {
    let mut seen = 0;
    loop {
        let mut watching = Instant::now();
        let mut looks = 0;
        while common.begun.load(Ordering::Acquire) == seen {
            if common.end.load(Ordering::Acquire) {
                return;
            }
            spin_loop();
            looks += 1;
            if looks % LOOKS == 0 && watching.elapsed() > WATCH {
                // `unpark` before this makes it return at once.
                park();
                watching = Instant::now();
            }
        }
        seen += 1;
        // SAFETY: `begun` has risen, so the job is there, and it stays until this thread has finished.
        let job = unsafe { (*common.job.get()).map(|job| &*job) };
        if let Some(job) = job
            && catch_unwind(AssertUnwindSafe(|| job(thread, &common.barrier))).is_err()
        {
            common.barrier.broken.store(true, Ordering::Relaxed);
        }
        common.finished.fetch_add(1, Ordering::Release);
    }
}

// WebAssembly has no threads.
#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;

    #[test]
    fn threads_meet_between_steps() {
        for threads in 1..4 {
            let mut workers = Workers::new(threads);
            assert_eq!(workers.threads(), threads);
            for _ in 0..50 {
                let steps: Vec<AtomicUsize> = (0..20).map(|_| AtomicUsize::new(0)).collect();
                workers.run(&|_, barrier| {
                    for step in &steps {
                        step.fetch_add(1, Ordering::Relaxed);
                        barrier.wait();
                        assert_eq!(step.load(Ordering::Relaxed), threads);
                    }
                });
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let mut workers = Workers::new(2);
        let result = catch_unwind(AssertUnwindSafe(|| {
            workers.run(&|thread, barrier| {
                assert_ne!(thread, 1, "on purpose");
                barrier.wait();
            });
        }));
        assert!(result.is_err());
    }

    #[test]
    fn sleeping_workers_wake() {
        let mut workers = Workers::new(2);
        std::thread::sleep(Duration::from_millis(20));
        let calls = AtomicUsize::new(0);
        workers.run(&|_, _| {
            calls.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(calls.into_inner(), 2);
    }
}
