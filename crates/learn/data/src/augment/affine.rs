//! Affine maps of an image about its centre, nearest neighbour.

use crate::info::ImageShape;

/// Where an output pixel comes from, in pixels from the centre:
/// `x' = xx * x + xy * y + dx`, `y' = yx * x + yy * y + dy`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Map {
    pub xx: f64,
    pub xy: f64,
    pub dx: f64,
    pub yx: f64,
    pub yy: f64,
    pub dy: f64,
}

impl Map {
    /// Leaves the image as it is.
    pub(crate) const IDENTITY: Self = Self {
        xx: 1.0,
        xy: 0.0,
        dx: 0.0,
        yx: 0.0,
        yy: 1.0,
        dy: 0.0,
    };

    /// Rotates the image counter-clockwise by an angle in degrees.
    pub(crate) fn rotation(degrees: f64) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        Self {
            xx: cos,
            xy: -sin,
            yx: sin,
            yy: cos,
            ..Self::IDENTITY
        }
    }
}

/// Warps `image` in place; what comes from beyond the edges becomes `fill`.
pub(super) fn warp(image: &mut [u8], shape: ImageShape, map: Map, fill: [u8; 3]) {
    let original = image.to_vec();
    let half = |length: usize| (length as f64 - 1.0) / 2.0;
    let (cx, cy) = (half(shape.width), half(shape.height));
    for row in 0..shape.height {
        for column in 0..shape.width {
            let (x, y) = (column as f64 - cx, row as f64 - cy);
            let from_x = (map.xx * x + map.xy * y + map.dx + cx).round();
            let from_y = (map.yx * x + map.yy * y + map.dy + cy).round();
            let inside = from_x >= 0.0
                && from_y >= 0.0
                && from_x < shape.width as f64
                && from_y < shape.height as f64;
            let source = inside.then(|| from_y as usize * shape.width + from_x as usize);
            let target = row * shape.width + column;
            for channel in 0..shape.channels {
                let start = channel * shape.plane();
                image[start + target] =
                    source.map_or(fill[channel % 3], |source| original[start + source]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape {
        channels: 1,
        height: 3,
        width: 3,
    };

    fn warped(map: Map) -> Vec<u8> {
        let mut image = vec![1, 2, 3, 4, 5, 6, 7, 8, 9];
        warp(&mut image, SHAPE, map, [0; 3]);
        image
    }

    #[test]
    fn known_maps() {
        assert_eq!(warped(Map::IDENTITY), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(warped(Map::rotation(90.0)), [3, 6, 9, 2, 5, 8, 1, 4, 7]);
        assert_eq!(
            warped(Map {
                dx: 1.0,
                ..Map::IDENTITY
            }),
            [2, 3, 0, 5, 6, 0, 8, 9, 0]
        );
        assert_eq!(
            warped(Map {
                dy: -1.0,
                ..Map::IDENTITY
            }),
            [0, 0, 0, 1, 2, 3, 4, 5, 6]
        );
        assert_eq!(
            warped(Map {
                xy: 1.0,
                ..Map::IDENTITY
            }),
            [0, 1, 2, 4, 5, 6, 8, 9, 0]
        );
    }
}
