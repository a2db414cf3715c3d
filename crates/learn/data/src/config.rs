//! The `[data]` table of a recipe.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::augment::AugmentConfig;
use crate::error::DataError;

/// The `[data]` table of a recipe. Every key has a default; a recipe states what it changes.
///
/// # Sizes
/// `image-size` is the size images are *decoded* to: the shorter side is resized to it and the
/// middle cut out (see [`decode_image`](crate::decode_image)). `augment.crop` is the size of the
/// network's *input*: a random window while training, the centre one in evaluation. With neither
/// given, the input is the stored image. Tiny-ImageNet at 32 is therefore either `image-size =
/// 32` (the whole scene, coarser) or `augment.crop = 32` (a part of it, at full detail).
///
/// ```
/// let config: offramp_data::DataConfig = toml::from_str(r#"
///     dataset = "tiny-imagenet-200"
///     val-fraction = 0.05
///     on-error = "skip"
///     [augment]
///     crop = 32
/// "#)?;
/// assert_eq!(config.augment.pad, 4);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct DataConfig {
    /// Which data set, by its registry name.
    pub dataset: String,
    /// Its folder, if that is not called as usual: absolute, or relative to the data folder.
    pub dir: Option<PathBuf>,
    /// The number of classes the recipe was written for; it is an error if the data have another.
    pub classes: Option<usize>,
    /// The share of the training images set aside for validation, stratified; 0 sets none aside.
    pub val_fraction: f64,
    /// The size images are decoded to; the data set's own if absent.
    pub image_size: Option<usize>,
    /// The seed that decides which rows are validation, limited and labelled ones.
    pub split_seed: u64,
    /// What to do with an image that cannot be decoded.
    pub on_error: OnError,
    /// Whether decoded images are kept in a cache file and mapped, instead of held in memory.
    pub cache: bool,
    /// The largest number of training images, chosen stratified after the validation split; absent: all.
    pub train_limit: Option<usize>,
    /// The largest number of test images, chosen stratified; absent: all.
    pub test_limit: Option<usize>,
    /// The share of the training images that keep their label (semi-supervised learning); the
    /// others have label -1.
    pub labelled_fraction: f64,
    /// Channel means instead of the data set's.
    pub mean: Option<[f32; 3]>,
    /// Channel standard deviations instead of the data set's.
    pub std: Option<[f32; 3]>,
    /// Augmentation of the training images.
    pub augment: AugmentConfig,
    /// Sizes of the generated data set.
    pub generated: GeneratedConfig,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            dataset: "generated".into(),
            dir: None,
            classes: None,
            val_fraction: 0.1,
            image_size: None,
            split_seed: 0,
            on_error: OnError::Stop,
            cache: true,
            train_limit: None,
            test_limit: None,
            labelled_fraction: 1.0,
            mean: None,
            std: None,
            augment: AugmentConfig::default(),
            generated: GeneratedConfig::default(),
        }
    }
}

/// What to do with an image that cannot be decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// End with an error that names it.
    #[default]
    Stop,
    /// Leave it out, warn, and count it in [`Images::skipped`](crate::Images::skipped).
    Skip,
}

/// Size and seed of the generated data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GeneratedConfig {
    /// Training images, validation included.
    pub train: usize,
    /// Test images.
    pub test: usize,
    /// The seed of the images; the test ones differ from the training ones under every seed.
    pub seed: u64,
}

impl Default for GeneratedConfig {
    fn default() -> Self {
        Self {
            train: 6000,
            test: 2000,
            seed: 0,
        }
    }
}

impl DataConfig {
    /// Checks what can be checked without opening the data.
    ///
    /// # Errors
    /// [`DataError::Config`] with the first bad key.
    pub fn check(&self) -> Result<(), DataError> {
        let fraction = |key, value: f64, range: std::ops::RangeInclusive<f64>, rule: &str| {
            if range.contains(&value) {
                return Ok(());
            }
            Err(DataError::Config {
                key,
                value: value.to_string(),
                rule: rule.into(),
            })
        };
        fraction(
            "val-fraction",
            self.val_fraction,
            0.0..=0.9,
            "it must lie between 0 and 0.9",
        )?;
        let (low, rule) = (f64::MIN_POSITIVE, "it must be above 0 and at most 1");
        fraction("labelled-fraction", self.labelled_fraction, low..=1.0, rule)?;
        for (key, value) in [
            ("image-size", self.image_size),
            ("train-limit", self.train_limit),
            ("test-limit", self.test_limit),
            ("generated.train", Some(self.generated.train)),
            ("generated.test", Some(self.generated.test)),
        ] {
            if value == Some(0) {
                let rule = "it must be at least 1".into();
                return Err(DataError::Config {
                    key,
                    value: "0".into(),
                    rule,
                });
            }
        }
        if self.image_size.is_some_and(|s| s > MAX_SIZE) {
            let value = format!("{}", self.image_size.unwrap_or_default());
            let rule = format!("it must be at most {MAX_SIZE}");
            return Err(DataError::Config {
                key: "image-size",
                value,
                rule,
            });
        }
        if let Some(std) = self
            .std
            .filter(|s| s.iter().any(|v| !v.is_finite() || *v <= 0.0))
        {
            let rule = "every standard deviation must be finite and above 0".into();
            return Err(DataError::Config {
                key: "std",
                value: format!("{std:?}"),
                rule,
            });
        }
        if let Some(mean) = self
            .mean
            .filter(|m| m.iter().any(|v| !(0.0..=1.0).contains(v)))
        {
            let rule = "every mean must lie in [0, 1], the range of scaled pixels".into();
            return Err(DataError::Config {
                key: "mean",
                value: format!("{mean:?}"),
                rule,
            });
        }
        Ok(())
    }
}

/// Larger images would only exhaust memory.
const MAX_SIZE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_round_trip_through_toml() {
        let config = DataConfig {
            train_limit: Some(7),
            cache: false,
            ..Default::default()
        };
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<DataConfig>(&text).unwrap(), config);
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = toml::from_str::<DataConfig>("datset = \"folder\"").unwrap_err();
        assert!(
            error.to_string().contains("unknown field `datset`"),
            "{error}"
        );
    }

    #[test]
    fn senseless_values_name_their_key() {
        for (toml, key) in [
            ("val-fraction = 1.5", "val-fraction"),
            ("val-fraction = nan", "val-fraction"),
            ("labelled-fraction = 0.0", "labelled-fraction"),
            ("image-size = 0", "image-size"),
            ("image-size = 100000", "image-size"),
            ("std = [0.1, 0.0, 0.1]", "std"),
            ("mean = [127.5, 127.5, 127.5]", "mean"),
            ("[generated]\ntrain = 0", "generated.train"),
        ] {
            let config: DataConfig = toml::from_str(toml).unwrap();
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}`")), "{toml}: {error}");
        }
        DataConfig::default().check().unwrap();
    }
}
