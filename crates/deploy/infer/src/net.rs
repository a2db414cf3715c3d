//! The interface of networks that a runner computes segment by segment.

use burn::tensor::Tensor;
use offramp_core::Features;
use offramp_heads::MultiExitNet;

/// A network that can be computed one segment at a time.
pub trait EarlyExitNet {
    /// Number of exits.
    fn num_exits(&self) -> usize;

    /// From the features at exit `exit - 1` (exit 0: from the image) to those at exit `exit`.
    fn segment(&self, exit: usize, x: Features) -> Features;

    /// Logits of exit `exit` from its map, `[N, C]`; `previous` are those of the exit before for the
    /// same images, none at exit 0.
    fn logits(&self, exit: usize, map: Tensor<4>, previous: Option<Tensor<2>>) -> Tensor<2>;
}

impl EarlyExitNet for MultiExitNet {
    fn num_exits(&self) -> usize {
        Self::num_exits(self)
    }

    fn segment(&self, exit: usize, x: Features) -> Features {
        Self::segment(self, exit, x)
    }

    fn logits(&self, exit: usize, map: Tensor<4>, previous: Option<Tensor<2>>) -> Tensor<2> {
        self.exit(exit, map, previous).logits
    }
}
