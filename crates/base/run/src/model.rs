//! `model.json`: what has to be known of a network besides its weights.

use offramp_graph::MapShape;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::{Document, Fault};
use crate::input::ImageInput;

/// What has to be known of a network besides its weights.
///
/// `Net` describes backbone and heads; whoever only wants classes and images leaves it as it is in the
/// file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelCard<Net = Value> {
    /// Version of the format, 1.
    pub format: u32,
    /// The network.
    pub net: Net,
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// Shape of an input image.
    pub image: MapShape,
    /// The shape that an image file is brought to before the centre of shape `image` is cut out of
    /// it; often the same.
    pub resize: MapShape,
    /// Mean of the pixels (0 to 1), per channel, that is subtracted.
    pub mean: [f32; 3],
    /// Standard deviation of the pixels, per channel, that is divided by.
    pub std: [f32; 3],
    /// The data set that it was trained on.
    pub dataset: String,
    /// Commit of the program that trained it, where known.
    pub commit: Option<String>,
    /// SHA-256 of `model.safetensors`, in lower-case hexadecimal.
    pub sha256: String,
}

impl<Net> ModelCard<Net> {
    /// How an image file becomes an input of the network.
    pub fn input(&self) -> ImageInput {
        ImageInput {
            image: self.image,
            resize: self.resize,
            mean: self.mean,
            std: self.std,
        }
    }
}

impl<Net: Serialize + DeserializeOwned> Document for ModelCard<Net> {
    const FILE: &'static str = "model.json";
    const NAME: &'static str = "model card";
    const FORMAT: u32 = 1;
    const FORMAT_KEYS: &'static [&'static str] = &["format"];
    const REMEDY: &'static str = "use the offramp version that trained it, or train again";

    fn check(&self) -> Result<(), Fault> {
        if self.classes.is_empty() {
            return Err(Fault::new("classes", "[]", "a network has classes"));
        }
        self.input().check()?;
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if self.sha256.len() != 64 || !self.sha256.bytes().all(hexadecimal) {
            return Err(Fault::new(
                "sha256",
                format!("{:?}", self.sha256),
                "a SHA-256 is 64 digits from 0 to 9 and a to f",
            ));
        }
        Ok(())
    }
}
