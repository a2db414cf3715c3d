//! A network on disk: `model.safetensors` and `model.json` of a run folder.
//!
//! Training writes them and inference reads them; both know this file and not
//! each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use offramp_core::params;
use offramp_nn::Init;
use offramp_run::files::{self, FileError};
use offramp_run::{Document, DocumentError, RunPaths};
use thiserror::Error;

use crate::{MultiExitNet, NetConfig, NetError};

/// What has to be known of a network besides its weights.
pub type ModelCard = offramp_run::ModelCard<NetConfig>;

/// Version of the card that this build writes and reads.
pub const MODEL_FORMAT: u32 = ModelCard::FORMAT;

/// A model that cannot be written or read.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The weights could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// `model.json` cannot be read or written.
    #[error(transparent)]
    Card(#[from] DocumentError),
    /// The weights are not those that the card speaks of.
    #[error(
        "{}: sha256 {found} instead of {expected}; the file is damaged or belongs to another run",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Checksum in the card.
        expected: String,
        /// Checksum of the file.
        found: String,
    },
    /// The weights do not fit the network of the card.
    #[error("{}: {source}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: params::ParamError,
    },
    /// The card describes a network that cannot be built.
    #[error("{}: {source}", path.display())]
    Net {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NetError,
    },
}

/// Writes the network and its card into `dir`; the card comes last, so that a
/// card never speaks of weights that are not there. Returns the card as written.
///
/// # Errors
/// When a file cannot be written; older files are then untouched or complete.
pub fn save_model(
    dir: &Path,
    net: &MultiExitNet,
    mut card: ModelCard,
) -> Result<ModelCard, ModelError> {
    let path = RunPaths::new(dir).weights();
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = params::to_safetensors(&params::collect(net), metadata).map_err(|source| {
        ModelError::Weights {
            path: path.clone(),
            source,
        }
    })?;
    card.format = MODEL_FORMAT;
    card.sha256 = files::sha256(&bytes);
    files::write_atomic(&path, &bytes)?;
    card.write_to(dir)?;
    Ok(card)
}

/// Reads the card alone.
///
/// # Errors
/// When the file is missing, damaged or of another version.
pub fn load_card(dir: &Path) -> Result<ModelCard, ModelError> {
    Ok(ModelCard::read(&dir.join(ModelCard::FILE))?)
}

/// Reads the network and its card onto `device`.
///
/// # Errors
/// When a file is missing, damaged, of another version, or when weights and card
/// do not fit.
pub fn load_model(dir: &Path, device: &Device) -> Result<(MultiExitNet, ModelCard), ModelError> {
    let card = load_card(dir)?;
    let path = RunPaths::new(dir).weights();
    let bytes = files::read(&path)?;
    let found = files::sha256(&bytes);
    if found != card.sha256 {
        return Err(ModelError::Checksum {
            path,
            expected: card.sha256,
            found,
        });
    }
    let net = (card.net)
        .init(card.classes.len(), card.image, &mut Init::new(0, device))
        .map_err(|source| ModelError::Net {
            path: dir.join(ModelCard::FILE),
            source,
        })?;
    let net = params::from_safetensors(&bytes)
        .and_then(|tensors| params::apply(net, tensors))
        .map_err(|source| ModelError::Weights { path, source })?;
    Ok((net, card))
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::{MapShape, default_device};

    fn example(device: &Device) -> (MultiExitNet, ModelCard) {
        let card = ModelCard {
            format: 0,
            net: serde_json::from_str(r#"{"backbone": "resnet8", "head": "sepconv"}"#).unwrap(),
            classes: vec!["cat".into(), "dog".into()],
            image: MapShape::new(3, 32, 32),
            resize: MapShape::new(3, 36, 36),
            mean: [0.5; 3],
            std: [0.25; 3],
            dataset: "generated".into(),
            commit: None,
            sha256: String::new(),
        };
        let net = card
            .net
            .init(2, card.image, &mut Init::new(1, device))
            .unwrap();
        (net, card)
    }

    #[test]
    fn a_network_survives_the_disk() {
        let device = default_device().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (net, card) = example(&device);
        let written = save_model(dir.path(), &net, card).unwrap();
        let (loaded, card) = load_model(dir.path(), &device).unwrap();
        assert_eq!(card, written);
        assert_eq!(params::collect(&loaded), params::collect(&net));
    }

    #[test]
    fn damage_is_named() {
        let device = default_device().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let error = || load_model(dir.path(), &device).unwrap_err().to_string();
        assert!(error().contains("model.json"));

        let (net, card) = example(&device);
        save_model(dir.path(), &net, card).unwrap();
        let weights = RunPaths::new(dir.path()).weights();
        let mut bytes = std::fs::read(&weights).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&weights, &bytes).unwrap();
        assert!(error().contains("model.safetensors: sha256"), "{}", error());

        let path = dir.path().join(ModelCard::FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("\"format\": 1", "\"format\": 7", 1)).unwrap();
        assert!(error().contains("format 7"), "{}", error());
        std::fs::write(&path, "{").unwrap();
        assert!(error().contains("model.json"));
    }
}
