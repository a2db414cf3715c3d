//! Networks written as layers: what is computed, what it costs and how it is written into a
//! graph follow from one description.

mod activation;
mod family;
mod parts;
mod pool;
mod stemmed;

use burn::module::Module;
use burn::tensor::{Tensor, s};
use offramp_core::{Cost, MapShape};
use offramp_graph::{Builder, GraphError, Value};
use offramp_kernels::{add, concat};
use offramp_nn::{BatchNorm2d, Conv2d, shrink};

pub use activation::Activation;
pub use family::{LayerFamily, Layered};
pub use parts::Parts;
pub use pool::Pool;
pub use stemmed::{StemFamily, WithStem};

/// Layers one after the other.
pub type Chain = Parts<Layer>;

/// Chains side by side, all from one input.
pub type Branches = Parts<Chain>;

impl Chain {
    /// No layers yet: the identity.
    pub fn empty() -> Self {
        Self::new(())
    }
}

impl Branches {
    /// Chains that add nothing to the names within them.
    pub fn unnamed(chains: [Chain; 2]) -> Self {
        let none = Self::new(());
        chains
            .into_iter()
            .fold(none, |all, chain| all.with("", chain))
    }
}

/// A map to a map.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "networks have few")]
pub enum Layer {
    /// Convolution.
    Conv(Conv2d),
    /// Batch normalisation.
    Norm(BatchNorm2d),
    /// A function of every number.
    Activation(Activation),
    /// Pooling by a window.
    Pool(Pool),
    /// ShuffleNet's exchange between so many groups of channels.
    Shuffle(usize),
    /// Layers one after the other.
    Chain(Chain),
    /// The sum of two branches.
    Sum(Branches),
    /// The maps of all branches, joined along the channels.
    Concat(Branches),
    /// As [`Concat`](Self::Concat), where the first branch gets the first half of the channels and
    /// the second branch the other.
    Halves(Branches),
    /// `x * gate(mean over positions of x)`, squeeze and excitation (Hu et al., CVPR 2018).
    Gate(Chain),
}

macro_rules! layer_from {
    ($($variant:ident($kind:ty)),+) => {$(
        impl From<$kind> for Layer {
            fn from(layer: $kind) -> Self {
                Self::$variant(layer)
            }
        }
    )+};
}
layer_from!(
    Conv(Conv2d),
    Norm(BatchNorm2d),
    Activation(Activation),
    Pool(Pool),
    Chain(Chain)
);

impl Chain {
    /// Computes the layers in turn; a batch norm is computed with the sum that it ends and the ReLU
    /// that follows.
    ///
    /// # Shapes
    /// - `x`: `[N, C, H, W]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        run(self.as_slice(), x)
    }

    /// The layers in pieces, each computed whole: one begins with every layer that is made of layers.
    fn blocks(&self) -> impl Iterator<Item = &[(String, Layer)]> {
        let layers = self.as_slice();
        layers.chunk_by(|_, (_, next)| !next.is_made_of_layers())
    }

    /// Writes the layers into a graph.
    ///
    /// # Errors
    /// When a map does not fit a layer.
    pub fn trace(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        let layers = self.as_slice().iter();
        layers
            .map(|(_, layer)| layer)
            .try_fold(x, |x, layer| layer.trace(b, x))
    }

    /// Cost for a map of the given shape, and the shape of the output.
    pub fn cost(&self, map: MapShape) -> (Cost, MapShape) {
        let layers = self.as_slice().iter();
        layers.fold((Cost::default(), map), |(sum, map), (_, layer)| {
            let (cost, map) = layer.cost(map);
            (sum + cost, map)
        })
    }
}

fn run(layers: &[(String, Layer)], mut x: Tensor<4>) -> Tensor<4> {
    let mut rest = layers;
    loop {
        (x, rest) = match rest {
            [] => return x,
            [(_, Layer::Norm(norm)), (_, next), tail @ ..] if next.is_relu() => {
                (norm.forward_relu(x), tail)
            }
            [(_, Layer::Sum(branches)), (_, next), tail @ ..] if next.is_relu() => {
                (sum_relu(branches, x), tail)
            }
            [(_, layer), tail @ ..] => (layer.forward(x), tail),
        };
    }
}

/// `relu(first(x) + second(x))`, at once where the first branch ends in a batch norm.
fn sum_relu(branches: &Branches, x: Tensor<4>) -> Tensor<4> {
    let [first, second] = both(branches);
    let other = second.forward(x.clone());
    match first.as_slice() {
        [layers @ .., (_, Layer::Norm(norm))] => norm.forward_add_relu(run(layers, x), other),
        layers => Activation::relu().forward(add(run(layers, x), other)),
    }
}

