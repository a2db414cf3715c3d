//! RandAugment: choosing the operations and their strength.

use super::affine;
use super::config::RandAugment;
use super::photometric as photo;
use crate::info::ImageShape;
use crate::rng::Stream;

/// The operations of the paper's table, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Identity,
    AutoContrast,
    Equalize,
    Rotate,
    Solarize,
    Colour,
    Posterize,
    Contrast,
    Brightness,
    Sharpness,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
}

const OPS: [Op; 14] = [
    Op::Identity,
    Op::AutoContrast,
    Op::Equalize,
    Op::Rotate,
    Op::Solarize,
    Op::Colour,
    Op::Posterize,
    Op::Contrast,
    Op::Brightness,
    Op::Sharpness,
    Op::ShearX,
    Op::ShearY,
    Op::TranslateX,
    Op::TranslateY,
];

/// Applies `settings.ops` random operations to a planar RGB image.
pub(super) fn apply(
    settings: &RandAugment,
    shape: ImageShape,
    fill: [u8; 3],
    stream: &mut Stream,
    image: &mut [u8],
) {
    let strength = f64::from(settings.magnitude) / 30.0;
    for _ in 0..settings.ops {
        let op = OPS[stream.below(OPS.len() as u32) as usize];
        let sign = if stream.chance(0.5) { 1.0 } else { -1.0 };
        apply_one(op, strength, sign, shape, fill, image);
    }
}

/// One operation. `strength` in `[0, 1]` spans torchvision's ranges: 30 degrees, a shear of 0.3, a
/// shift of 150/331 of the side, enhancement factors of 1 +- 0.9, 4 bits of posterisation and
/// the whole range of solarisation.
fn apply_one(op: Op, strength: f64, sign: f64, shape: ImageShape, fill: [u8; 3], image: &mut [u8]) {
    const SHIFT: f64 = 150.0 / 331.0;
    let factor = (1.0 + sign * 0.9 * strength) as f32;
    let (shear, shift) = (sign * 0.3 * strength, sign * SHIFT * strength);
    let mut warp = |map: affine::Map| affine::warp(image, shape, map, fill);
    match op {
        Op::Identity => {}
        Op::Rotate => warp(affine::Map::rotation(sign * 30.0 * strength)),
        Op::ShearX => warp(affine::Map {
            xy: shear,
            ..affine::Map::IDENTITY
        }),
        Op::ShearY => warp(affine::Map {
            yx: shear,
            ..affine::Map::IDENTITY
        }),
        Op::TranslateX => {
            let dx = (shift * shape.width as f64).trunc();
            warp(affine::Map {
                dx,
                ..affine::Map::IDENTITY
            });
        }
        Op::TranslateY => {
            let dy = (shift * shape.height as f64).trunc();
            warp(affine::Map {
                dy,
                ..affine::Map::IDENTITY
            });
        }
        Op::AutoContrast => photo::auto_contrast(image, shape),
        Op::Equalize => photo::equalize(image, shape),
        Op::Solarize => photo::solarize(image, (255.0 * (1.0 - strength)) as u8),
        Op::Posterize => photo::posterize(image, 8 - (4.0 * strength).round() as u32),
        Op::Colour => photo::colour(image, shape, factor),
        Op::Contrast => photo::contrast(image, shape, factor),
        Op::Brightness => photo::brightness(image, factor),
        Op::Sharpness => photo::sharpness(image, shape, factor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    const SHAPE: ImageShape = ImageShape::square(16);

    fn image() -> Vec<u8> {
        (0..SHAPE.bytes())
            .map(|i| (i * 37 % 200 + 20) as u8)
            .collect()
    }

    #[test]
    fn at_strength_zero_most_operations_do_nothing() {
        for op in OPS {
            let mut out = image();
            apply_one(op, 0.0, 1.0, SHAPE, [0; 3], &mut out);
            let same = out == image();
            assert_eq!(
                same,
                !matches!(op, Op::AutoContrast | Op::Equalize),
                "{op:?}"
            );
        }
    }

    #[test]
    fn at_full_strength_every_operation_but_identity_changes_the_image() {
        for op in OPS {
            let mut out = image();
            apply_one(op, 1.0, -1.0, SHAPE, [0; 3], &mut out);
            assert_eq!(out == image(), op == Op::Identity, "{op:?}");
        }
    }

    #[test]
    fn is_a_function_of_its_stream() {
        let run = |index| {
            let mut out = image();
            let mut stream = Stream::new(Purpose::Augment, 0, 0, index);
            apply(
                &RandAugment::default(),
                SHAPE,
                [0; 3],
                &mut stream,
                &mut out,
            );
            out
        };
        assert_eq!(run(1), run(1));
        assert!((0..8).any(|i| run(i) != run(8)));
    }
}
