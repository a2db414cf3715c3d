//! Residual networks (He, Zhang, Ren and Sun, *Deep Residual Learning for Image
//! Recognition*, CVPR 2016) and their grouped form (Xie et al., CVPR 2017).

mod basic;
mod block;
mod bottleneck;
mod config;
mod entries;
mod shortcut;

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{Backbone, Cost, FeatureValues, Features, MapShape, StageInfo};
use offramp_graph::{Builder, GraphError, Value, Window};
use offramp_kernels::max_pool2d;
use offramp_nn::{BatchNorm2d, Conv2d};

pub use block::Block;
pub use config::{BlockKind, ResNetConfig, ResNetOptions, ShortcutKind, Taps};
pub(crate) use entries::ENTRIES;

/// A residual network without its classifier, or some of its layers. Stage 0 is the stem and
/// `layer1`.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Option<Conv2d>,
    bn1: Option<BatchNorm2d>,
    layer1: Option<Vec<Block>>,
    layer2: Option<Vec<Block>>,
    layer3: Option<Vec<Block>>,
    layer4: Option<Vec<Block>>,
    pool_stem: bool,
    inner_taps: bool,
    /// Of the layers that are here.
    #[module(skip)]
    stages: Vec<StageInfo>,
}

impl ResNet {
    fn layers(&self) -> impl Iterator<Item = &Vec<Block>> {
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

    /// The layer that a stage belongs to: its blocks before the last one, and the last one.
    fn layer(&self, stage: usize) -> (&[Block], &Block) {
        let layer = if self.inner_taps { stage / 2 } else { stage };
        let blocks = self.layers().nth(layer).expect("the stage exists");
        let (last, first) = blocks.split_last().expect("a layer has blocks");
        (first, last)
    }

    fn has_stem(&self, stage: usize) -> bool {
        stage == 0 && self.conv1.is_some()
    }

    /// Whether a stage is the second half of its layer's last block.
    fn is_second_half(&self, stage: usize) -> bool {
        self.inner_taps && stage % 2 == 1
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

    fn blocks(&self, stage: usize) -> usize {
        if self.is_second_half(stage) {
            return 1;
        }
        let (first, _) = self.layer(stage);
        usize::from(self.has_stem(stage)) + first.len() + 1
    }

    fn forward_block(&self, stage: usize, block: usize, x: Features) -> Features {
        debug_assert!(block < self.blocks(stage), "the block exists");
        let mut x = x;
        let (first, last) = self.layer(stage);
        if self.is_second_half(stage) {
            // The first half of the last block has left its input beside its map.
            let input = x.carried.pop().expect("features of the stage before");
            return last.second_half(x.map, input).into();
        }
        let block = match self.has_stem(stage) {
            true if block == 0 => return self.stem(x.map).into(),
            true => block - 1,
            false => block,
        };
        match first.get(block) {
            Some(block) => block.forward(x.map).into(),
            None if self.inner_taps => Features {
                map: last.first_half(x.map.clone()),
                carried: vec![x.map],
            },
            None => last.forward(x.map).into(),
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
        let (first, last) = self.layer(stage);
        if self.is_second_half(stage) {
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
                let [(first, inner), (second, output)] = block.costs(map);
                cost += first;
                if self.inner_taps && i + 1 == blocks.len() {
                    stages.push((std::mem::take(&mut cost), inner));
                }
                cost += second;
                map = output;
            }
            stages.push((std::mem::take(&mut cost), map));
        }
        stages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnyBackbone, BackboneConfig};
    use burn::module::Module;
    use offramp_core::default_device;
    use offramp_nn::Init;
    use serde_json::{Value, json};

    fn build(name: &str, options: Value) -> ResNet {
        let Value::Object(options) = options else {
            panic!("options are a table")
        };
        let config = BackboneConfig::named(name).unwrap();
        let mut init = Init::new(0, &default_device().unwrap());
        match config.with_options(options).unwrap().init(&mut init) {
            AnyBackbone::ResNet(net) => net,
            _ => panic!("{name} is a residual network"),
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
