//! Residual networks (He, Zhang, Ren and Sun, *Deep Residual Learning for Image
//! Recognition*, CVPR 2016) with basic blocks.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{Backbone, Cost, FeatureValues, Features, MapShape, StageInfo};
use offramp_graph::{Builder, GraphError, Value, Window};
use offramp_kernels::max_pool2d;
use offramp_nn::{BatchNorm2d, Conv2d, Conv2dConfig, Init};
use serde::{Deserialize, Serialize};

/// What a block adds when its input has another shape than its output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shortcut {
    /// Every `stride`-th pixel, new channels filled with zeros, half of them
    /// before and half after (option A of He et al.); no parameters.
    #[serde(alias = "A")]
    Pad,
    /// 1x1 convolution and batch norm (option B), PyTorch's `downsample`.
    #[default]
    #[serde(alias = "B")]
    Conv,
}

/// The first layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stem {
    /// 3x3 convolution, for 32- and 64-pixel images.
    #[default]
    Small,
    /// 7x7 convolution of stride 2 and 3x3 maximum pooling of stride 2, for 224-pixel images.
    Imagenet,
}

/// Where exits may be attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taps {
    /// After each of `layer1`, `layer2`, ...
    #[default]
    Layers,
    /// Also in the middle of the last block of each: after `relu(bn1(conv1(x)))` (MLCSD-Net), so
    /// that there are twice as many stages.
    Inner,
}

/// What a recipe may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ResNetOptions {
    /// Shortcuts of blocks that change the shape.
    pub shortcut: Shortcut,
    /// The first layers.
    pub stem: Stem,
    /// Start every block as the identity: scale 0 in its last batch norm (Goyal et al., 2017).
    pub zero_init_residual: bool,
    /// Where exits may be attached.
    pub taps: Taps,
}

/// Settings of a [`ResNet`].
#[derive(Clone, Debug, PartialEq)]
pub struct ResNetConfig {
    name: &'static str,
    stem_width: usize,
    blocks: &'static [usize],
    widths: &'static [usize],
    options: ResNetOptions,
}

impl ResNetConfig {
    /// `blocks[i]` basic blocks of `widths[i]` channels in stage `i`; the first
    /// block of every stage but the first halves the map.
    pub const fn new(
        name: &'static str,
        stem: Stem,
        stem_width: usize,
        blocks: &'static [usize],
        widths: &'static [usize],
    ) -> Self {
        Self {
            name,
            stem_width,
            blocks,
            widths,
            options: ResNetOptions {
                shortcut: Shortcut::Conv,
                stem,
                zero_init_residual: false,
                taps: Taps::Layers,
            },
        }
    }

    /// The name in the registry.
    pub fn name(&self) -> &str {
        self.name
    }

    /// The options.
    pub fn options(&self) -> ResNetOptions {
        self.options
    }

    /// Replaces the options.
    pub fn with_options(mut self, options: ResNetOptions) -> Self {
        self.options = options;
        self
    }

    /// Builds the network: Kaiming fan-out convolutions, batch norms at scale 1 and shift 0.
    pub fn init(&self, init: &mut Init) -> ResNet {
        let stem = match self.options.stem {
            Stem::Small => Conv2dConfig::new(3, self.stem_width, 3),
            Stem::Imagenet => Conv2dConfig::new(3, self.stem_width, 7).with_stride(2),
        };
        let conv1 = stem.init(init);
        let bn1 = BatchNorm2d::new(self.stem_width, init);
        let mut width = self.stem_width;
        let mut layers =
            (self.blocks.iter().zip(self.widths).enumerate()).map(|(i, (&n, &out))| {
                let stride = if i == 0 { 1 } else { 2 };
                (0..n)
                    .map(|block| {
                        let stride = if block == 0 { stride } else { 1 };
                        let input = std::mem::replace(&mut width, out);
                        BasicBlock::new([input, out], stride, self.options, init)
                    })
                    .collect::<Vec<_>>()
            });
        let mut next = || layers.next().unwrap_or_default();
        let (layer1, layer2, layer3) = (next(), next(), next());
        let layer4 = layers.next();
        ResNet {
            conv1,
            bn1,
            layer1,
            layer2,
            layer3,
            layer4,
            pool_stem: self.options.stem == Stem::Imagenet,
            inner_taps: self.options.taps == Taps::Inner,
        }
    }
}

/// A residual network without its classifier. Stage 0 is the stem and `layer1`.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    layer1: Vec<BasicBlock>,
    layer2: Vec<BasicBlock>,
    layer3: Vec<BasicBlock>,
    layer4: Option<Vec<BasicBlock>>,
    pool_stem: bool,
    inner_taps: bool,
}

impl ResNet {
    fn layers(&self) -> impl Iterator<Item = &Vec<BasicBlock>> {
        [&self.layer1, &self.layer2, &self.layer3]
            .into_iter()
            .chain(&self.layer4)
    }

    fn stem(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.bn1.forward_relu(self.conv1.forward(x));
        match self.pool_stem {
            true => max_pool2d(x, [3, 3], [2, 2], [1, 1]),
            false => x,
        }
    }

    fn trace_stem(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        let x = self.conv1.trace(b, x)?;
        let x = self.bn1.trace_relu(b, x)?;
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
        let (cost, mut map) = self.conv1.cost(image);
        if self.pool_stem {
            map.height = (map.height - 1) / 2 + 1;
            map.width = (map.width - 1) / 2 + 1;
        }
        (cost + self.bn1.cost(), map)
    }
}

