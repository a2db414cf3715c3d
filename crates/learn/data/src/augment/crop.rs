//! Cutting a window out of an image.

use crate::info::ImageShape;

/// Where a window lies in an image; it may reach beyond the edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The image's row that becomes row 0.
    pub top: i32,
    /// The image's column that becomes column 0 before the flip.
    pub left: i32,
    /// Whether the window is mirrored left to right.
    pub flip: bool,
}

/// Copies a window of `image`; what lies beyond its edges becomes `fill`.
pub(crate) fn copy_window(
    image: &[u8],
    from: ImageShape,
    window: Window,
    out: &mut [u8],
    to: ImageShape,
    fill: [u8; 3],
) {
    // The part of a row that exists: output columns first..last come from the image.
    let first = (-window.left).clamp(0, to.width as i32) as usize;
    let last = (from.width as i32 - window.left).clamp(first as i32, to.width as i32) as usize;
    for channel in 0..to.channels {
        let colour = fill[channel % 3];
        for row in 0..to.height {
            let start = channel * to.plane() + row * to.width;
            let target = &mut out[start..start + to.width];
            let source_row = window.top + row as i32;
            if source_row < 0 || source_row >= from.height as i32 || first == last {
                target.fill(colour);
                continue;
            }
            let source = channel * from.plane() + source_row as usize * from.width;
            let column = source + (first as i32 + window.left) as usize;
            target[..first].fill(colour);
            target[first..last].copy_from_slice(&image[column..column + last - first]);
            target[last..].fill(colour);
            if window.flip {
                target.reverse();
            }
        }
    }
}

/// Copies the centre of `image`. An odd remainder leaves the extra row and column at the bottom
/// and on the right.
pub(crate) fn centre_crop(image: &[u8], from: ImageShape, out: &mut [u8], to: ImageShape) {
    if from == to {
        out.copy_from_slice(image);
        return;
    }
    let middle = |from: usize, to: usize| (from as i32 - to as i32) / 2;
    let (top, left) = (middle(from.height, to.height), middle(from.width, to.width));
    copy_window(
        image,
        from,
        Window {
            top,
            left,
            flip: false,
        },
        out,
        to,
        [0; 3],
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(shape: ImageShape) -> Vec<u8> {
        (0..shape.bytes()).map(|i| (i % 251) as u8 + 1).collect()
    }

    /// Every pixel of every window against the definition.
    #[test]
    fn windows_are_right_pixel_by_pixel() {
        let from = ImageShape {
            channels: 3,
            height: 5,
            width: 6,
        };
        let to = ImageShape {
            channels: 3,
            height: 4,
            width: 3,
        };
        let image = image(from);
        let mut out = vec![0; to.bytes()];
        for (top, left) in (-5..7).flat_map(|t| (-7..8).map(move |l| (t, l))) {
            for flip in [false, true] {
                copy_window(
                    &image,
                    from,
                    Window { top, left, flip },
                    &mut out,
                    to,
                    [7, 8, 9],
                );
                for (i, &pixel) in out.iter().enumerate() {
                    let (c, y, x) = (i / 12, (i / 3 % 4) as i32, (i % 3) as i32);
                    let (y, x) = (top + y, left + if flip { 2 - x } else { x });
                    let inside = (0..5).contains(&y) && (0..6).contains(&x);
                    let want = if inside {
                        image[c * 30 + (y * 6 + x) as usize]
                    } else {
                        [7, 8, 9][c]
                    };
                    assert_eq!(pixel, want, "window {top},{left} flip {flip} pixel {i}");
                }
            }
        }
    }

    #[test]
    fn the_centre_is_the_centre() {
        let (from, to) = (ImageShape::square(8), ImageShape::square(4));
        let image = image(from);
        let mut out = vec![0; to.bytes()];
        centre_crop(&image, from, &mut out, to);
        assert_eq!(out[0], image[2 * 8 + 2]);
        assert_eq!(out[to.bytes() - 1], image[2 * 64 + 5 * 8 + 5]);
    }
}
