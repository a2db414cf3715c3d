//! Description of a data set: names, shape and pixel statistics.

use serde::{Deserialize, Serialize};

/// Channels, height and width of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageShape {
    /// Colour planes: 3, red first.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageShape {
    /// A square RGB image.
    pub const fn square(size: usize) -> Self {
        Self {
            channels: 3,
            height: size,
            width: size,
        }
    }

    /// Bytes of one image: `C * H * W`.
    pub const fn bytes(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Bytes of one colour plane: `H * W`.
    pub const fn plane(&self) -> usize {
        self.height * self.width
    }
}

impl std::fmt::Display for ImageShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

/// Description of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// Its name in the registry.
    pub name: String,
    /// Class names; the position is the label.
    pub classes: Vec<String>,
    /// The shape of the network's input, after the crop.
    pub shape: ImageShape,
    /// Mean of each channel of the training pixels scaled to `[0, 1]`.
    pub mean: [f32; 3],
    /// Standard deviation of each channel of the training pixels scaled to `[0, 1]`.
    pub std: [f32; 3],
    /// The shape images are decoded to where that is larger than [`DatasetInfo::shape`]: the
    /// network's input is then the centre of it (a random part of it while training).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoded: Option<ImageShape>,
}

impl DatasetInfo {
    /// The shape images are stored in before any crop.
    pub fn stored_shape(&self) -> ImageShape {
        self.decoded.unwrap_or(self.shape)
    }
}
