//! A backbone and heads of another crate: written in burn, and as a graph.

mod support;

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_backbones::{BackboneEntry, BackboneFamily, InBurn, NoOptions, register};
use offramp_core::registry::Kind;
use offramp_core::{
    Backbone, BoxedBackbone, BoxedHead, Cost, ExitHead, ExitOutput, Features, MapShape, StageInfo,
    default_device, params,
};
use offramp_graph::{Builder, Conv, Value};
use offramp_heads::{
    Head, HeadConfig, HeadError, HeadPlace, MODEL_FORMAT, ModelCard, MultiExitNet, NetConfig,
    classify, load_model, save_model,
};
use offramp_nn::{Conv2d, Conv2dConfig, HeadValues, Init, Linear};
use serde::{Deserialize, Serialize};
use serde_json::json;
use support::*;

const IMAGE: MapShape = MapShape {
    channels: 3,
    height: 16,
    width: 16,
};

/// Two strided convolutions, an exit after each.
#[derive(Clone, Debug)]
struct TwoConvs;

#[derive(Module, Debug)]
struct TwoConvsNet {
    conv1: Conv2d,
    conv2: Conv2d,
}

fn two_convs_stages() -> Vec<StageInfo> {
    let stage = |i: usize| StageInfo {
        name: format!("conv{}", i + 1),
        channels: 4 << i,
        reduction: 2 << i,
    };
    (0..2).map(stage).collect()
}

impl Backbone for TwoConvsNet {
    fn stages(&self) -> Vec<StageInfo> {
        two_convs_stages()
    }

    fn forward_block(&self, stage: usize, _: usize, x: Features) -> Features {
        let conv = [&self.conv1, &self.conv2][stage];
        burn::tensor::activation::relu(conv.forward(x.map)).into()
    }

    fn costs(&self, image: MapShape) -> Vec<(Cost, MapShape)> {
        let [h, w] = [image.height, image.width];
        let first = MapShape::new(4, h / 2, w / 2);
        let second = MapShape::new(8, h / 4, w / 4);
        let cost =
            |channels, map: MapShape| Cost::conv2d(channels, [3, 3], 1, [map.height, map.width]);
        vec![(cost([3, 4], first), first), (cost([4, 8], second), second)]
    }
}

impl BackboneFamily for TwoConvs {
    type Options = NoOptions;

    fn name(&self) -> &str {
        "two-convs"
    }

    fn options(&self) -> NoOptions {
        NoOptions {}
    }

    fn with_options(self, _: NoOptions) -> Result<Self, String> {
        Ok(self)
    }

    fn in_burn(&self) -> Option<InBurn> {
        Some(InBurn {
            stages: two_convs_stages(),
            init: Box::new(|init| {
                BoxedBackbone::new(TwoConvsNet {
                    conv1: Conv2dConfig::new(3, 4, 3).with_stride(2).init(init),
                    conv2: Conv2dConfig::new(4, 8, 3).with_stride(2).init(init),
                })
            }),
        })
    }
}

/// The largest value of every channel, and a linear layer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MaxHead {}

#[derive(Module, Debug)]
struct MaxHeadModule {
    fc: Linear,
}

impl ExitHead for MaxHeadModule {
    fn forward(&self, map: Tensor<4>) -> ExitOutput {
        let embedding = map.max_dim(2).max_dim(3).flatten(1, 3);
        ExitOutput::new(embedding.clone(), self.fc.forward(embedding))
    }

    fn embedding_dim(&self) -> usize {
        self.fc.inputs()
    }

    fn cost(&self, map: MapShape) -> Cost {
        Cost::linear(map.channels, self.fc.weight.dims()[0])
    }
}

impl Kind for MaxHead {
    const NAME: &'static str = "max";
    const DOC: &'static str = "the largest value of every channel, and a linear layer";
}

impl Head for MaxHead {
    fn in_burn(&self, map: MapShape, place: &HeadPlace, init: &mut Init) -> Option<BoxedHead> {
        let fc = Linear::new(map.channels, place.classes, init);
        Some(BoxedHead::new(MaxHeadModule { fc }))
    }
}

/// A convolution before the classifier.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WideHead {
    width: usize,
}

impl Default for WideHead {
    fn default() -> Self {
        Self { width: 5 }
    }
}

impl Kind for WideHead {
    const NAME: &'static str = "wide";
    const DOC: &'static str = "a 1x1 convolution, pooling and a linear layer";
}

impl Head for WideHead {
    fn write(
        &self,
        b: &mut Builder,
        map: Value,
        place: &HeadPlace,
    ) -> Result<HeadValues, HeadError> {
        let map = b.conv_bn_relu(["conv", "bn"], map, Conv::new(self.width, 1))?;
        Ok(classify(b, map, place.classes)?)
    }
}

