//! The layers of an MSDNet, each from the maps of some scales to those of others.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{Cost, MapShape};
use offramp_graph::{Builder, GraphError, Value};
use offramp_kernels::concat;
use offramp_nn::{BatchNorm2d, Conv2dConfig, Init};

use super::MsdNetConfig;
use super::config::Planned;
use crate::layers::{Activation, Chain, Parts, Pool};

/// A layer. Maps are those of the scales that are left, finest first.
#[derive(Module, Debug)]
pub enum Unit {
    /// From the image to all scales, each from the one before.
    Stem(Parts<Chain>),
    /// Joins new channels to the map of every scale.
    Dense(Parts<Joint>),
    /// Every scale for itself.
    Transition(Parts<Chain>),
}

/// The new map of a scale: `x`, joined with what is computed from the next finer map and from `x`.
/// The finest scale that is kept has no finer one unless that is given up here.
#[derive(Module, Debug)]
pub struct Joint {
    conv_down: Option<Chain>,
    conv_normal: Chain,
}

/// Convolution, batch norm and ReLU, under `net.0` and the next numbers.
fn unit(conv: Conv2dConfig, channels: usize, init: &mut Init) -> Chain {
    push_unit(Chain::empty(), ["net.0", "net.1"], conv, channels, init)
}

fn push_unit(
    chain: Chain,
    [conv_name, norm_name]: [&str; 2],
    conv: Conv2dConfig,
    channels: usize,
    init: &mut Init,
) -> Chain {
    chain
        .with(conv_name, conv.init(init))
        .with(norm_name, BatchNorm2d::new(channels, init))
        .with("", Activation::relu())
}

/// A 1x1 convolution to at most `width` times the new channels, and a 3x3 one.
fn bottleneck([input, new]: [usize; 2], width: usize, stride: usize, init: &mut Init) -> Chain {
    let inner = input.min(width * new);
    let narrow = unit(Conv2dConfig::new(input, inner, 1), inner, init);
    let conv = Conv2dConfig::new(inner, new, 3).with_stride(stride);
    push_unit(narrow, ["net.3", "net.4"], conv, new, init)
}

impl Unit {
    pub(super) fn new(config: &MsdNetConfig, planned: &Planned, init: &mut Init) -> Self {
        match *planned {
            Planned::Stem { channels } => Self::Stem(stem(config, channels, init)),
            Planned::Dense {
                channels,
                inputs,
                scales,
            } => {
                let finest = config.factors.len() - scales;
                let none = Parts::new(());
                Self::Dense((0..scales).fold(none, |parts, i| {
                    let scale = finest + i;
                    let has_finer = i > 0 || inputs > scales;
                    let joint = Joint::new(config, channels, scale, has_finer, init);
                    parts.with(format!("layers.{i}"), joint)
                }))
            }
            Planned::Transition {
                channels: [from, to],
                scales,
            } => {
                let finest = config.factors.len() - scales;
                let none = Parts::new(());
                Self::Transition((0..scales).fold(none, |parts, i| {
                    let factor = config.factors[finest + i];
                    let conv = Conv2dConfig::new(from * factor, to * factor, 1);
                    parts.with(format!("m.{i}"), unit(conv, to * factor, init))
                }))
            }
        }
    }

    pub(super) fn forward(&self, maps: Vec<Tensor<4>>) -> Vec<Tensor<4>> {
        match self {
            Self::Stem(parts) => {
                let mut made: Vec<Tensor<4>> = Vec::new();
                for (_, chain) in parts.as_slice() {
                    let x = made.last().unwrap_or(&maps[0]).clone();
                    made.push(chain.forward(x));
                }
                made
            }
            Self::Dense(parts) => {
                let given_up = maps.len() - parts.as_slice().len();
                let joints = parts.as_slice().iter().enumerate();
                let made = joints.map(|(i, (_, joint))| {
                    let here = i + given_up;
                    let finer = here.checked_sub(1).map(|finer| maps[finer].clone());
                    joint.forward(finer, maps[here].clone())
                });
                made.collect()
            }
            Self::Transition(parts) => {
                let pairs = parts.as_slice().iter().zip(maps);
                pairs.map(|((_, chain), x)| chain.forward(x)).collect()
            }
        }
    }