impl Backbone for ResNet {
    fn stages(&self) -> Vec<StageInfo> {
        let stem = if self.pool_stem { 4 } else { 1 };
        let mut stages = Vec::new();
        for (i, blocks) in self.layers().enumerate() {
            let stage = |name| StageInfo {
                name,
                channels: blocks[0].conv1.weight.dims()[0],
                reduction: stem << i,
            };
            if self.inner_taps {
                stages.push(stage(format!("layer{}.{}.bn1", i + 1, blocks.len() - 1)));
            }
            stages.push(stage(format!("layer{}", i + 1)));
        }
        stages
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

/// `relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))`.
#[derive(Module, Debug)]
pub struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    downsample: Option<Downsample>,
    pad_stride: usize,
}

/// PyTorch's `downsample = Sequential(conv, bn)`: its members are called 0 and 1.
type Downsample = (Conv2d, BatchNorm2d);

impl BasicBlock {
    fn new(
        [input, out]: [usize; 2],
        stride: usize,
        options: ResNetOptions,
        init: &mut Init,
    ) -> Self {
        let conv1 = Conv2dConfig::new(input, out, 3)
            .with_stride(stride)
            .init(init);
        let bn1 = BatchNorm2d::new(out, init);
        let conv2 = Conv2dConfig::new(out, out, 3).init(init);
        let bn2 = match options.zero_init_residual {
            true => BatchNorm2d::new(out, init).zeroed(),
            false => BatchNorm2d::new(out, init),
        };
        let changes = stride != 1 || input != out;
        let downsample = (changes && options.shortcut == Shortcut::Conv).then(|| {
            let conv = Conv2dConfig::new(input, out, 1).with_stride(stride);
            (conv.init(init), BatchNorm2d::new(out, init))
        });
        Self {
            conv1,
            bn1,
            conv2,
            bn2,
            downsample,
            pad_stride: stride,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.second_half(self.first_half(x.clone()), x)
    }

    /// `relu(bn1(conv1(x)))`.
    fn first_half(&self, x: Tensor<4>) -> Tensor<4> {
        self.bn1.forward_relu(self.conv1.forward(x))
    }

    /// The output from that of the first half and the block's input.
    fn second_half(&self, y: Tensor<4>, x: Tensor<4>) -> Tensor<4> {
        let y = self.conv2.forward(y);
        let shortcut = match &self.downsample {
            Some((conv, bn)) => bn.forward(conv.forward(x)),
            None => pad_shortcut(x, self.pad_stride, self.conv2.weight.dims()[0]),
        };
        self.bn2.forward_add_relu(y, shortcut)
    }

    fn trace(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        let y = self.trace_first_half(b, x)?;
        self.trace_second_half(b, y, x)
    }

    fn trace_first_half(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        let y = self.conv1.trace(b, x)?;
        self.bn1.trace_relu(b, y)
    }

    fn trace_second_half(&self, b: &mut Builder, y: Value, x: Value) -> Result<Value, GraphError> {
        let y = self.conv2.trace(b, y)?;
        let shortcut = match &self.downsample {
            Some((conv, bn)) => {
                let x = conv.trace(b, x)?;
                bn.trace(b, x)?
            }
            None => trace_pad_shortcut(b, x, self.pad_stride, self.conv2.weight.dims()[0])?,
        };
        self.bn2.trace_add_relu(b, y, shortcut)
    }

    /// Cost of the first half with the shape of its map, which is the block's, and cost of the
    /// second half, the shortcut's included.
    fn costs(&self, map: MapShape) -> ((Cost, MapShape), Cost) {
        let (first, middle) = self.conv1.cost(map);
        let mut second = self.conv2.cost(middle).0 + self.bn2.cost();
        if let Some((conv, bn)) = &self.downsample {
            second += conv.cost(map).0 + bn.cost();
        }
        ((first + self.bn1.cost(), middle), second)
    }
}

/// Option A: subsample, then zeros for the new channels on both sides.
fn pad_shortcut(x: Tensor<4>, stride: usize, channels: usize) -> Tensor<4> {
    let x = match stride {
        1 => x,
        _ => x
            .slice_dim(2, burn::tensor::s![..;stride as isize])
            .slice_dim(3, burn::tensor::s![..;stride as isize]),
    };
    let [n, c, h, w] = x.dims();
    if c == channels {
        return x;
    }
    let before = (channels - c) / 2;
    let zeros = |count| Tensor::zeros([n, count, h, w], &x.device());
    Tensor::cat(
        vec![zeros(before), x.clone(), zeros(channels - c - before)],
        1,
    )
}

/// The same in a graph.
fn trace_pad_shortcut(
    b: &mut Builder,
    x: Value,
    stride: usize,
    channels: usize,
) -> Result<Value, GraphError> {
    let &[c, h, w] = b.shape(x) else {
        return Ok(x);
    };
    let x = match stride {
        1 => x,
        _ => {
            let rows = b.slice(x, 1, 0..h, stride)?;
            b.slice(rows, 2, 0..w, stride)?
        }
    };
    match channels - c {
        0 => Ok(x),
        new => b.pad_channels(x, new / 2, new - new / 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BackboneConfig;
    use burn::module::Module;
    use offramp_core::default_device;
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

    #[test]
    fn option_a_subsamples_and_pads_on_both_sides() {
        let x = Tensor::<1>::from_floats([1.0, 2.0, 3.0, 4.0], &default_device().unwrap());
        let y = pad_shortcut(x.reshape([1, 1, 2, 2]), 2, 3);
        assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [0.0, 1.0, 0.0]);
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
        let y = net.layer1[0].forward(x.clone());
        y.into_data().assert_eq(&x.into_data(), true);
    }
}
