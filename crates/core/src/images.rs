//! From bytes to network input.

use burn::tensor::{Device, Int, Tensor, TensorData};

/// Turns a block of planar RGB bytes into a normalised tensor on `device`:
/// `x = (byte / 255 - mean) / std`, per channel.
///
/// The bytes travel to the device as they are and are converted there.
///
/// # Shapes
/// - `bytes`: `N * C * H * W` values, output: `[N, C, H, W]`
///
/// # Panics
/// When the number of bytes is not `N * C * H * W` or `C` is not 3.
pub fn normalise(
    bytes: Vec<u8>,
    shape: [usize; 4],
    mean: [f32; 3],
    std: [f32; 3],
    device: &Device,
) -> Tensor<4> {
    assert_eq!(shape[1], 3, "images have three channels");
    let block = TensorData::new(bytes, shape);
    let pixels = Tensor::<4, Int>::from_data(block, device).float();
    // (b / 255 - m) / s = b * 1/(255 s) - m / s
    let scale = std.map(|s| 1.0 / (255.0 * s));
    let shift = [0, 1, 2].map(|c| mean[c] / std[c]);
    let scale = Tensor::<1>::from_floats(scale, device).reshape([1, 3, 1, 1]);
    let shift = Tensor::<1>::from_floats(shift, device).reshape([1, 3, 1, 1]);
    pixels * scale - shift
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::default_device;

    #[test]
    fn every_channel_has_its_own_mean_and_std() {
        let device = default_device().unwrap();
        let bytes = vec![0, 255, 51, 102, 0, 255];
        let x = normalise(
            bytes,
            [1, 3, 1, 2],
            [0.0, 0.2, 0.5],
            [1.0, 0.5, 0.25],
            &device,
        );
        let x: Vec<f32> = x.into_data().try_to_vec().unwrap();
        let expected = [0.0, 1.0, 0.0, 0.4, -2.0, 2.0];
        for (x, e) in x.iter().zip(expected) {
            assert!((x - e).abs() < 1e-6, "{x} {e}");
        }
    }
}
