//! The rest of the backbone once more.

use offramp_core::registry::Kind;
use offramp_graph::{Builder, Value};
use offramp_nn::HeadValues;
use serde::{Deserialize, Serialize};

use crate::head::{Head, HeadError, HeadPlace, classify};

/// All stages after the exit's, with weights of its own, then pooling and a linear layer: the
/// branches of ONE (Lan, Zhu and Gong, *Knowledge Distillation by On-the-Fly Native Ensemble*,
/// NeurIPS 2018) and of OKDDip (Chen et al., *Online Knowledge Distillation with Diverse Peers*,
/// AAAI 2020).
///
/// Backbone and one branch are together the plain network, of the same cost and, up to the prefix
/// of the head, of the same names: `heads.1.layer3.0.conv1.weight`, `heads.1.fc.weight`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BranchHead {}

impl Kind for BranchHead {
    const NAME: &'static str = "branch";
    const DOC: &'static str =
        "the rest of the backbone with its own weights, and a linear layer (ONE, OKDDip)";
}

impl Head for BranchHead {
    fn write(
        &self,
        b: &mut Builder,
        map: Value,
        place: &HeadPlace,
    ) -> Result<HeadValues, HeadError> {
        let rest = place.rest()?;
        let mut known = vec![None; rest.num_values()];
        for port in rest.inputs() {
            known[port.value.index()] = Some(map);
        }
        b.append(&rest, 0..rest.nodes().len(), "", &mut known)?;
        let last = rest
            .outputs()
            .iter()
            .find_map(|port| known[port.value.index()]);
        Ok(classify(b, last.unwrap_or(map), place.classes)?)
    }

    fn is_branch(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;
    use offramp_core::{MapShape, default_device, params};
    use offramp_nn::Init;
    use serde_json::{Value, json};

    use crate::{MultiExitNet, NetConfig};

    const IMAGE: MapShape = MapShape {
        channels: 3,
        height: 32,
        width: 32,
    };

    fn build(config: Value) -> Result<MultiExitNet, String> {
        let config: NetConfig = serde_json::from_value(config).unwrap();
        let mut init = Init::new(0, &default_device().unwrap());
        let net = config.init(10, IMAGE, &mut init);
        net.map_err(|error| error.to_string())
    }

    /// ONE's network: shared low layers and three last groups, each as expensive as the plain network's.
    #[test]
    fn a_branch_costs_what_the_rest_of_the_plain_network_costs() {
        let branches = json!({"backbone": "resnet20", "head": "branch", "exits": [1, 1, 1]});
        let branches = build(branches).unwrap();
        let plain = build(json!({"backbone": "resnet20", "exits": [2]})).unwrap();
        let (ours, whole) = (branches.exit_costs(IMAGE), plain.exit_costs(IMAGE)[0]);
        assert_eq!(ours[0], whole);
        assert_eq!(branches.backbone_cost(IMAGE), whole);
        assert_eq!(branches.embedding_dims(), [64; 3]);
        // A runner has asked all of them: one more branch each time.
        let stages = build(json!({"backbone": "resnet20"})).unwrap();
        let costs = stages.exit_costs(IMAGE);
        let branch = costs[2].macs - costs[1].macs;
        assert_eq!(ours[1].macs - ours[0].macs, branch);
        assert_eq!(ours[2].macs - ours[1].macs, branch);
        let count = |name: &String| !name.contains("running_");
        let tensors = params::collect(&branches);
        let all = tensors.iter().filter(|(name, _)| count(name));
        let all: u64 = all.map(|(_, data)| data.num_elements() as u64).sum();
        assert_eq!(ours[2].params, all, "nothing is built that is not needed");
    }

    #[test]
    fn backbone_and_branch_are_the_plain_network_under_its_names() {
        let config = json!({"backbone": "resnet20", "head": "branch", "exits": [0, 1, 1]});
        let branches = build(config).unwrap();
        let plain = build(json!({"backbone": "resnet20", "exits": [2]})).unwrap();
        let tensors = params::collect(&branches);
        assert!(
            !tensors
                .keys()
                .any(|name| name.starts_with("backbone.layer3"))
        );
        assert!(tensors.contains_key("heads.0.layer2.0.downsample.0.weight"));
        let mut renamed = params::NamedTensors::new();
        for (name, data) in &tensors {
            let name = match name.strip_prefix("heads.2.") {
                Some(fc) if fc.starts_with("fc.") => format!("heads.0.{fc}"),
                Some(layer) => format!("backbone.{layer}"),
                None if name.starts_with("heads.") => continue,
                None => name.clone(),
            };
            renamed.insert(name, data.clone());
        }
        let plain = params::apply(plain, renamed).expect("exactly the plain network's tensors");
        let x = Init::new(3, &default_device().unwrap()).normal([2, 3, 32, 32], 1.0);
        let logits = |net: &MultiExitNet| {
            let x: Tensor<4> = x.val().detach();
            let last = net.forward(x).exits.pop().unwrap();
            last.logits.into_data()
        };
        logits(&plain).assert_eq(&logits(&branches), true);
        let other = branches.forward(x.val().detach()).exits[1].logits.to_data();
        assert_ne!(other, logits(&branches), "branches start differently");
    }

    #[test]
    fn where_branches_may_leave() {
        let branches = |exits: Value| build(json!({"head": "branch", "exits": exits}));
        for exits in [json!([1, 1]), json!([0, 2, 2]), json!([0]), json!("every")] {
            assert!(branches(exits).is_ok());
        }
        for exits in [json!([]), json!([1, 0]), json!([1, 3])] {
            let error = branches(exits).unwrap_err();
            assert!(
                error.contains("resnet20") && error.contains("not fall"),
                "{error}"
            );
        }
        let backbone = json!({"name": "resnet8", "taps": "inner"});
        let inner =
            |exits: Value| build(json!({"backbone": backbone, "head": "branch", "exits": exits}));
        assert!(inner(json!([3, 3])).is_ok());
        let error = inner(json!([2])).unwrap_err();
        assert!(error.contains("layer2.0.bn1"), "{error}");
    }
}
