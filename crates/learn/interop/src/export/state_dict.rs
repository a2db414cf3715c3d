//! Safetensors as PyTorch's twin of the network would save them.

use burn::tensor::TensorData;
use offramp_core::Backbone;
use offramp_core::params::{self, NamedTensors};
use offramp_heads::MultiExitNet;

use super::{Description, ExportError};

/// The network as a safetensors file that `load_state_dict(strict=True)` takes.
///
/// | here | there |
/// |---|---|
/// | `backbone.NAME` | `NAME` |
/// | `heads.LAST.fc.*`, if the last head is nothing else | `fc.*`, or what the backbone's classifier is called |
/// | `heads.K.NAME` of all other heads, and of the last one where it is linked to the one before | `exits.K.NAME` |
/// | `links.K.NAME` of a cascade | the same |
/// | | `num_batches_tracked`, 0, in every batch norm |
///
/// So a network with one linear exit is the state dict of torchvision's model, key for key, and one
/// with early exits is the same with `exits.*` beside it. A batch norm in PyTorch counts the batches
/// it has seen and uses the count only with `momentum=None`; it is not known here.
///
/// # Errors
/// [`ExportError::Param`] or [`ExportError::Json`] when the file cannot be written.
pub fn state_dict(net: &MultiExitNet, description: &Description) -> Result<Vec<u8>, ExportError> {
    let tensors = rename(params::collect(net), net);
    let mut metadata = description.metadata()?;
    metadata.insert("format".to_owned(), "pt".to_owned());
    Ok(params::to_safetensors(&tensors, metadata)?)
}

fn rename(tensors: NamedTensors, net: &MultiExitNet) -> NamedTensors {
    let last = format!("heads.{}.", net.num_exits() - 1);
    let plain = |name: &String| !name.starts_with(&last) || name[last.len()..].starts_with("fc.");
    let linked = net.is_linked(net.num_exits() - 1);
    let plain = tensors.keys().all(plain) && !linked;
    let classifier = net.backbone().classifier_name();
    let mut renamed = NamedTensors::new();
    for (name, data) in tensors {
        let name = match (name.strip_prefix("backbone."), name.strip_prefix(&last)) {
            (Some(rest), _) => rest.to_owned(),
            (None, Some(rest)) if plain => rest.replacen("fc", classifier, 1),
            _ => name.replacen("heads.", "exits.", 1),
        };
        if let Some(norm) = name.strip_suffix("running_var") {
            let count = TensorData::new(vec![0_i64], Vec::<usize>::new());
            renamed.insert(format!("{norm}num_batches_tracked"), count);
        }
        renamed.insert(name, data);
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::{MapShape, default_device};
    use offramp_heads::NetConfig;
    use offramp_nn::Init;
    use serde_json::json;

    fn names(config: serde_json::Value) -> Vec<String> {
        let config: NetConfig = serde_json::from_value(config).unwrap();
        let device = default_device().unwrap();
        let image = MapShape::new(3, 32, 32);
        let net = config.init(5, image, &mut Init::new(0, &device)).unwrap();
        rename(params::collect(&net), &net).into_keys().collect()
    }

    /// `len(torchvision.models.resnet18().state_dict())` is 122; the names are checked in
    /// `tests/python/check_export.py`.
    #[test]
    fn one_linear_exit_is_torchvisions_state_dict() {
        let names = names(json!({"backbone": "resnet18", "exits": [3]}));
        assert_eq!(names.len(), 122);
        for name in [
            "conv1.weight",
            "bn1.num_batches_tracked",
            "fc.weight",
            "fc.bias",
        ] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn early_exits_lie_beside_it() {
        let names = names(json!({"backbone": "resnet8", "head": "sepconv"}));
        let has = |name: &str| names.iter().any(|known| known == name);
        assert!(has("fc.weight") && has("exits.0.fc.weight") && !has("exits.2.fc.weight"));
        assert!(has("exits.1.chain.0.bn.num_batches_tracked"));
        assert!(
            !names
                .iter()
                .any(|name| name.contains("heads") || name.contains("backbone"))
        );
    }

    /// MSDNet's classifier has convolutions of its own, which would clash with the backbone's.
    #[test]
    fn a_last_head_with_layers_stays_an_exit() {
        let names = names(json!({"backbone": "resnet8", "head": "conv"}));
        let has = |name: &str| names.iter().any(|known| known == name);
        assert!(has("exits.2.fc.weight") && has("exits.2.conv1.conv.weight") && !has("fc.weight"));
    }
}
