//! The multi-exit network.

use std::ops::RangeInclusive;

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_backbones::AnyBackbone;
use offramp_core::{Backbone, Cost, ExitHead, ExitOutput, ExitOutputs, Features, MapShape};
use offramp_nn::Linear;

use crate::cascade::{self, Link};
use crate::{AnyHead, GradientFlow};

/// One backbone with a head after each of some stages.
///
/// A *segment* is what lies between two exits: one stage, several where a
/// stage has no exit, nothing between two branches that leave after the same stage. [`MultiExitNet::forward`] computes everything, as training
/// and evaluation need it; [`MultiExitNet::segment`] and [`MultiExitNet::exit`]
/// compute one piece, as a runner that stops early needs it.
#[derive(Module, Debug)]
pub struct MultiExitNet {
    backbone: AnyBackbone,
    heads: Vec<AnyHead>,
    /// One place per exit.
    links: Vec<Option<Link>>,
    #[module(skip)]
    stages: Vec<usize>,
    classes: usize,
    #[module(skip)]
    gradients: GradientFlow,
}

impl MultiExitNet {
    /// A network from its parts; `stages[k]` is the stage that head `k` looks at.
    pub(crate) fn new(
        backbone: AnyBackbone,
        heads: Vec<AnyHead>,
        stages: Vec<usize>,
        classes: usize,
    ) -> Self {
        Self {
            links: heads.iter().map(|_| None).collect(),
            backbone,
            heads,
            stages,
            classes,
            gradients: GradientFlow::Plain,
        }
    }

    /// The same with links between the exits, one place per exit.
    pub(crate) fn with_links(self, links: Vec<Option<Link>>) -> Self {
        Self { links, ..self }
    }

    /// The same network, whose backbone learns in another way. What it computes does not change.
    pub fn with_gradients(self, gradients: GradientFlow) -> Self {
        Self { gradients, ..self }
    }

    /// Number of exits.
    pub fn num_exits(&self) -> usize {
        self.heads.len()
    }

    /// The stage that each exit looks at, shallowest first.
    pub fn exit_stages(&self) -> &[usize] {
        &self.stages
    }

    /// Channels of the map after every stage of the backbone.
    pub fn stage_channels(&self) -> Vec<usize> {
        let stages = self.backbone.stages();
        stages.iter().map(|stage| stage.channels).collect()
    }

    /// The same network with a backbone that does not learn: its parameters require no gradients,
    /// and its batch norms use and keep their running statistics. The heads learn as before.
    pub fn freeze_backbone(mut self) -> Self {
        self.backbone = self.backbone.freeze();
        self
    }