fn network(config: serde_json::Value) -> Result<MultiExitNet, String> {
    let entry = BackboneEntry {
        name: "two-convs",
        doc: "two strided convolutions",
        config: || TwoConvs.into(),
    };
    register(entry).unwrap();
    HeadConfig::register::<MaxHead>().unwrap();
    HeadConfig::register::<WideHead>().unwrap();
    let config: NetConfig = serde_json::from_value(config).map_err(|error| error.to_string())?;
    let device = default_device().unwrap().autodiff();
    let net = config.init(3, IMAGE, &mut Init::new(0, &device));
    net.map_err(|error| error.to_string())
}

#[test]
fn a_network_in_burn_has_names_costs_and_gradients() {
    let net = network(json!({"backbone": "two-convs", "head": "max"})).unwrap();
    let tensors = params::collect(&net);
    let names: Vec<&str> = tensors.keys().map(String::as_str).collect();
    let expected = [
        "backbone.conv1.weight",
        "backbone.conv2.weight",
        "heads.0.fc.bias",
        "heads.0.fc.weight",
        "heads.1.fc.bias",
        "heads.1.fc.weight",
    ];
    assert_eq!(names, expected);
    assert_eq!(net.embedding_dims(), [4, 8]);
    let first = 4 * 27 * 64 + 4 * 3;
    let macs: Vec<u64> = net.exit_costs(IMAGE).iter().map(|cost| cost.macs).collect();
    assert_eq!(macs, [first, first + 8 * 36 * 16 + 8 * 3]);

    let outputs = net.forward(wave(1, [2, 3, 16, 16], 1.0));
    let loss = outputs
        .logits()
        .map(|logits| logits.clone().powi_scalar(2).mean());
    let loss = loss.reduce(|sum, term| sum + term).unwrap();
    let learned = gradients(&net, &loss.backward());
    assert_eq!(learned.len(), expected.len());
    // A frozen backbone learns nothing.
    let frozen = net.clone().freeze_backbone();
    let outputs = frozen.forward(wave(1, [2, 3, 16, 16], 1.0));
    let loss = outputs.exits[1].logits.clone().sum();
    let learned = gradients(&frozen, &loss.backward());
    assert!(
        learned.keys().all(|name| name.starts_with("heads.1.")),
        "{learned:?}"
    );
}

#[test]
fn it_is_saved_and_loaded_and_says_that_it_cannot_be_exported() {
    let net = network(json!({"backbone": "two-convs", "head": "max"})).unwrap();
    let error = net.graph(IMAGE).unwrap_err().to_string();
    assert!(error.contains("the backbone is written in burn"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let card = ModelCard {
        format: MODEL_FORMAT,
        net: serde_json::from_value(json!({"backbone": "two-convs", "head": "max"})).unwrap(),
        classes: ["a", "b", "c"].map(String::from).to_vec(),
        image: IMAGE,
        resize: IMAGE,
        mean: [0.5; 3],
        std: [0.25; 3],
        dataset: "none".into(),
        commit: None,
        sha256: String::new(),
    };
    save_model(dir.path(), &net, card).unwrap();
    let (loaded, _) = load_model(dir.path(), &default_device().unwrap()).unwrap();
    assert_eq!(params::collect(&loaded), params::collect(&net));
}

#[test]
fn heads_of_another_crate_stand_on_any_backbone() {
    let head = json!({"name": "wide", "width": 6});
    let net = network(json!({"backbone": "resnet8", "head": head})).unwrap();
    assert_eq!(net.embedding_dims(), [6, 6, 6]);
    assert!(
        net.valid().graph(IMAGE).is_ok(),
        "written as a graph, it can be exported"
    );
    let net = network(json!({"backbone": "resnet8", "head": "max"})).unwrap();
    let error = net.graph(IMAGE).unwrap_err().to_string();
    assert!(
        error.contains("the head of exit 0 is written in burn"),
        "{error}"
    );
}

#[test]
fn parts_of_a_backbone_in_burn_are_refused() {
    let error = network(json!({"backbone": "two-convs", "head": "branch", "exits": [0, 1]}));
    assert!(error.unwrap_err().contains("can only be built whole"));
    let error = network(json!({"backbone": "two-convs", "head": "wide", "exits": [0]}));
    assert!(error.unwrap_err().contains("exits = [0]"));
    let error = network(json!({"backbone": "two-conv"})).unwrap_err();
    assert!(error.contains("did you mean \"two-convs\""), "{error}");
    let taken = BackboneEntry {
        name: "resnet8",
        doc: "",
        config: || TwoConvs.into(),
    };
    assert!(register(taken).unwrap_err().contains("resnet8"));
}