fn both(branches: &Branches) -> [&Chain; 2] {
    match branches.as_slice() {
        [(_, first), (_, second)] => [first, second],
        others => unreachable!("{} branches are never built", others.len()),
    }
}

impl Layer {
    fn is_relu(&self) -> bool {
        matches!(self, Self::Activation(activation) if activation.is_relu())
    }

    fn is_made_of_layers(&self) -> bool {
        matches!(
            self,
            Self::Chain(_) | Self::Sum(_) | Self::Concat(_) | Self::Halves(_)
        )
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Conv(layer) => layer.forward(x),
            Self::Norm(layer) => layer.forward(x),
            Self::Activation(layer) => layer.forward(x),
            Self::Pool(layer) => layer.forward(x),
            Self::Shuffle(groups) => shuffle(x, *groups),
            Self::Chain(chain) => chain.forward(x),
            Self::Sum(branches) => {
                let [first, second] = both(branches);
                let other = second.forward(x.clone());
                match first.as_slice() {
                    [layers @ .., (_, Layer::Norm(norm))] => {
                        norm.forward_add(run(layers, x), other)
                    }
                    layers => add(run(layers, x), other),
                }
            }
            Self::Concat(branches) => {
                let [first, second] = both(branches);
                concat(first.forward(x.clone()), second.forward(x))
            }
            Self::Halves(branches) => {
                let [first, second] = both(branches);
                let half = x.dims()[1] / 2;
                let left = x.clone().slice_dim(1, s![..half]);
                let right = x.slice_dim(1, s![half..]);
                concat(first.forward(left), second.forward(right))
            }
            Self::Gate(gate) => x.clone() * gate.forward(shrink(x, [1, 1])),
        }
    }

    fn trace(&self, b: &mut Builder, x: Value) -> Result<Value, GraphError> {
        match self {
            Self::Conv(layer) => layer.trace(b, x),
            Self::Norm(layer) => layer.trace(b, x),
            Self::Activation(layer) => layer.trace(b, x),
            Self::Pool(layer) => layer.trace(b, x),
            Self::Shuffle(groups) => b.shuffle(x, *groups),
            Self::Chain(chain) => chain.trace(b, x),
            Self::Sum(branches) => {
                let [first, second] = both(branches);
                let (first, second) = (first.trace(b, x)?, second.trace(b, x)?);
                b.add(first, second)
            }
            Self::Concat(branches) => {
                let [first, second] = both(branches);
                let values = [first.trace(b, x)?, second.trace(b, x)?];
                b.concat(&values)
            }
            Self::Halves(branches) => {
                let [first, second] = both(branches);
                let channels = b.shape(x)[0];
                let left = b.slice(x, 0, 0..channels / 2, 1)?;
                let right = b.slice(x, 0, channels / 2..channels, 1)?;
                let values = [first.trace(b, left)?, second.trace(b, right)?];
                b.concat(&values)
            }
            Self::Gate(gate) => {
                let mean = b.shrink(x, [1, 1])?;
                let gate = gate.trace(b, mean)?;
                b.mul(x, gate)
            }
        }
    }

    fn cost(&self, map: MapShape) -> (Cost, MapShape) {
        match self {
            Self::Conv(layer) => layer.cost(map),
            Self::Norm(layer) => (layer.cost(), map),
            Self::Activation(_) | Self::Shuffle(_) => (Cost::default(), map),
            Self::Pool(layer) => (Cost::default(), layer.output(map)),
            Self::Chain(chain) => chain.cost(map),
            Self::Sum(branches) => {
                let [(first, output), (second, _)] = both(branches).map(|chain| chain.cost(map));
                (first + second, output)
            }
            Self::Concat(branches) => joined(branches, [map, map]),
            Self::Halves(branches) => {
                let left = MapShape {
                    channels: map.channels / 2,
                    ..map
                };
                let right = MapShape {
                    channels: map.channels - left.channels,
                    ..map
                };
                joined(branches, [left, right])
            }
            Self::Gate(gate) => {
                let (cost, _) = gate.cost(MapShape::new(map.channels, 1, 1));
                (cost, map)
            }
        }
    }
}

fn joined(branches: &Branches, maps: [MapShape; 2]) -> (Cost, MapShape) {
    let [first, second] = both(branches);
    let ((a, left), (b, right)) = (first.cost(maps[0]), second.cost(maps[1]));
    let channels = left.channels + right.channels;
    (a + b, MapShape { channels, ..left })
}

/// Channel `i * C / groups + j` goes to `j * groups + i` (Zhang et al., *ShuffleNet*, CVPR 2018).
fn shuffle(x: Tensor<4>, groups: usize) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let x: Tensor<5> = x.reshape([n, groups, c / groups, h, w]);
    x.swap_dims(1, 2).reshape([n, c, h, w])
}