    /// Whether exit `exit` builds on the answer of the one before, so that its logits are more than
    /// its [`classifier`](Self::classifier) makes of its embedding.
    ///
    /// # Panics
    /// When there is no such exit.
    pub fn is_linked(&self, exit: usize) -> bool {
        self.links[exit].is_some()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Width of every exit's embedding, shallowest first.
    pub fn embedding_dims(&self) -> Vec<usize> {
        self.heads.iter().map(ExitHead::embedding_dim).collect()
    }

    /// Whether exit `exit` ends with a linear layer, its [`classifier`](Self::classifier).
    ///
    /// # Panics
    /// When there is no such exit.
    pub fn has_classifier(&self, exit: usize) -> bool {
        self.heads[exit].classifier().is_some()
    }

    /// The linear layer that exit `exit` ends with. It shares its parameters with the network.
    ///
    /// # Panics
    /// When there is no such exit, or it [has no classifier](Self::has_classifier).
    pub fn classifier(&self, exit: usize) -> Linear {
        let classifier = self.heads[exit].classifier();
        classifier.expect("an exit that ends with a linear layer")
    }

    /// The network with a given classifier at exit `exit`, which learns no more: no gradient, so no
    /// update and no weight decay. It is saved and loaded like any other.
    ///
    /// # Shapes
    /// - `weight`: `[classes, D]`, `bias`: `[classes]`
    ///
    /// # Panics
    /// When there is no such exit, or its classifier has another shape.
    pub fn with_classifier(mut self, exit: usize, weight: Tensor<2>, bias: Tensor<1>) -> Self {
        let heads = self.heads.into_iter().enumerate();
        let heads = heads.map(|(i, head)| {
            if i == exit {
                head.with_classifier(weight.clone(), bias.clone())
            } else {
                head
            }
        });
        self.heads = heads.collect();
        self
    }

    /// All exits. Layers compute in the type of the images; what heads return is float32, the
    /// maps after the stages are as they were computed.
    ///
    /// # Shapes
    /// - `x`: `[N, 3, H, W]`; logits: `[N, classes]`
    pub fn forward(&self, x: Tensor<4>) -> ExitOutputs {
        let mut features = Features::from(x);
        let mut outputs = ExitOutputs::default();
        for exit in 0..self.heads.len() {
            let seen = |features: &Features| self.to_exit(features.map.clone(), exit);
            for stage in self.segment_stages(exit) {
                features = self.backbone.forward_stage(stage, features);
                outputs.stages.push(seen(&features));
            }
            let previous = outputs.exits.last().map(|exit| exit.logits.clone());
            outputs
                .exits
                .push(self.exit(exit, seen(&features), previous));
            features = self.onward(features, exit);
        }
        outputs
    }

    /// The map as exit `exit` sees it, which decides what it teaches the stages before.
    pub(crate) fn to_exit(&self, map: Tensor<4>, exit: usize) -> Tensor<4> {
        self.gradients.to_exit(map, exit, self.heads.len())
    }

    /// What goes on behind exit `exit`.
    pub(crate) fn onward(&self, features: Features, exit: usize) -> Features {
        self.gradients.onward(features, exit, self.heads.len())
    }

    /// The stages between exit `exit - 1` (or the image) and exit `exit`.
    ///
    /// # Shapes
    /// - `x`: the features at the exit before or the image, output: the features at exit `exit`
    pub fn segment(&self, exit: usize, x: Features) -> Features {
        self.segment_stages(exit)
            .fold(x, |x, stage| self.backbone.forward_stage(stage, x))
    }

    pub(crate) fn segment_stages(&self, exit: usize) -> RangeInclusive<usize> {
        let first = match exit {
            0 => 0,
            _ => self.stages[exit - 1] + 1,
        };
        first..=self.stages[exit]
    }

    /// The body.
    pub fn backbone(&self) -> &AnyBackbone {
        &self.backbone
    }

    /// The head of exit `exit`.
    ///
    /// # Panics
    /// When there is no such exit.
    pub fn head(&self, exit: usize) -> &AnyHead {
        &self.heads[exit]
    }

    /// What exit `exit` makes of the answer of the one before, if it is [linked](Self::is_linked).
    ///
    /// # Panics
    /// When there is no such exit.
    pub fn link(&self, exit: usize) -> Option<&Link> {
        self.links[exit].as_ref()
    }

    /// Classifies the map of exit `exit`; `previous` are the logits of the exit before, which only
    /// exits of a cascade look at.
    ///
    /// # Shapes
    /// - `map`: `[N, C, H, W]`, `previous` and logits: `[N, classes]`
    ///
    /// # Panics
    /// When there is no such exit, or it [is linked](Self::is_linked) and `previous` is missing.
    pub fn exit(&self, exit: usize, map: Tensor<4>, previous: Option<Tensor<2>>) -> ExitOutput {
        let mut output = self.heads[exit].forward(map);
        if let Some(link) = &self.links[exit] {
            let previous = previous.expect("a linked exit needs the logits of the one before");
            output.logits = output.logits + cascade::added(link, previous);
        }
        output
    }

    /// What it costs to answer at each exit, for one image: all segments up to it
    /// and the heads and links of all exits up to and with it, for a runner asks
    /// every head on its way. That holds for branches too: the third of three costs all three.
    pub fn exit_costs(&self, image: MapShape) -> Vec<Cost> {
        let stages = self.backbone.costs(image);
        let mut sum = Cost::default();
        let mut first = 0;
        (self.stages.iter().zip(&self.heads).zip(&self.links))
            .map(|((&stage, head), link)| {
                sum += stages[first..=stage].iter().map(|(cost, _)| *cost).sum();
                sum += head.cost(stages[stage].1);
                sum += link
                    .as_ref()
                    .map(|link| link.structure().cost())
                    .unwrap_or_default();
                first = stage + 1;
                sum
            })
            .collect()
    }

    /// What the network costs without its early exits: all stages and the last head, which answers
    /// by itself then.
    pub fn backbone_cost(&self, image: MapShape) -> Cost {
        let stages = self.backbone.costs(image);
        let map = stages.last().map_or(image, |(_, map)| *map);
        let head = self.heads.last().map(|head| head.cost(map));
        stages.iter().map(|(cost, _)| *cost).chain(head).sum()
    }
}

#[cfg(test)]
mod tests {
    use crate::{NetConfig, registry};
    use burn::tensor::Tensor;
    use offramp_core::{Cost, MapShape, default_device, params};
    use offramp_nn::Init;
    use serde_json::json;

    const IMAGE: MapShape = MapShape {
        channels: 3,
        height: 32,
        width: 32,
    };

