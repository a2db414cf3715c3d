//! `offramp._offramp`, the extension behind the Python package `offramp`.
//!
//! Arrays cross as bytes; `python/offramp/__init__.py` has the interface, its types and its checks of shapes.

#![allow(unsafe_code, reason = "PyO3's macros write such functions")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use offramp_executor::{About, ExecutorError, MultiExitExecutor, MultiExitPlan, Options, Stream};
use offramp_policies::{Answer, Rule};
use offramp_run::{ChosenPolicy, PolicyFile};
use pyo3::exceptions::{PyFileNotFoundError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// The largest batch and number of threads, as on the command line.
const MOST_IMAGES: usize = 65_536;
const MOST_THREADS: usize = 1024;

/// A mapped plan with its memory, and the rule that decides where images leave.
#[pyclass(frozen)]
struct Network {
    plan: MultiExitPlan,
    about: About,
    rule: Arc<Rule>,
    stream: Mutex<Stream>,
}

/// Classes, confidences, exits, multiply-accumulates, and the logits as bytes of `float32`.
type Columns = (Vec<usize>, Vec<f32>, Vec<usize>, Vec<u64>, Vec<u8>);

#[pymethods]
impl Network {
    /// Maps the plan at `plan`; without a `policy`, all images go to the deepest exit.
    #[new]
    fn new(
        plan: PathBuf,
        policy: Option<PathBuf>,
        batch: usize,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        if !plan.exists() {
            return Err(PyFileNotFoundError::new_err(format!(
                "{}: there is no such plan; `offramp export RUN --format plan` writes one",
                plan.display()
            )));
        }
        let path = plan;
        let plan = MultiExitPlan::load(&path).map_err(value_error)?;
        let threads = threads.unwrap_or_else(|| Options::default().threads);
        // Memory is taken for the whole batch, and a thread for each thread.
        if !(1..=MOST_IMAGES).contains(&batch) || !(1..=MOST_THREADS).contains(&threads) {
            return Err(PyValueError::new_err(format!(
                "batch {batch} on {threads} threads: batch is 1 to {MOST_IMAGES}, threads 1 to {MOST_THREADS}"
            )));
        }
        let plan = plan.with_batch(batch).with_threads(threads);
        let Some(about) = plan.about().cloned() else {
            return Err(PyValueError::new_err(format!(
                "{}: the plan does not say of which network it is; write it with `offramp export`",
                path.display()
            )));
        };
        let rule = Arc::new(match policy {
            Some(policy) => read_rule(&policy, &about)?,
            None => fixed(plan.num_exits() - 1, plan.num_exits())?,
        });
        let stream = Stream::new(plan.clone(), about.macs.clone()).map_err(failure)?;
        Ok(Self {
            plan,
            about,
            rule,
            stream: Mutex::new(stream),
        })
    }

    #[getter]
    fn classes(&self) -> Vec<String> {
        self.about.classes.clone()
    }

    #[getter]
    fn image(&self) -> [usize; 3] {
        self.about.image
    }

    #[getter]
    fn macs(&self) -> Vec<u64> {
        self.about.macs.clone()
    }

    #[getter]
    fn model(&self) -> &str {
        &self.about.model
    }

    /// Answers images given as planar bytes `[N, 3, H, W]`, or if `normalised` as `float32`.
    fn predict(
        &self,
        py: Python<'_>,
        images: &[u8],
        normalised: bool,
        exit: Option<usize>,
        policy: Option<PathBuf>,
    ) -> PyResult<Columns> {
        let rule = match (exit, policy) {
            (Some(exit), _) => Arc::new(fixed(exit, self.plan.num_exits())?),
            (None, Some(path)) => Arc::new(read_rule(&path, &self.about)?),
            (None, None) => self.rule.clone(),
        };
        let answers = py.detach(|| {
            let pixels = self.pixels(images, normalised);
            lock(&self.stream).run(&pixels, &rule)
        });
        Ok(columns(&answers.map_err(failure)?))
    }

    /// Logits of all exits, bytes of `float32` `[exits, N, classes]`.
    fn all_exits(&self, py: Python<'_>, images: &[u8], normalised: bool) -> PyResult<Vec<u8>> {
        let logits = py.detach(|| self.every_exit(&self.pixels(images, normalised)));
        Ok(bytes(&logits.map_err(failure)?))
    }
}

impl Network {
    fn pixels(&self, images: &[u8], normalised: bool) -> Vec<f32> {
        if normalised {
            (images.as_chunks().0.iter().copied())
                .map(f32::from_ne_bytes)
                .collect()
        } else {
            self.about.normalise(images)
        }
    }

    fn every_exit(&self, pixels: &[f32]) -> Result<Vec<f32>, ExecutorError> {
        let (exits, classes) = (self.plan.num_exits(), self.about.classes.len());
        let images = pixels.len() / self.plan.pixels();
        let mut all = vec![0.0; exits * images * classes];
        let mut executor = MultiExitExecutor::new(self.plan.clone());
        let mut first = 0;
        for part in pixels.chunks(self.plan.batch() * self.plan.pixels()) {
            let n = part.len() / self.plan.pixels();
            let place = |exit: usize, image: usize| (exit * images + first + image) * classes;
            let answers = executor.run(n, part, |exit, image, logits| {
                all[place(exit, image)..][..classes].copy_from_slice(logits);
                false
            })?;
            let last = answers.logits.chunks(classes).take(n).enumerate();
            for (image, logits) in last {
                let at = (exits - 1) * images + first + image;
                all[at * classes..][..classes].copy_from_slice(logits);
            }
            first += n;
        }
        Ok(all)
    }
}

fn columns(answers: &[Answer]) -> Columns {
    let logits: Vec<f32> = answers
        .iter()
        .flat_map(|a| a.logits.iter().copied())
        .collect();
    (
        answers.iter().map(|a| a.class).collect(),
        answers.iter().map(|a| a.confidence).collect(),
        answers.iter().map(|a| a.exit).collect(),
        answers.iter().map(|a| a.macs).collect(),
        bytes(&logits),
    )
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_ne_bytes()).collect()
}

/// A panic of another thread leaves a stream that the next run sees to the end.
fn lock(stream: &Mutex<Stream>) -> MutexGuard<'_, Stream> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fixed(exit: usize, exits: usize) -> PyResult<Rule> {
    Ok(ChosenPolicy::fixed(exit, exits).map_err(value_error)?.rule)
}

fn read_rule(path: &Path, about: &About) -> PyResult<Rule> {
    let (exits, classes) = (about.macs.len(), about.classes.len());
    let file = PolicyFile::read_for(path, &about.model, exits, classes).map_err(value_error)?;
    Ok(Rule::from(&file))
}

fn value_error(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn failure(error: ExecutorError) -> PyErr {
    match error {
        ExecutorError::Pixels { .. } | ExecutorError::Policy(_) => value_error(error),
        other => PyRuntimeError::new_err(other.to_string()),
    }
}

/// The module.
#[pymodule]
fn _offramp(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<Network>()
}
