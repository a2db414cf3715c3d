//! Which replica the thread computes, for layers that look beyond their own rows.

use std::cell::RefCell;

use burn::tensor::Tensor;
use offramp_kernels::Replica;

thread_local! {
    static CURRENT: RefCell<Option<(Replica, f64)>> = const { RefCell::new(None) };
}

/// Computes with batch norm synchronised: its layers take the statistics of all replicas' rows.
///
/// Every replica calls this with the same network, in a thread of its own; forward and backward pass
/// both belong inside. `share` is the replica's part of all rows, `n_r / sum_r n_r`.
pub fn synchronised<T>(replica: Replica, share: f64, compute: impl FnOnce() -> T) -> T {
    /// Takes it back, after a panic too.
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            CURRENT.set(None);
        }
    }
    CURRENT.set(Some((replica, share)));
    let _reset = Reset;
    compute()
}

/// Statistics over the rows of all replicas.
pub(crate) struct Statistics {
    /// Mean of every channel, with gradients, `[C]`.
    pub mean: Tensor<1>,
    /// Biased variance of every channel, with gradients, `[C]`.
    pub variance: Tensor<1>,
    /// How many values of a channel they were taken from.
    pub count: f64,
}

/// The statistics of a map, `None` outside of [`synchronised`]. With `s_r` the share of replica `r`:
/// `mean = sum_r s_r mean_r`, `variance = sum_r s_r (variance_r + (mean_r - mean)^2)`.
pub(crate) fn statistics(x: &Tensor<4>) -> Option<Statistics> {
    let (replica, share) = CURRENT.with_borrow(Clone::clone)?;
    let [n, channels, h, w] = x.dims();
    let over_rows = |x: Tensor<4>| x.mean_dim(0).mean_dim(2).mean_dim(3).reshape([channels]);
    // The mean over replicas divides by their number.
    let sum = |x: Tensor<1>| replica.mean(x * (share * replica.size() as f64));
    let own = over_rows(x.clone());
    let variance = over_rows((x.clone() - own.clone().reshape([1, channels, 1, 1])).square());
    let mean = sum(own.clone());
    Some(Statistics {
        variance: sum(variance + (own - mean.clone()).square()),
        mean,
        count: (n * h * w) as f64 / share,
    })
}
