//! The `[data.augment]` table.

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::info::ImageShape;

/// Augmentation of training images. The default is that of the CIFAR papers: pad by 4, random
/// crop, flip. [`AugmentConfig::none`] is no augmentation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Pixels added on each side before the random crop.
    pub pad: usize,
    /// The size of the network's input: a random window in training, the centre one in evaluation; the
    /// whole image if absent.
    pub crop: Option<usize>,
    /// The colour of padding and of what RandAugment moves in. Black is what PyTorch's
    /// `RandomCrop(32, padding=4)` before normalisation gives.
    pub fill: Fill,
    /// The probability of a horizontal flip.
    pub flip: f64,
    /// Random-resized crop instead of pad and crop.
    pub resized_crop: Option<ResizedCrop>,
    /// RandAugment.
    pub rand_augment: Option<RandAugment>,
    /// The side of the square of cutout in pixels; 0 is off (DeVries and Taylor, "Improved
    /// Regularization of Convolutional Neural Networks with Cutout", 2017).
    pub cutout: usize,
    /// Random erasing.
    pub erase: Option<Erasing>,
    /// The colour of cutout and erased rectangles; the mean colour is 0 after normalisation, as
    /// in the papers.
    pub erase_fill: Fill,
    /// `alpha` of mixup, `lambda ~ Beta(alpha, alpha)`; 0 is off (Zhang et al., "mixup: Beyond
    /// Empirical Risk Minimization", ICLR 2018).
    pub mixup: f64,
    /// `alpha` of cutmix; 0 is off (Yun et al., "CutMix", ICCV 2019). With mixup also on, each
    /// sample takes one of the two with equal probability.
    pub cutmix: f64,
    /// Whether pad, crop and flip are done on the device: images are transferred as they are stored, with
    /// the position of each window, and the result is the same. For GPUs that wait for the processor;
    /// nothing else of this table may be on.
    pub on_device: bool,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            pad: 4,
            flip: 0.5,
            ..Self::none()
        }
    }
}

/// A fill colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fill {
    /// Pixel value 0.
    Black,
    /// The mean colour of the data set, rounded to uint8.
    Mean,
}

impl Fill {
    /// The colour, given the channel means in `[0, 1]`.
    pub(crate) fn colour(self, mean: [f32; 3]) -> [u8; 3] {
        match self {
            Self::Black => [0; 3],
            Self::Mean => mean.map(|m| (m * 255.0).round().clamp(0.0, 255.0) as u8),
        }
    }
}

/// Random-resized crop (Szegedy et al., "Going Deeper with Convolutions", CVPR 2015): a window of
/// random area and shape, resized to the network's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ResizedCrop {
    /// The least and largest area, as a share of the image's.
    pub scale: [f64; 2],
    /// The least and largest width divided by height; log-uniform between them.
    pub ratio: [f64; 2],
}

impl Default for ResizedCrop {
    fn default() -> Self {
        Self {
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
        }
    }
}

/// Random erasing (Zhong et al., "Random Erasing Data Augmentation", AAAI 2020).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Erasing {
    /// The probability that an image gets a rectangle.
    pub probability: f64,
    /// The least and largest area of the rectangle, as a share of the image's.
    pub scale: [f64; 2],
    /// The least and largest width divided by height; log-uniform between them.
    pub ratio: [f64; 2],
}

impl Default for Erasing {
    fn default() -> Self {
        Self {
            probability: 0.5,
            scale: [0.02, 0.33],
            ratio: [0.3, 3.3],
        }
    }
}

/// RandAugment (Cubuk et al., "RandAugment", NeurIPS 2020): `ops` operations drawn with
/// replacement from fourteen, all at strength `magnitude`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RandAugment {
    /// Operations per image.
    pub ops: usize,
    /// Strength, 0 to 30.
    pub magnitude: u32,
}

impl Default for RandAugment {
    fn default() -> Self {
        Self {
            ops: 2,
            magnitude: 9,
        }
    }
}

impl AugmentConfig {
    /// No augmentation.
    pub fn none() -> Self {
        Self {
            pad: 0,
            crop: None,
            fill: Fill::Black,
            flip: 0.0,
            resized_crop: None,
            rand_augment: None,
            cutout: 0,
            erase: None,
            erase_fill: Fill::Mean,
            mixup: 0.0,
            cutmix: 0.0,
            on_device: false,
        }
    }

