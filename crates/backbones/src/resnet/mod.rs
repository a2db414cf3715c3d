//! Residual networks (He, Zhang, Ren and Sun, *Deep Residual Learning for Image
//! Recognition*, CVPR 2016) with basic blocks.

mod block;
mod config;

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{Backbone, Cost, FeatureValues, Features, MapShape, StageInfo};
use offramp_graph::{Builder, GraphError, Value, Window};
use offramp_kernels::max_pool2d;
use offramp_nn::{BatchNorm2d, Conv2d};

pub use block::BasicBlock;
pub use config::{ResNetConfig, ResNetOptions, Shortcut, Stem, Taps};

/// A residual network without its classifier, or some of its layers. Stage 0 is the stem and
/// `layer1`.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Option<Conv2d>,
    bn1: Option<BatchNorm2d>,
    layer1: Option<Vec<BasicBlock>>,
    layer2: Option<Vec<BasicBlock>>,
    layer3: Option<Vec<BasicBlock>>,
    layer4: Option<Vec<BasicBlock>>,
    pool_stem: bool,
    inner_taps: bool,
    /// Of the layers that are here.
    #[module(skip)]
    stages: Vec<StageInfo>,
}

impl ResNet {
    fn layers(&self) -> impl Iterator<Item = &Vec<BasicBlock>> {
        let layers = [&self.layer1, &self.layer2, &self.layer3, &self.layer4];
        layers.into_iter().flatten()
    }

    /// The stem, where it is here.
    fn stem(&self, x: Tensor<4>) -> Tensor<4> {
        let (Some(conv1), Some(bn1)) = (&self.conv1, &self.bn1) else {
            return x;
        };
        let x = bn1.forward_relu(conv1.forward(x));
        match self.pool_stem {
            true => max_pool2d(x, [3, 3], [2, 2], [1, 1]),
            false => x,
        }
    }

    fn trace_stem(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        let (Some(conv1), Some(bn1)) = (&self.conv1, &self.bn1) else {
            return Ok(x);
        };
        let x = conv1.trace(b, x)?;
        let x = bn1.trace_relu(b, x)?;
        match self.pool_stem {
            true => b.max_pool(x, Window::square(3, 2, 1)),
            false => Ok(x),
        }
    }

    /// The blocks of a stage: those before the last one, and the last one.
    fn blocks(&self, stage: usize) -> (&[BasicBlock], &BasicBlock) {
        let layer = if self.inner_taps { stage / 2 } else { stage };
        let blocks = self.layers().nth(layer).expect("the stage exists");
        let (last, first) = blocks.split_last().expect("a layer has blocks");
        (first, last)
    }

    fn stem_cost(&self, image: MapShape) -> (Cost, MapShape) {
        let (Some(conv1), Some(bn1)) = (&self.conv1, &self.bn1) else {
            return (Cost::default(), image);
        };
        let (cost, mut map) = conv1.cost(image);
        if self.pool_stem {
            map.height = (map.height - 1) / 2 + 1;
            map.width = (map.width - 1) / 2 + 1;
        }
        (cost + bn1.cost(), map)
    }
}

impl Backbone for ResNet {
    fn stages(&self) -> Vec<StageInfo> {
        self.stages.clone()
    }

    fn forward_stage(&self, stage: usize, x: Features) -> Features {
        let mut x = x;
        if stage == 0 {
            x.map = self.stem(x.map);
        }
        let (first, last) = self.blocks(stage);
        if self.inner_taps && stage % 2 == 1 {
            // The first half of the last block has left its input beside its map.
            let input = x.carried.pop().expect("features of the stage before");
            return last.second_half(x.map, input).into();
        }
        let x = first.iter().fold(x.map, |x, block| block.forward(x));
        match self.inner_taps {
            true => Features {
                map: last.first_half(x.clone()),
                carried: vec![x],
            },
            false => last.forward(x).into(),
        }
    }

    fn trace_stage(
        &self,
        stage: usize,
        b: &mut Builder,
        x: FeatureValues,
    ) -> Result<FeatureValues, GraphError> {
        let mut x = x;
        if stage == 0 {
            x.map = self.trace_stem(b, x.map)?;
        }
        let (first, last) = self.blocks(stage);
        if self.inner_taps && stage % 2 == 1 {
            let input = x.carried.pop().expect("features of the stage before");
            return Ok(last.trace_second_half(b, x.map, input)?.into());
        }
        let x = first.iter().try_fold(x.map, |x, block| block.trace(b, x))?;
        Ok(match self.inner_taps {
            true => FeatureValues {
                map: last.trace_first_half(b, x)?,
                carried: vec![x],
            },
            false => last.trace(b, x)?.into(),
        })
    }