    pub(super) fn trace(
        &self,
        b: &mut Builder,
        maps: Vec<Value>,
    ) -> Result<Vec<Value>, GraphError> {
        match self {
            Self::Stem(parts) => {
                let mut made = Vec::new();
                for (_, chain) in parts.as_slice() {
                    let x = *made.last().unwrap_or(&maps[0]);
                    made.push(chain.trace(b, x)?);
                }
                Ok(made)
            }
            Self::Dense(parts) => {
                let given_up = maps.len() - parts.as_slice().len();
                let joints = parts.as_slice().iter().enumerate();
                let made = joints.map(|(i, (_, joint))| {
                    let here = i + given_up;
                    let finer = here.checked_sub(1).map(|finer| maps[finer]);
                    joint.trace(b, finer, maps[here])
                });
                made.collect()
            }
            Self::Transition(parts) => {
                let pairs = parts.as_slice().iter().zip(maps);
                pairs.map(|((_, chain), x)| chain.trace(b, x)).collect()
            }
        }
    }

    pub(super) fn cost(&self, maps: Vec<MapShape>) -> (Cost, Vec<MapShape>) {
        let mut sum = Cost::default();
        let mut made = Vec::new();
        match self {
            Self::Stem(parts) => {
                for (_, chain) in parts.as_slice() {
                    let (cost, map) = chain.cost(*made.last().unwrap_or(&maps[0]));
                    sum += cost;
                    made.push(map);
                }
            }
            Self::Dense(parts) => {
                let given_up = maps.len() - parts.as_slice().len();
                for (i, (_, joint)) in parts.as_slice().iter().enumerate() {
                    let here = i + given_up;
                    let finer = here.checked_sub(1).map(|finer| maps[finer]);
                    let (cost, map) = joint.cost(finer, maps[here]);
                    sum += cost;
                    made.push(map);
                }
            }
            Self::Transition(parts) => {
                for ((_, chain), map) in parts.as_slice().iter().zip(maps) {
                    let (cost, map) = chain.cost(map);
                    sum += cost;
                    made.push(map);
                }
            }
        }
        (sum, made)
    }
}

/// The first layer: the finest scale from the image, every other from the one before.
fn stem(config: &MsdNetConfig, channels: usize, init: &mut Init) -> Parts<Chain> {
    let mut parts = Parts::new(());
    let mut input = 3;
    for (i, factor) in config.factors.iter().enumerate() {
        let out = channels * factor;
        let chain = match (i, config.imagenet) {
            (0, true) => {
                let conv = Conv2dConfig::new(input, out, 7)
                    .with_stride(2)
                    .with_bias(true);
                let chain = push_unit(Chain::empty(), ["0", "1"], conv, out, init);
                chain.with("", Pool::max(3, 2, 1))
            }
            (0, false) => unit(Conv2dConfig::new(input, out, 3), out, init),
            _ => unit(Conv2dConfig::new(input, out, 3).with_stride(2), out, init),
        };
        parts.push(format!("layers.{i}"), chain);
        input = out;
    }
    parts
}

impl Joint {
    fn new(
        config: &MsdNetConfig,
        channels: usize,
        scale: usize,
        has_finer: bool,
        init: &mut Init,
    ) -> Self {
        let factor = config.factors[scale];
        let new = config.growth_rate * factor;
        let here = channels * factor;
        match scale.checked_sub(1).filter(|_| has_finer) {
            Some(finer) => {
                let finer_factor = config.factors[finer];
                let from = [channels * finer_factor, new / 2];
                Self {
                    conv_down: Some(bottleneck(from, finer_factor, 2, init)),
                    conv_normal: bottleneck([here, new / 2], factor, 1, init),
                }
            }
            None => Self {
                conv_down: None,
                conv_normal: bottleneck([here, new], factor, 1, init),
            },
        }
    }

    /// `finer` is not looked at where there is no branch for it.
    fn forward(&self, finer: Option<Tensor<4>>, x: Tensor<4>) -> Tensor<4> {
        let normal = self.conv_normal.forward(x.clone());
        let new = match (&self.conv_down, finer) {
            (Some(down), Some(finer)) => concat(down.forward(finer), normal),
            _ => normal,
        };
        concat(x, new)
    }

    fn trace(&self, b: &mut Builder, finer: Option<Value>, x: Value) -> Result<Value, GraphError> {
        let mut maps = vec![x];
        if let (Some(down), Some(finer)) = (&self.conv_down, finer) {
            maps.push(down.trace(b, finer)?);
        }
        maps.push(self.conv_normal.trace(b, x)?);
        b.concat(&maps)
    }

    fn cost(&self, finer: Option<MapShape>, map: MapShape) -> (Cost, MapShape) {
        let (mut sum, new) = self.conv_normal.cost(map);
        let mut channels = map.channels + new.channels;
        if let (Some(down), Some(finer)) = (&self.conv_down, finer) {
            let (cost, new) = down.cost(finer);
            sum += cost;
            channels += new.channels;
        }
        (sum, MapShape { channels, ..map })
    }
}
