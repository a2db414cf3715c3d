//! Mixing the samples of a batch: mixup and cutmix.

use rand_distr::{Beta, Distribution};

use super::config::AugmentConfig;
use crate::info::ImageShape;
use crate::rng::{Purpose, Stream};

/// The second label of each sample of a mixed batch.
///
/// The target of sample `i` is `lambda[i] * onehot(batch.labels[i]) + (1 - lambda[i]) *
/// onehot(labels[i])`.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// The partner's label.
    pub labels: Vec<i32>,
    /// The weight of the sample's own label, in `[0, 1]`.
    pub lambda: Vec<f32>,
}

/// Mixes each sample with the next one of the batch (the last with the first); `None` if neither
/// mixup nor cutmix is on.
///
/// The order of a shuffled batch is random already, so the neighbour is a random partner. `lambda`
/// and the box are a function of (seed, epoch, sample). A sample whose own or whose partner's
/// label is withheld stays as it is: half a target cannot be learned. Pixels are mixed in uint8,
/// rounded to the nearest level.
///
/// # Shapes
/// - `images`: `N x C x H x W`
/// - `labels`, `indices`: `N`
pub(crate) fn mix_batch(
    config: &AugmentConfig,
    (seed, epoch): (u64, u64),
    images: &mut [u8],
    shape: ImageShape,
    labels: &[i32],
    indices: &[usize],
) -> Option<Mix> {
    if config.mixup <= 0.0 && config.cutmix <= 0.0 {
        return None;
    }
    let plain = images.to_vec();
    let partner = |i: usize| (i + 1) % labels.len();
    let mut mix = Mix {
        labels: (0..labels.len()).map(|i| labels[partner(i)]).collect(),
        lambda: vec![1.0; labels.len()],
    };
    for (i, image) in images.chunks_exact_mut(shape.bytes()).enumerate() {
        if labels[i] < 0 || mix.labels[i] < 0 {
            mix.labels[i] = labels[i];
            continue;
        }
        let mut stream = Stream::new(Purpose::Mix, seed, epoch, indices[i] as u64);
        let other = &plain[partner(i) * shape.bytes()..][..shape.bytes()];
        let cut = config.mixup <= 0.0 || (config.cutmix > 0.0 && stream.chance(0.5));
        let alpha = if cut { config.cutmix } else { config.mixup };
        let lambda = beta(alpha, &mut stream);
        mix.lambda[i] = if cut {
            cut_in(image, other, shape, lambda, &mut stream)
        } else {
            blend(image, other, lambda)
        };
    }
    Some(mix)
}

/// `Beta(alpha, alpha)`; 1 (no mixing) should `alpha` be out of the distribution's range.
fn beta(alpha: f64, stream: &mut Stream) -> f64 {
    Beta::new(alpha, alpha).map_or(1.0, |beta| beta.sample(stream.inner()))
}

/// `lambda * own + (1 - lambda) * other`, rounded.
fn blend(own: &mut [u8], other: &[u8], lambda: f64) -> f32 {
    let lambda = lambda as f32;
    for (own, &other) in own.iter_mut().zip(other) {
        *own = (lambda * f32::from(*own) + (1.0 - lambda) * f32::from(other) + 0.5) as u8;
    }
    lambda
}

/// Pastes a box of `1 - lambda` of the area, its centre anywhere and clipped at the edges; returns
/// the share of pixels that stayed.
fn cut_in(own: &mut [u8], other: &[u8], shape: ImageShape, lambda: f64, s: &mut Stream) -> f32 {
    let side = (1.0 - lambda).max(0.0).sqrt();
    let mut span = |length: usize| {
        let half = ((length as f64 * side) as usize / 2) as i32;
        let centre = s.below(length as u32) as i32;
        let clip = |v: i32| v.clamp(0, length as i32) as usize;
        (clip(centre - half), clip(centre + half))
    };
    let ((top, bottom), (left, right)) = (span(shape.height), span(shape.width));
    for channel in 0..shape.channels {
        for row in top..bottom {
            let start = channel * shape.plane() + row * shape.width;
            own[start + left..start + right].copy_from_slice(&other[start + left..start + right]);
        }
    }
    1.0 - ((bottom - top) * (right - left)) as f32 / shape.plane() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape::square(16);

    fn mixed(config: &AugmentConfig, labels: &[i32]) -> (Vec<u8>, Option<Mix>) {
        let mut images: Vec<u8> = (0..labels.len())
            .flat_map(|i| vec![100 * i as u8; SHAPE.bytes()])
            .collect();
        let indices: Vec<usize> = (0..labels.len()).collect();
        let mix = mix_batch(config, (1, 2), &mut images, SHAPE, labels, &indices);
        (images, mix)
    }

    #[test]
    fn off_changes_nothing() {
        let (images, mix) = mixed(&AugmentConfig::default(), &[5, 6]);
        assert!(mix.is_none() && images[0] == 0 && images[SHAPE.bytes()] == 100);
    }

    #[test]
    fn mixup_pixels_follow_lambda() {
        let config = AugmentConfig {
            mixup: 1.0,
            ..AugmentConfig::none()
        };
        let (images, mix) = mixed(&config, &[5, 6]);
        let mix = mix.unwrap();
        assert_eq!(mix.labels, [6, 5]);
        let lambda = mix.lambda[0];
        assert!(
            images[..SHAPE.bytes()]
                .iter()
                .all(|&p| p == (100.0 * (1.0 - lambda) + 0.5) as u8)
        );
        assert_eq!(images[SHAPE.bytes()], (100.0 * mix.lambda[1] + 0.5) as u8);
    }

    #[test]
    fn cutmix_lambda_is_the_share_of_own_pixels() {
        let config = AugmentConfig {
            cutmix: 1.0,
            ..AugmentConfig::none()
        };
        let (images, mix) = mixed(&config, &[0, 1, 2]);
        for (i, image) in images.chunks_exact(SHAPE.bytes()).enumerate() {
            let own = image.iter().filter(|&&p| p == 100 * i as u8).count();
            let share = own as f32 / SHAPE.bytes() as f32;
            assert!((share - mix.as_ref().unwrap().lambda[i]).abs() < 1e-6);
        }
    }

    #[test]
    fn withheld_labels_are_not_mixed() {
        let config = AugmentConfig {
            mixup: 1.0,
            ..AugmentConfig::none()
        };
        let (images, mix) = mixed(&config, &[0, -1, 2]);
        let mix = mix.unwrap();
        assert_eq!((mix.lambda[0], mix.labels[0], images[0]), (1.0, 0, 0));
        assert_eq!((mix.lambda[1], mix.labels[1]), (1.0, -1));
        assert_eq!(mix.labels[2], 0);
    }

    #[test]
    fn lambda_has_the_moments_of_the_beta_distribution() {
        // Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)).
        let draw = |i| beta(0.2, &mut Stream::new(Purpose::Mix, 0, 0, i));
        let draws: Vec<f64> = (0..20_000).map(draw).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!((mean - 0.5).abs() < 0.015, "{mean}");
        assert!((variance - 1.0 / 5.6).abs() < 0.005, "{variance}");
    }
}
