//! Pooling to a size instead of by a window.

use burn::tensor::{Tensor, module};
use offramp_kernels::avg_pool2d;

/// Average pooling down to `size` = `[height, width]`, PyTorch's `F.adaptive_avg_pool2d`; a side
/// that is not longer than asked for stays as it is.
///
/// # Shapes
/// - `map`: `[N, C, H, W]`, output: `[N, C, min(H, height), min(W, width)]`
pub fn shrink(map: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, h, w] = map.dims();
    let [height, width] = [size[0].min(h), size[1].min(w)];
    if [height, width] == [h, w] {
        return map;
    }
    if h.is_multiple_of(height) && w.is_multiple_of(width) {
        let window = [h / height, w / width];
        return avg_pool2d(map, window, window);
    }
    module::adaptive_avg_pool2d(map, [height, width])
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    /// `F.adaptive_avg_pool2d(torch.arange(12.).reshape(1, 1, 3, 4), size)`
    #[test]
    fn values_of_pytorch() {
        let map = || {
            let numbers: Vec<f32> = (0..12).map(|i| i as f32).collect();
            Tensor::<1>::from_floats(numbers.as_slice(), &default_device().unwrap())
                .reshape([1, 1, 3, 4])
        };
        let pooled = |size| shrink(map(), size).into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(pooled([1, 2]), [4.5, 6.5]);
        // Windows of rows 0 to 1 and 1 to 2: they overlap.
        assert_eq!(pooled([2, 2]), [2.5, 4.5, 6.5, 8.5]);
        assert_eq!(shrink(map(), [8, 1]).dims(), [1, 1, 3, 1]);
        assert_eq!(shrink(map(), [3, 9]).dims(), [1, 1, 3, 4]);
    }
}