    fn config(json: serde_json::Value) -> NetConfig {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn every_head_on_every_stage() {
        let device = default_device().unwrap();
        for entry in registry() {
            for backbone in ["resnet8", "resnet18"] {
                let config = config(json!({"backbone": backbone, "head": entry.name}));
                let net = config.init(7, IMAGE, &mut Init::new(0, &device)).unwrap();
                let outputs = net.forward(Tensor::zeros([2, 3, 32, 32], &device));
                for (exit, dim) in outputs.exits.iter().zip(net.embedding_dims()) {
                    assert_eq!(exit.logits.dims(), [2, 7]);
                    assert_eq!(exit.embedding.dims(), [2, dim]);
                }
                let all: u64 = params::collect(&net)
                    .iter()
                    .filter(|(name, _)| !name.contains("running_"))
                    .map(|(_, data)| data.num_elements() as u64)
                    .sum();
                assert_eq!(
                    net.exit_costs(IMAGE).last().unwrap().params,
                    all,
                    "{}",
                    entry.name
                );
            }
        }
    }

    #[test]
    fn sepconv_widths_are_those_of_the_later_stages() {
        let config = config(json!({"backbone": "resnet20", "head": "sepconv"}));
        let net = config
            .init(100, IMAGE, &mut Init::new(0, &default_device().unwrap()))
            .unwrap();
        assert_eq!(net.embedding_dims(), [64, 64, 64]);
        let names = params::collect(&net);
        assert_eq!(
            names["heads.0.chain.0.pointwise.weight"].shape().to_vec(),
            [32, 16, 1, 1]
        );
        assert_eq!(
            names["heads.0.chain.1.depthwise.weight"].shape().to_vec(),
            [32, 1, 3, 3]
        );
        assert!(!names.contains_key("heads.2.chain.0.pointwise.weight"));
    }

    /// The eight exits of MLCSD-Net: 3, 3, 2, 2, 1, 1, 0 and 0 links, all to 512 channels.
    #[test]
    fn exits_of_mlcsd() {
        let config = config(json!({
            "backbone": {"name": "resnet18", "taps": "inner"},
            "head": "sepconv",
        }));
        let device = default_device().unwrap();
        let net = config.init(100, IMAGE, &mut Init::new(0, &device)).unwrap();
        assert_eq!(net.embedding_dims(), [512; 8]);
        let names = params::collect(&net);
        let links = |exit: usize| {
            let link = |i: usize| format!("heads.{exit}.chain.{i}.pointwise.weight");
            (0..).take_while(|i| names.contains_key(&link(*i))).count()
        };
        assert_eq!(
            (0..8).map(links).collect::<Vec<_>>(),
            [3, 3, 2, 2, 1, 1, 0, 0]
        );
    }

    /// The exits of MSDNet for ImageNet with 4 layers a block are published with 0.34, 0.69, 1.01,
    /// 1.25 and 1.36 G operations, where ReLUs and pooling are counted too.
    #[test]
    fn msdnet_costs_what_is_published() {
        let config = json!({
            "backbone": "msdnet-imagenet",
            "head": {"name": "conv", "width": "map"},
        });
        let config: NetConfig = serde_json::from_value(config).unwrap();
        let image = MapShape::new(3, 224, 224);
        let mut init = Init::new(0, &default_device().unwrap());
        let net = config.init(1000, image, &mut init).unwrap();
        let costs = net.exit_costs(image);
        for (cost, published) in costs.iter().zip([34, 69, 101, 125, 136]) {
            let hundredths = (cost.macs + 5_000_000) / 10_000_000;
            assert!(
                (published - 1..=published).contains(&hundredths),
                "{} {published}",
                cost.macs
            );
        }
    }

    #[test]
    fn costs_accumulate_with_the_heads() {
        let config = config(json!({"backbone": {"name": "resnet20", "shortcut": "A"}}));
        let net = config
            .init(10, IMAGE, &mut Init::new(0, &default_device().unwrap()))
            .unwrap();
        let macs: Vec<u64> = net.exit_costs(IMAGE).iter().map(|cost| cost.macs).collect();
        // By hand: stem 27*16*1024; six 3x3 16->16 at 1024 pixels; linear 16*10.
        let first = 27 * 16 * 1024 + 6 * 9 * 16 * 16 * 1024 + 160;
        assert_eq!(macs[0], first);
        assert_eq!(macs[2], 40_550_400 + 160 + 320 + 640);
        assert_eq!(net.backbone_cost(IMAGE).macs, 40_550_400 + 640);
    }

    #[test]
    fn a_stage_without_an_exit_belongs_to_the_next_segment() {
        let device = default_device().unwrap();
        let every = config(json!({"backbone": "resnet8"}));
        let two = config(json!({"backbone": "resnet8", "exits": [1, 2]}));
        let every = every.init(3, IMAGE, &mut Init::new(5, &device)).unwrap();
        let two = two.init(3, IMAGE, &mut Init::new(5, &device)).unwrap();
        let x = Tensor::<4>::ones([1, 3, 32, 32], &device);
        let map = every.segment(1, every.segment(0, x.clone().into())).map;
        map.into_data()
            .assert_eq(&two.segment(0, x.into()).map.into_data(), true);
        let cost: Vec<Cost> = two.exit_costs(IMAGE);
        assert_eq!(cost.len(), 2);
    }
}
