//! The description of a network that a program needs to use its plan.

use offramp_graph::MapShape;
use offramp_run::{ImageInput, ModelCard};
use serde::{Deserialize, Serialize};

/// The network that a plan was made of: with this and a policy, a plan's file is all that a program needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Checksum of the weights, SHA-256 in hexadecimal; a policy's file names the same.
    pub model: String,
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// Channels, height and width of an image.
    pub image: [usize; 3],
    /// Height and width to which an image is resized before its centre is cut out.
    pub resize: [usize; 2],
    /// Mean of the pixels, 0 to 1, per channel, that is subtracted.
    pub mean: [f32; 3],
    /// Standard deviation of the pixels, per channel, that is divided by.
    pub std: [f32; 3],
    /// Multiply-accumulates to each exit.
    pub macs: Vec<u64>,
}

impl About {
    /// The network of a card, with the multiply-accumulates to each exit.
    pub fn new<Net>(card: &ModelCard<Net>, macs: Vec<u64>) -> Self {
        Self {
            model: card.sha256.clone(),
            classes: card.classes.clone(),
            image: [card.image.channels, card.image.height, card.image.width],
            resize: [card.resize.height, card.resize.width],
            mean: card.mean,
            std: card.std,
            macs,
        }
    }

    /// How an image becomes an input of the network.
    pub fn input(&self) -> ImageInput {
        let [channels, height, width] = self.image;
        let [resized_height, resized_width] = self.resize;
        ImageInput {
            image: MapShape::new(channels, height, width),
            resize: MapShape::new(channels, resized_height, resized_width),
            mean: self.mean,
            std: self.std,
        }
    }

    /// Planar bytes of images, `[N, 3, H, W]`, as the network reads them:
    /// `x = (byte / 255 - mean) / std`, per channel.
    pub fn normalise(&self, bytes: &[u8]) -> Vec<f32> {
        self.input().normalise(bytes)
    }

    /// The reason why this cannot belong to a plan with `exits` exits, `logits` logits and `pixels` values of an
    /// image, if there is one.
    pub(crate) fn fault(&self, exits: usize, logits: usize, pixels: usize) -> Option<String> {
        let [channels, height, width] = self.image;
        let values = channels
            .checked_mul(height)
            .and_then(|n| n.checked_mul(width));
        if self.macs.len() != exits {
            Some(format!("{} costs for {exits} exits", self.macs.len()))
        } else if self.classes.len() != logits {
            Some(format!(
                "{} classes for {logits} logits",
                self.classes.len()
            ))
        } else if channels != 3 || values != Some(pixels) {
            Some(format!(
                "images {channels}x{height}x{width} for an input of {pixels} values"
            ))
        } else {
            self.input().check().err().map(|fault| fault.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About {
            model: "abc".to_owned(),
            classes: vec!["cat".to_owned(), "dog".to_owned()],
            image: [3, 1, 2],
            resize: [1, 2],
            mean: [0.0, 0.2, 0.5],
            std: [1.0, 0.5, 0.25],
            macs: vec![1, 2],
        }
    }

    #[test]
    fn every_channel_has_its_own_mean_and_std() {
        let x = about().normalise(&[0, 255, 51, 102, 0, 255]);
        for (x, expected) in x.iter().zip([0.0, 1.0, 0.0, 0.4, -2.0, 2.0]) {
            assert!((x - expected).abs() < 1e-6, "{x} {expected}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert_eq!(about().fault(2, 2, 6), None);
        for (exits, logits, pixels, part) in [
            (3, 2, 6, "2 costs"),
            (2, 5, 6, "2 classes"),
            (2, 2, 12, "3x1x2"),
        ] {
            let fault = about().fault(exits, logits, pixels).unwrap();
            assert!(fault.contains(part), "{fault}");
        }
        let zero = About {
            std: [0.0; 3],
            ..about()
        };
        assert!(zero.fault(2, 2, 6).is_some());
        let small = About {
            resize: [1, 1],
            ..about()
        };
        assert!(small.fault(2, 2, 6).unwrap().contains("smaller"));
    }
}