    /// The name of a setting that is on and cannot be done on the device.
    fn beyond_windows(&self) -> Option<&'static str> {
        let settings = [
            ("resized-crop", self.resized_crop.is_some()),
            ("rand-augment", self.rand_augment.is_some()),
            ("cutout", self.cutout > 0),
            ("erase", self.erase.is_some()),
            ("mixup", self.mixup > 0.0),
            ("cutmix", self.cutmix > 0.0),
        ];
        let found = settings.into_iter().find(|(_, on)| *on);
        found.map(|(key, _)| key)
    }

    /// Checks the settings for images of shape `stored` and network inputs of `shape`.
    pub(crate) fn check(&self, stored: ImageShape, shape: ImageShape) -> Result<(), DataError> {
        let bad = |key, value: String, rule: &str| {
            Err(DataError::Config {
                key,
                value,
                rule: rule.to_owned(),
            })
        };
        if shape.height > stored.height || shape.width > stored.width {
            let rule = format!("the stored images are {stored}: choose a smaller crop");
            return bad("augment.crop", shape.to_string(), &rule);
        }
        for (key, pixels) in [("augment.pad", self.pad), ("augment.cutout", self.cutout)] {
            if pixels > stored.height.min(stored.width) {
                return bad(
                    key,
                    pixels.to_string(),
                    "it may not exceed the image's side",
                );
            }
        }
        for (key, p) in [
            ("augment.flip", self.flip),
            (
                "augment.erase.probability",
                self.erase.as_ref().map_or(0.0, |e| e.probability),
            ),
        ] {
            if !(0.0..=1.0).contains(&p) {
                return bad(key, p.to_string(), "a probability lies between 0 and 1");
            }
        }
        for (key, alpha) in [
            ("augment.mixup", self.mixup),
            ("augment.cutmix", self.cutmix),
        ] {
            if !(0.0..=100.0).contains(&alpha) {
                return bad(key, alpha.to_string(), "alpha lies between 0 (off) and 100");
            }
        }
        let ranges = [
            (
                "augment.resized-crop",
                self.resized_crop.as_ref().map(|c| (c.scale, c.ratio)),
            ),
            (
                "augment.erase",
                self.erase.as_ref().map(|e| (e.scale, e.ratio)),
            ),
        ];
        for (key, [low, high], [narrow, wide]) in ranges
            .into_iter()
            .filter_map(|(key, r)| r.map(|(scale, ratio)| (key, scale, ratio)))
        {
            if !(low > 0.0 && low <= high && high <= 1.0) {
                return bad(
                    key,
                    format!("scale [{low}, {high}]"),
                    "0 < low <= high <= 1 must hold",
                );
            }
            if !(narrow > 0.0 && narrow <= wide && wide <= 100.0) {
                let rule = "0 < low <= high <= 100 must hold";
                return bad(key, format!("ratio [{narrow}, {wide}]"), rule);
            }
        }
        if let (true, Some(key)) = (self.on_device, self.beyond_windows()) {
            let rule = format!("with it, only pad, crop and flip may be on, not {key}");
            return bad("augment.on-device", "true".to_owned(), &rule);
        }
        match &self.rand_augment {
            Some(r) if r.magnitude > 30 => {
                let rule = "the magnitude lies between 0 and 30";
                bad("augment.rand-augment", r.magnitude.to_string(), rule)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_values_name_their_key() {
        let check = |toml: &str| {
            let config: AugmentConfig = toml::from_str(toml).unwrap();
            config.check(
                ImageShape::square(32),
                ImageShape::square(config.crop.unwrap_or(32)),
            )
        };
        for (toml, key) in [
            ("crop = 33", "augment.crop"),
            ("pad = 33", "augment.pad"),
            ("cutout = 33", "augment.cutout"),
            ("flip = 1.5", "augment.flip"),
            ("mixup = -1.0", "augment.mixup"),
            ("cutmix = nan", "augment.cutmix"),
            ("[erase]\nprobability = 2.0", "augment.erase.probability"),
            ("[erase]\nscale = [0.5, 0.1]", "augment.erase"),
            ("[resized-crop]\nratio = [0.0, 1.0]", "augment.resized-crop"),
            ("[rand-augment]\nmagnitude = 31", "augment.rand-augment"),
            ("on-device = true\ncutout = 8", "augment.on-device"),
        ] {
            let error = check(toml).unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}`")), "{toml}: {error}");
        }
        check("").unwrap();
        check("crop = 24\nmixup = 0.2\n[erase]\n[resized-crop]\n[rand-augment]").unwrap();
    }

    #[test]
    fn fill_colours() {
        assert_eq!(Fill::Black.colour([0.5; 3]), [0; 3]);
        assert_eq!(Fill::Mean.colour([0.0, 0.5, 1.0]), [0, 128, 255]);
    }
}
