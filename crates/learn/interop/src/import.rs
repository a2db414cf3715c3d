//! Imports a file of weights into a network with one exit.

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::{Device, TensorData};
use offramp_backbones::BackboneConfig;
use offramp_core::MapShape;
use offramp_core::params::{self, NamedTensors, ParamError};
use offramp_heads::{
    CascadeConfig, ExitPlacement, HeadConfig, MODEL_FORMAT, ModelCard, MultiExitNet, NetConfig,
    NetError,
};
use offramp_nn::Init;
use thiserror::Error;

use crate::names::{self, Mapping, NameError, Rename, match_names};
use crate::{ReadError, WeightFile};

/// Settings of an import that a file of weights does not contain.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The backbone that the weights belong to.
    pub backbone: BackboneConfig,
    /// Names of the classes; numbers where they are not known.
    pub classes: Option<Vec<String>>,
    /// How many classes there are; that of the file's classifier if absent.
    pub num_classes: Option<usize>,
    /// Side of the square input images.
    pub image_size: usize,
    /// The side that images are resized to before their centre is cut out.
    pub resize: usize,
    /// Mean of the pixels, 0 to 1, that the weights expect to be subtracted.
    pub mean: [f32; 3],
    /// Standard deviation of the pixels that the weights expect them to be divided by.
    pub std: [f32; 3],
    /// Applied to the file's names, in this order.
    pub renames: Vec<Rename>,
    /// Whether tensors of the network may be missing in the file; they then keep the values of a
    /// fresh network.
    pub allow_missing: bool,
}

/// A network with the weights of a file.
#[derive(Debug)]
pub struct Imported {
    /// The backbone with a `linear` head after its last stage.
    pub net: MultiExitNet,
    /// The model card to be saved with it.
    pub card: ModelCard,
    /// Which tensor came from where, and which were left out.
    pub mapping: Mapping,
}

/// Weights that cannot be imported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The names.
    #[error("{}: {source}", path.display())]
    Names {
        /// The file.
        path: PathBuf,
        /// What does not match.
        source: NameError,
    },
    /// The number of classes is not known.
    #[error(
        "{}: no classifier is found (fc, linear, classifier or head); say --num-classes and, if it \
         is called otherwise, --rename REGEX=NAME",
        path.display()
    )]
    Classes {
        /// The file.
        path: PathBuf,
    },
    /// Names of classes for another number of them.
    #[error("{names} names of classes are given for {classes} classes")]
    ClassNames {
        /// How many names.
        names: usize,
        /// How many classes.
        classes: usize,
    },
    /// The network cannot be built.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A tensor does not fit.
    #[error("{}: {source}", path.display())]
    Param {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: ParamError,
    },
}

/// Builds a network with the weights of a file: the backbone with one exit after its last stage.
///
/// # Errors
/// When names, shapes or the number of classes do not fit, or the file is damaged.
pub fn import(
    file: &WeightFile,
    options: &ImportOptions,
    device: &Device,
) -> Result<Imported, ImportError> {
    let path = || file.path().to_owned();
    let in_file: BTreeMap<String, Vec<usize>> = (file.names())
        .filter_map(|name| Some((name.to_owned(), file.shape(name)?.to_vec())))
        .collect();
    let found = names::classes(&in_file, &options.renames);
    let given = options
        .num_classes
        .or(options.classes.as_ref().map(Vec::len));
    let classes = given
        .or(found)
        .ok_or_else(|| ImportError::Classes { path: path() })?;
    let class_names = match &options.classes {
        Some(names) if names.len() == classes => names.clone(),
        Some(names) => {
            let names = names.len();
            return Err(ImportError::ClassNames { names, classes });
        }
        None => (0..classes).map(|class| class.to_string()).collect(),
    };

    let square = |side| MapShape::new(3, side, side);
    let config = NetConfig {
        exits: ExitPlacement::Stages(vec![options.backbone.stages().len().saturating_sub(1)]),
        backbone: options.backbone.clone(),
        head: HeadConfig::default(),
        cascade: CascadeConfig::default(),
    };
    let image = square(options.image_size);
    let net = config.init(classes, image, &mut Init::new(0, device))?;
    let mut tensors = params::collect(&net);
    let in_network = shapes(&tensors);
    let (renames, allow_missing) = (&options.renames, options.allow_missing);
    let mapping = match_names(&in_network, &in_file, renames, allow_missing);
    let mapping = mapping.map_err(|source| ImportError::Names {
        path: path(),
        source,
    })?;
    for (name, file_name) in &mapping.pairs {
        let shape = in_network.get(name).cloned().unwrap_or_default();
        let data = TensorData::new(file.read(file_name)?, shape);
        tensors.insert(name.clone(), data);
    }
    let net = params::apply(net, tensors).map_err(|source| ImportError::Param {
        path: path(),
        source,
    })?;
    let card = ModelCard {
        format: MODEL_FORMAT,
        net: config,
        classes: class_names,
        image,
        resize: square(options.resize),
        mean: options.mean,
        std: options.std,
        dataset: "imported".to_owned(),
        commit: option_env!("OFFRAMP_COMMIT").map(str::to_owned),
        sha256: String::new(),
    };
    Ok(Imported { net, card, mapping })
}

fn shapes(tensors: &NamedTensors) -> BTreeMap<String, Vec<usize>> {
    let shape = |(name, data): (&String, &TensorData)| (name.clone(), data.shape().to_vec());
    tensors.iter().map(shape).collect()
}
