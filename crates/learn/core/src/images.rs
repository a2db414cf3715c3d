//! From bytes to network input.

use std::iter;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// Turns a block of planar RGB bytes into a normalised tensor on `device`:
/// `x = (byte / 255 - mean) / std`, per channel.
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
    standardise(pixels(bytes, shape, device), mean, std)
}

/// Bytes as numbers from 0 to 255 on `device`, `[N, C, H, W]`.
///
/// They travel as bytes where the device knows any, from memory that it can copy from at once (pinned,
/// on CUDA), and are converted there.
///
/// # Panics
/// When the number of bytes is not that of the shape.
pub fn pixels(bytes: Vec<u8>, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let mut block = TensorData::new(bytes, shape);
    if !device.supports_dtype(DType::U8) {
        return Tensor::<4, Int>::from_data(block, device).float();
    }
    device.staging(iter::once(&mut block));
    Tensor::<4, Int>::from_data(block, (device, DType::U8)).float()
}

/// `x = (byte / 255 - mean) / std`, per channel, of numbers from 0 to 255, `[N, 3, H, W]`.
///
/// # Panics
/// When there are not three channels.
pub fn standardise(pixels: Tensor<4>, mean: [f32; 3], std: [f32; 3]) -> Tensor<4> {
    assert_eq!(pixels.dims()[1], 3, "images have three channels");
    let device = &pixels.device();
    // (b / 255 - m) / s = b * 1/(255 s) - m / s
    let scale = std.map(|s| 1.0 / (255.0 * s));
    let shift = [0, 1, 2].map(|c| mean[c] / std[c]);
    let scale = Tensor::<1>::from_floats(scale, device).reshape([1, 3, 1, 1]);
    let shift = Tensor::<1>::from_floats(shift, device).reshape([1, 3, 1, 1]);
    pixels * scale - shift
}

/// A window of an image; it may reach beyond the edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The image's row that becomes row 0.
    pub top: i32,
    /// The image's column that becomes column 0 before the flip.
    pub left: i32,
    /// Whether the window is mirrored left to right.
    pub flip: bool,
}

/// Cuts a window out of each image, on the images' device; what lies beyond the edges has the
/// colour `fill`.
///
/// # Shapes
/// - `images`: `[N, 3, H, W]`, `places`: `N`, `size`: height and width of the windows
/// - output: `[N, 3, size[0], size[1]]`
///
/// # Panics
/// When the places are not one per image.
pub fn windows(images: Tensor<4>, places: &[Place], size: [usize; 2], fill: [u8; 3]) -> Tensor<4> {
    let [n, channels, height, width] = images.dims();
    assert_eq!(n, places.len(), "one window per image");
    let device = &images.device();
    // Which row or column of its image each one of a window comes from, and whether it is in there.
    let index = |to: usize, of: usize, from: &dyn Fn(&Place, usize) -> i32| {
        let found: Vec<i32> = (places.iter())
            .flat_map(|place| (0..to).map(move |i| (place, i)))
            .map(|(place, i)| from(place, i))
            .collect();
        let found = Tensor::<2, Int>::from_data(TensorData::new(found, [n, to]), device);
        let inside = found.clone().greater_equal_elem(0).int();
        let inside = inside * found.clone().lower_elem(of as i32).int();
        (found.clamp(0, of as i32 - 1), inside)
    };
    let (rows, row_inside) = index(size[0], height, &|place, i| place.top + i as i32);
    let (columns, column_inside) = index(size[1], width, &|place, i| {
        let i = if place.flip { size[1] - 1 - i } else { i };
        place.left + i as i32
    });
    let rows = rows.reshape([n, 1, size[0], 1]);
    let columns = columns.reshape([n, 1, 1, size[1]]);
    let cut = images.gather(2, rows.expand([n, channels, size[0], width]));
    let cut = cut.gather(3, columns.expand([n, channels, size[0], size[1]]));
    let outside = (row_inside.reshape([n, 1, size[0], 1])
        * column_inside.reshape([n, 1, 1, size[1]]))
    .equal_elem(0)
    .expand([n, channels, size[0], size[1]]);
    let fill = Tensor::<1>::from_floats(fill.map(f32::from), device).reshape([1, 3, 1, 1]);
    cut.mask_where(outside, fill.expand([n, channels, size[0], size[1]]))
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