    fn costs(&self, image: MapShape) -> Vec<(Cost, MapShape)> {
        let (mut cost, mut map) = self.stem_cost(image);
        let mut stages = Vec::new();
        for blocks in self.layers() {
            for (i, block) in blocks.iter().enumerate() {
                let (first, second) = block.costs(map);
                map = first.1;
                cost += first.0;
                if self.inner_taps && i + 1 == blocks.len() {
                    stages.push((std::mem::take(&mut cost), map));
                }
                cost += second;
            }
            stages.push((std::mem::take(&mut cost), map));
        }
        stages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BackboneConfig;
    use burn::module::Module;
    use offramp_core::default_device;
    use offramp_nn::Init;
    use serde_json::{Value, json};

    fn build(name: &str, options: Value) -> ResNet {
        let Value::Object(options) = options else {
            panic!("options are a table")
        };
        let config = BackboneConfig::named(name).unwrap();
        let BackboneConfig::ResNet(config) = config.with_options(options).unwrap();
        config.init(&mut Init::new(0, &default_device().unwrap()))
    }

    fn total(net: &ResNet, side: usize) -> Cost {
        let costs = net.costs(MapShape::new(3, side, side));
        costs.into_iter().map(|(cost, _)| cost).sum()
    }

    /// Trainable parameters as burn counts them: everything but the running statistics.
    fn trainable(net: &ResNet) -> u64 {
        let tensors = offramp_core::params::collect(net);
        tensors
            .iter()
            .filter(|(name, _)| !name.contains("running_"))
            .map(|(_, data)| data.num_elements() as u64)
            .sum()
    }

    /// Rounded to 0.01 M.
    fn to_10k(macs: u64) -> u64 {
        (macs + 5_000) / 10_000
    }

    #[test]
    fn costs_are_those_of_the_literature() {
        // He et al.: ResNet-20 has 0.27 M parameters; 40.55 M MACs of convolutions with option A.
        let cost = total(&build("resnet20", json!({"shortcut": "A"})), 32);
        assert_eq!(cost.macs, 40_550_400);
        assert_eq!(cost.params + 650, 269_722);
        // chenyaofo/pytorch-cifar-models lists 40.81 M and 125.75 M (with the classifier) for 1x1 shortcuts.
        let classifier = 64 * 10;
        let cost = total(&build("resnet20", json!({})), 32);
        assert_eq!(to_10k(cost.macs + classifier), 4_081);
        let cost = total(&build("resnet56", json!({})), 32);
        assert_eq!(to_10k(cost.macs + classifier), 12_575);
        // torchvision: resnet18 1.814 GMACs and 11,689,512 parameters, resnet34 3.664 and 21,797,672.
        let classifier = Cost::linear(512, 1000);
        let cost = total(&build("resnet18", json!({"stem": "imagenet"})), 224) + classifier;
        assert_eq!((to_10k(cost.macs) / 100, cost.params), (1_814, 11_689_512));
        let cost = total(&build("resnet34", json!({"stem": "imagenet"})), 224) + classifier;
        assert_eq!((to_10k(cost.macs) / 100, cost.params), (3_663, 21_797_672));
        // kuangliu/pytorch-cifar's ResNet-18 has 11,173,962 parameters for 10 classes.
        let cost = total(&build("resnet18", json!({})), 32) + Cost::linear(512, 10);
        assert_eq!(cost.params, 11_173_962);
        // SimKD's tables: ResNet-8x4 1.23 M and ResNet-32x4 7.43 M parameters for 100 classes.
        let cost = total(&build("resnet8x4", json!({})), 32) + Cost::linear(256, 100);
        assert_eq!(cost.params / 10_000, 123);
        let cost = total(&build("resnet32x4", json!({})), 32) + Cost::linear(256, 100);
        assert_eq!(cost.params / 10_000, 743);
    }

    #[test]
    fn stated_shapes_and_parameters_are_the_computed_ones() {
        let device = default_device().unwrap();
        for entry in crate::registry() {
            if entry.name == "resnet110" {
                continue; // the same code as resnet56, three times the time
            }
            for options in [
                json!({}),
                json!({"shortcut": "A"}),
                json!({"stem": "imagenet"}),
                json!({"taps": "inner"}),
            ] {
                let net = build(entry.name, options);
                assert_eq!(total(&net, 32).params, trainable(&net), "{}", entry.name);
                let mut x = Features::from(Tensor::zeros([1, 3, 32, 32], &device));
                let stages = net.stages();
                let costs = net.costs(MapShape::new(3, 32, 32));
                for (i, (stage, (_, map))) in stages.iter().zip(costs).enumerate() {
                    x = net.forward_stage(i, x);
                    assert_eq!(x.map.dims(), [1, map.channels, map.height, map.width]);
                    assert_eq!(stage.channels, map.channels);
                    assert_eq!(stage.reduction * map.height, 32);
                }
            }
        }
    }

    /// The whole is its first stages and then the others, in the same order of random numbers.
    #[test]
    fn pieces_are_parts_of_the_whole() {
        let device = default_device().unwrap();
        for name in ["resnet8", "resnet18"] {
            let config = BackboneConfig::named(name).unwrap();
            let whole = config.init(&mut Init::new(0, &device));
            let stages = config.stages();
            assert_eq!(whole.stages(), stages);
            for cut in 1..=stages.len() {
                let mut init = Init::new(0, &device);
                let first = config.init_stages(0..cut, &mut init).unwrap();
                let rest = config.init_stages(cut..stages.len(), &mut init).unwrap();
                assert_eq!([first.stages(), rest.stages()].concat(), stages);
                let names = |net: &crate::AnyBackbone| offramp_core::params::collect(net);
                let mut joined = names(&first);
                joined.extend(names(&rest));
                assert!(joined == names(&whole));

                let mut x = Features::from(Tensor::<4>::ones([1, 3, 16, 16], &device));
                let mut y = x.clone();
                let shape = MapShape::new(3, 16, 16);
                let costs = first.costs(shape);
                let (_, map) = costs[cut - 1];
                assert_eq!([costs, rest.costs(map)].concat(), whole.costs(shape));
                for stage in 0..stages.len() {
                    x = whole.forward_stage(stage, x);
                    y = match stage.checked_sub(cut) {
                        None => first.forward_stage(stage, y),
                        Some(stage) => rest.forward_stage(stage, y),
                    };
                }
                x.map.into_data().assert_eq(&y.map.into_data(), true);
            }
        }
    }

    #[test]
    fn names_are_those_of_torchvision() {
        let names = offramp_core::params::collect(&build("resnet18", json!({})));
        for name in [
            "conv1.weight",
            "bn1.running_var",
            "layer1.0.conv1.weight",
            "layer2.0.downsample.0.weight",
            "layer2.0.downsample.1.running_mean",
            "layer4.1.bn2.bias",
        ] {
            assert!(names.contains_key(name), "{name}");
        }
        // torchvision's resnet18 without fc (2) and num_batches_tracked (20): 122 - 22 tensors.
        assert_eq!(names.len(), 100);
    }

    /// The same function cut in twice as many pieces.
    #[test]
    fn inner_taps_change_no_output() {
        let device = default_device().unwrap();
        for options in [json!({}), json!({"shortcut": "A"})] {
            let mut inner = options.clone();
            inner["taps"] = "inner".into();
            let [layers, inner] = [build("resnet8", options), build("resnet8", inner)];
            let x = Tensor::<4>::ones([2, 3, 8, 8], &device);
            let (mut whole, mut halves) = (Features::from(x.clone()), Features::from(x));
            for stage in 0..3 {
                whole = layers.forward_stage(stage, whole);
                halves = inner.forward_stage(2 * stage, halves);
                assert_eq!(halves.map.dims(), whole.map.dims());
                halves = inner.forward_stage(2 * stage + 1, halves);
                whole.map.to_data().assert_eq(&halves.map.to_data(), true);
                assert!(halves.carried.is_empty());
            }
            let shape = MapShape::new(3, 8, 8);
            let sum = |net: &ResNet| net.costs(shape).iter().map(|(cost, _)| *cost).sum::<Cost>();
            assert_eq!(sum(&layers), sum(&inner));
            assert_eq!(inner.stages()[2].name, "layer2.0.bn1");
        }
    }

    #[test]
    fn zero_init_makes_a_block_the_identity_on_positive_maps() {
        let net = build("resnet8", json!({"zero-init-residual": true})).valid();
        let x = Tensor::<4>::full([1, 16, 4, 4], 0.5, &default_device().unwrap());
        let y = net.layer1.unwrap()[0].forward(x.clone());
        y.into_data().assert_eq(&x.into_data(), true);
    }
}
