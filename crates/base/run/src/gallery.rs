//! `gallery.json`: test images that left at each exit.

use serde::{Deserialize, Serialize};

use crate::check::share;
use crate::document::{Document, DocumentError, Fault, compact};

/// Test images that left at each exit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gallery {
    /// What sent the images to their exits, in words.
    pub policy: String,
    /// The images, in the order to show them in.
    #[serde(rename = "pictures")]
    pub images: Vec<GalleryImage>,
}

/// An image of a [`Gallery`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GalleryImage {
    /// The exit it left at.
    pub exit: usize,
    /// Name of the class it shows.
    pub label: String,
    /// Name of the class that the exit answered.
    pub prediction: String,
    /// The exit's probability of that class, 0 to 1.
    pub confidence: f64,
    /// The image, a PNG in base64.
    pub png: String,
}

impl Gallery {
    /// Refuses images that left at an exit which a network with `exits` exits does not have.
    ///
    /// # Errors
    /// [`Fault`] at the image.
    pub fn check_exits(&self, exits: usize) -> Result<(), Fault> {
        let bad = self.images.iter().position(|p| p.exit >= exits);
        match bad {
            Some(at) => Err(Fault::new(
                format!("pictures[{at}].exit"),
                self.images[at].exit,
                format!("the run has {exits} exits"),
            )),
            None => Ok(()),
        }
    }
}

impl Document for Gallery {
    const FILE: &'static str = "gallery.json";
    const NAME: &'static str = "gallery";
    const FORMAT: u32 = 1;
    const REMEDY: &'static str = "run `offramp report --measure` again";

    fn check(&self) -> Result<(), Fault> {
        for (at, image) in self.images.iter().enumerate() {
            share(format!("pictures[{at}].confidence"), image.confidence)?;
            if !image.is_png() {
                let shown: String = image.png.chars().take(12).collect();
                return Err(Fault::new(
                    format!("pictures[{at}].png"),
                    format!("{shown:?}…"),
                    format!("image {at} is no PNG in base64"),
                ));
            }
        }
        Ok(())
    }

    fn to_text(&self) -> Result<String, DocumentError> {
        compact(self)
    }
}

impl GalleryImage {
    /// Whether the data can be nothing but a PNG; anything else is kept out of the page.
    fn is_png(&self) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        self.png.starts_with("iVBORw0KGgo") && self.png.bytes().all(plain)
    }
}
