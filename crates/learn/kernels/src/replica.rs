//! The replicas of data-parallel training and their all-reduce.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};

/// One of several copies of a network that are trained together, each in its own thread.
///
/// Between CUDA devices means are computed by burn's all-reduce (NCCL). Elsewhere they are computed in
/// the memory of this process, for logical devices: several threads on one processor, which test the
/// exchange of gradients where there are not two GPUs.
///
/// A replica's computation runs [`within`](Self::within) it, so that the others do not wait for one that
/// has failed.
#[derive(Clone)]
pub struct Replica {
    rank: usize,
    group: Arc<Group>,
}

enum Group {
    #[cfg(feature = "cuda")]
    Devices(Vec<Device>),
    Host(AllReduce),
}

impl Replica {
    /// The panic message of a replica that waited for one that failed: a consequence, not the cause.
    pub const LEFT: &str = "another replica has stopped";

    /// One replica per device, in their order. The devices are all CUDA devices, or none is.
    pub fn group(devices: &[Device]) -> Vec<Self> {
        let group = Arc::new(Group::of(devices));
        let replica = |rank| Self {
            rank,
            group: Arc::clone(&group),
        };
        (0..devices.len()).map(replica).collect()
    }

    /// The number of replicas.
    pub fn size(&self) -> usize {
        match &*self.group {
            #[cfg(feature = "cuda")]
            Group::Devices(devices) => devices.len(),
            Group::Host(all_reduce) => all_reduce.size,
        }
    }

    /// The mean over all replicas, `1/R sum_r x_r`; every replica passes its tensor and waits for the
    /// others. All call in the same order with tensors of one shape.
    ///
    /// Differentiable where [`differentiable`](Self::differentiable) says so: with the loss `L_r` of each replica,
    /// the gradient of `x_r` is that of `sum_s L_s`, the mean over `s` of what each `L_s` gives.
    ///
    /// # Panics
    /// When another replica has failed or passed another shape, and for tensors in a graph where the mean
    /// has no gradient.
    pub fn mean<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match &*self.group {
            #[cfg(feature = "cuda")]
            Group::Devices(devices) => {
                use burn::tensor::distributed::{ReduceOperation, all_reduce};
                all_reduce(x, ReduceOperation::Mean, devices.clone()).resolve()
            }
            #[cfg(feature = "flex")]
            Group::Host(_) if x.is_tracked() && crate::flex::functional::run_here(&x) => {
                crate::flex::functional::replica_mean(x, self.clone())
            }
            Group::Host(_) if x.is_tracked() => {
                panic!("means over replicas have gradients on CUDA and on cpu alone")
            }
            Group::Host(all_reduce) => {
                let device = x.device();
                let data = x.into_data();
                let shape = data.shape().clone();
                let mean = all_reduce.mean(self.rank, data.iter::<f32>().collect());
                Tensor::from_data(TensorData::new(mean, shape), &device)
            }
        }
    }

    /// Whether [`mean`](Self::mean) has a gradient on this device.
    pub fn differentiable(device: &Device) -> bool {
        #[cfg(feature = "cuda")]
        if is_cuda(device) {
            return true;
        }
        #[cfg(feature = "flex")]
        if *device == Device::flex() {
            return true;
        }
        let _ = device;
        false
    }

    /// Runs a computation that calls [`mean`](Self::mean). When it fails or panics, the replicas that wait
    /// for this one now or later panic.
    ///
    /// # Errors
    /// The error of `compute`.
    pub fn within<T, E>(&self, compute: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        /// Leaves the group when dropped.
        struct Leave<'a>(&'a Group);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                match self.0 {
                    #[cfg(feature = "cuda")]
                    Group::Devices(_) => {}
                    Group::Host(all_reduce) => all_reduce.leave(),
                }
            }
        }
        let leave = Leave(&self.group);
        let result = compute()?;
        #[expect(
            clippy::mem_forget,
            reason = "the replica stays in the group; nothing is lost, it holds a reference"
        )]
        std::mem::forget(leave);
        Ok(result)
    }

    /// The mean of all replicas' values, in the memory of this process.
    #[cfg(feature = "flex")]
    pub(crate) fn mean_here(&self, values: Vec<f32>) -> Vec<f32> {
        match &*self.group {
            Group::Host(all_reduce) => all_reduce.mean(self.rank, values),
            #[cfg(feature = "cuda")]
            Group::Devices(_) => values,
        }
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "replica {} of {}", self.rank, self.size())
    }
}

#[cfg(feature = "cuda")]
fn is_cuda(device: &Device) -> bool {
    use burn::tensor::DeviceType;
    Device::enumerate(DeviceType::Cuda)
        .into_iter()
        .any(|cuda| cuda == *device)
}

impl Group {
    fn of(devices: &[Device]) -> Self {
        #[cfg(feature = "cuda")]
        if devices.iter().all(is_cuda) {
            return Self::Devices(devices.to_vec());
        }
        Self::Host(AllReduce::new(devices.len()))
    }
}

/// The all-reduce of threads of one process.
#[derive(Debug)]
struct AllReduce {
    round: Mutex<Round>,
    changed: Condvar,
    size: usize,
}

#[derive(Debug, Default)]
struct Round {
    /// The values of each replica for the current mean.
    given: Vec<Option<Vec<f32>>>,
    /// The mean, and how many replicas have yet to read it.
    mean: Vec<f32>,
    waiting: usize,
    /// Whether a replica has left.
    left: bool,
}

impl AllReduce {
    fn new(size: usize) -> Self {
        let given = vec![None; size];
        Self {
            round: Mutex::new(Round {
                given,
                ..Round::default()
            }),
            changed: Condvar::new(),
            size,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self) {
        self.lock().left = true;
        self.changed.notify_all();
    }

    fn wait<'a>(&self, round: MutexGuard<'a, Round>) -> MutexGuard<'a, Round> {
        if round.left {
            drop(round);
            panic!("{}", Replica::LEFT);
        }
        self.changed
            .wait(round)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn mean(&self, rank: usize, values: Vec<f32>) -> Vec<f32> {
        let mut round = self.lock();
        // Not all have read the mean before this one.
        while round.waiting > 0 {
            round = self.wait(round);
        }
        round.given[rank] = Some(values);
        if round.given.iter().all(Option::is_some) {
            let given = round.given.iter_mut().filter_map(Option::take);
            round.mean = average(given.collect(), self.size);
            round.waiting = self.size;
            self.changed.notify_all();
        }
        while round.waiting == 0 {
            round = self.wait(round);
        }
        round.waiting -= 1;
        let mean = match round.waiting {
            0 => std::mem::take(&mut round.mean),
            _ => round.mean.clone(),
        };
        self.changed.notify_all();
        mean
    }
}

/// The mean, summed in the order of the ranks, so that the last bit does not depend on timing.
fn average(given: Vec<Vec<f32>>, size: usize) -> Vec<f32> {
    let mut given = given.into_iter();
    let mut sum = given.next().unwrap_or_default();
    for values in given {
        assert_eq!(
            sum.len(),
            values.len(),
            "replicas average tensors of one shape"
        );
        for (sum, value) in sum.iter_mut().zip(values) {
            *sum += value;
        }
    }
    let factor = 1.0 / size as f32;
    sum.iter_mut().for_each(|sum| *sum *= factor);
    sum
}
