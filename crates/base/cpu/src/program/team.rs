//! Threads that work on one thing together, at the cost of less than a microsecond a step.
//!
//! A pool for tasks wakes sleeping threads and hands out work through queues: five to fifty
//! microseconds a parallel loop. A network of twenty small layers has a forty microseconds' worth of
//! work in each. So the threads of a team are woken once a run, go through all steps side by side and
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

/// Looks at a counter before the processor is offered to somebody else.
const LOOKS: usize = 4000;

type Job = *const (dyn Fn(usize, &Meeting) + Sync);

struct Common {
    /// Runs begun.
    begun: AtomicUsize,
    /// Members that have finished the current run.
    finished: AtomicUsize,
    job: UnsafeCell<Option<Job>>,
    meeting: Meeting,
    end: AtomicBool,
}

// SAFETY: `job` is written before `begun` rises and read after, and not changed until all members
// have finished.
unsafe impl Send for Common {}
// SAFETY: as above.
unsafe impl Sync for Common {}

/// Where the members of a team wait for each other.
pub(super) struct Meeting {
    arrived: AtomicUsize,
    members: usize,
    /// Whether a member panicked, so that nobody waits for it.
    broken: AtomicBool,
}

impl Meeting {
    /// Returns when all members have called it as often as this one.
    ///
    /// # Panics
    /// If another member panicked.
    pub fn wait(&self) {
        if self.members == 1 {
            return;
        }
        let ticket = self.arrived.fetch_add(1, Ordering::AcqRel);
        let round = (ticket / self.members + 1) * self.members;
        wait_until(|| {
            assert!(
                !self.broken.load(Ordering::Relaxed),
                "another thread panicked"
            );
            self.arrived.load(Ordering::Acquire) >= round
        });
    }
}

/// Watches, and yields now and then in case that the one waited for needs this processor.
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

/// Some threads, the caller's being one of them.
pub(super) struct Team {
    common: Arc<Common>,
    others: Vec<JoinHandle<()>>,
    /// The same, to be woken.
    threads: Vec<Thread>,
}

impl Team {
    /// A team of at least one; it has fewer members where the system refuses threads.
    pub fn new(members: usize) -> Self {
        let mut others = Vec::new();
        // The number is part of the meeting, so refused threads make a smaller team.
        for size in (1..=members.max(1)).rev() {
            let common = Arc::new(Common {
                begun: AtomicUsize::new(0),
                finished: AtomicUsize::new(0),
                job: UnsafeCell::new(None),
                meeting: Meeting {
                    arrived: AtomicUsize::new(0),
                    members: size,
                    broken: AtomicBool::new(false),
                },
                end: AtomicBool::new(false),
            });
            let spawned: Result<Vec<_>, _> = (1..size)
                .map(|member| {
                    let common = common.clone();
                    std::thread::Builder::new()
                        .name(format!("offramp-{member}"))
                        .spawn(move || work(&common, member))
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
        unreachable!("a team of one needs no thread: {}", others.len())
    }

    /// Members, the caller counted.
    pub fn members(&self) -> usize {
        self.common.meeting.members
    }

    /// Calls `job(member, meeting)` for every member at once and returns when all have.
    ///
    /// # Panics
    /// If the job does, on any thread; the team is of no use afterwards.
    pub fn run(&mut self, job: &(dyn Fn(usize, &Meeting) + Sync)) {
        let common = &*self.common;
        assert!(
            !common.meeting.broken.load(Ordering::Relaxed),
            "a thread of this team panicked before"
        );
        if self.members() == 1 {
            return job(0, &common.meeting);
        }
        common.finished.store(0, Ordering::Relaxed);
        // SAFETY: all members have finished the last run, so nobody reads it; the lifetime is given up
        // because this function returns only after they have finished this one.
        unsafe {
            *common.job.get() = Some(std::mem::transmute::<
                *const (dyn Fn(usize, &Meeting) + Sync + '_),
                Job,
            >(job));
        }
        common.begun.fetch_add(1, Ordering::Release);
        for thread in &self.threads {
            thread.unpark();
        }
        let mine = catch_unwind(AssertUnwindSafe(|| job(0, &common.meeting)));
        if mine.is_err() {
            common.meeting.broken.store(true, Ordering::Relaxed);
        }
        let others = self.members() - 1;
        wait_until(|| common.finished.load(Ordering::Acquire) == others);
        match mine {
            Err(panic) => resume_unwind(panic),
            Ok(()) => assert!(
                !common.meeting.broken.load(Ordering::Relaxed),
                "a thread of the team panicked"
            ),
        }
    }
}

impl Drop for Team {
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

/// What the other threads do.
fn work(common: &Common, member: usize) {
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
        // SAFETY: `begun` has risen, so the job is there, and it stays until this member has finished.
        let job = unsafe { (*common.job.get()).map(|job| &*job) };
        if let Some(job) = job
            && catch_unwind(AssertUnwindSafe(|| job(member, &common.meeting))).is_err()
        {
            common.meeting.broken.store(true, Ordering::Relaxed);
        }
        common.finished.fetch_add(1, Ordering::Release);
    }
}

// WebAssembly has no threads.
#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;

    #[test]
    fn members_meet_between_steps() {
        for members in 1..4 {
            let mut team = Team::new(members);
            assert_eq!(team.members(), members);
            for _ in 0..50 {
                let steps: Vec<AtomicUsize> = (0..20).map(|_| AtomicUsize::new(0)).collect();
                team.run(&|_, meeting| {
                    for step in &steps {
                        step.fetch_add(1, Ordering::Relaxed);
                        meeting.wait();
                        assert_eq!(step.load(Ordering::Relaxed), members);
                    }
                });
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let mut team = Team::new(2);
        let result = catch_unwind(AssertUnwindSafe(|| {
            team.run(&|member, meeting| {
                assert_ne!(member, 1, "on purpose");
                meeting.wait();
            });
        }));
        assert!(result.is_err());
    }

    #[test]
    fn a_sleeping_team_wakes() {
        let mut team = Team::new(2);
        std::thread::sleep(Duration::from_millis(20));
        let calls = AtomicUsize::new(0);
        team.run(&|_, _| {
            calls.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(calls.into_inner(), 2);
    }
}
