//! External teachers: trained networks from other run folders.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use offramp_core::{ExitOutputs, MapShape};
use offramp_heads::{ModelCard, ModelError, MultiExitNet, load_model};
use thiserror::Error;

/// The student's images, as far as teachers must know them to convert them to their own
/// normalisation.
#[derive(Clone, Debug, PartialEq)]
pub struct StudentImages {
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// Shape of an image.
    pub image: MapShape,
    /// Mean of the pixels (0 to 1), per channel, that was subtracted.
    pub mean: [f32; 3],
    /// Standard deviation of the pixels, per channel, that was divided by.
    pub std: [f32; 3],
}

/// A teacher that cannot be loaded or does not fit.
#[derive(Debug, Error)]
pub enum TeacherError {
    /// The run folder cannot be read.
    #[error("teacher {name:?}: {source}")]
    Model {
        /// Its name in the recipe.
        name: String,
        /// What is wrong.
        source: Box<ModelError>,
    },
    /// Another number of classes than the student's.
    #[error(
        "teacher {name:?} ({}) knows {found} classes, the data have {expected}; \
         a teacher must be trained on the classes of its student", run.display()
    )]
    Classes {
        /// Its name in the recipe.
        name: String,
        /// Its run folder.
        run: PathBuf,
        /// Its classes.
        found: usize,
        /// The classes of the data.
        expected: usize,
    },
    /// Images of another shape than the student's.
    #[error(
        "teacher {name:?} ({}) takes images of {}x{}, the data have {}x{}; \
         train it at that size, or set data.image-size", run.display(),
        found.height, found.width, expected.height, expected.width
    )]
    Image {
        /// Its name in the recipe.
        name: String,
        /// Its run folder.
        run: PathBuf,
        /// The shape that it takes.
        found: MapShape,
        /// The shape of the data.
        expected: MapShape,
    },
}

/// A trained network that teaches: frozen, in evaluation mode, with its own normalisation.
///
/// It is on a device without gradients, no optimiser updates it, and its batch norms use the running
/// statistics: neither its weights nor its statistics change.
#[derive(Clone, Debug)]
pub struct ExternalTeacher {
    name: String,
    net: MultiExitNet,
    image: MapShape,
    /// `x_teacher = x_student * scale + shift`, `[1, 3, 1, 1]` each; none when both have the
    /// same normalisation.
    change: Option<[Tensor<4>; 2]>,
}

impl ExternalTeacher {
    /// The same teacher on another device.
    pub fn on(&self, device: &Device) -> Self {
        let change = self.change.clone();
        Self {
            net: self.net.clone().to_device(device),
            change: change.map(|change| change.map(|tensor| tensor.to_device(device))),
            ..self.clone()
        }
    }

    /// A teacher from its run folder, for students of the given images.
    ///
    /// # Errors
    /// When the folder cannot be read, or classes or image shape differ from the student's.
    pub fn load(
        name: &str,
        run: &Path,
        student: &StudentImages,
        device: &Device,
    ) -> Result<Self, TeacherError> {
        let (net, card) = load_model(run, device).map_err(|source| TeacherError::Model {
            name: name.to_owned(),
            source: Box::new(source),
        })?;
        let (found, expected) = (card.classes.len(), student.classes.len());
        if found != expected {
            return Err(TeacherError::Classes {
                name: name.to_owned(),
                run: run.to_owned(),
                found,
                expected,
            });
        }
        if card.image != student.image {
            return Err(TeacherError::Image {
                name: name.to_owned(),
                run: run.to_owned(),
                found: card.image,
                expected: student.image,
            });
        }
        Ok(Self::new(name, net, &card, student))
    }

    /// A teacher from a network and its card, whose classes and image shape must be the
    /// student's.
    pub fn new(name: &str, net: MultiExitNet, card: &ModelCard, student: &StudentImages) -> Self {
        let net = net.valid();
        let device = net.devices().into_iter().next().unwrap_or_default().inner();
        let change = (card.mean != student.mean || card.std != student.std).then(|| {
            let channels = |f: &dyn Fn(usize) -> f32| {
                Tensor::<1>::from_floats([f(0), f(1), f(2)], &device).reshape([1, 3, 1, 1])
            };
            [
                channels(&|c| student.std[c] / card.std[c]),
                channels(&|c| (student.mean[c] - card.mean[c]) / card.std[c]),
            ]
        });
        Self {
            name: name.to_owned(),
            net,
            image: card.image,
            change,
        }
    }

    /// Its name in the recipe.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The network, in evaluation mode.
    pub fn net(&self) -> &MultiExitNet {
        &self.net
    }

    /// Shape of an image.
    pub fn image(&self) -> MapShape {
        self.image
    }

    /// Its outputs, constants, for images that are normalised for the student.
    ///
    /// # Shapes
    /// - `images`: `[N, 3, H, W]`
    pub fn outputs(&self, images: Tensor<4>) -> ExitOutputs {
        self.net.forward(self.renormalised(images))
    }

    /// The student's images, normalised for the teacher, as constants.
    pub fn renormalised(&self, images: Tensor<4>) -> Tensor<4> {
        let images = images.without_autodiff();
        match &self.change {
            Some([scale, shift]) => images * scale.clone() + shift.clone(),
            None => images,
        }
    }
}
