//! Traits of the two parts that a multi-exit network is made of.

use burn::tensor::{Int, Tensor};
use offramp_graph::{Cost, Graph, MapShape};

use crate::ExitOutput;

/// What a backbone says of one of its stages, before anything is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageInfo {
    /// Name of the module that the stage ends with, such as `layer2`.
    pub name: String,
    /// Channels of the stage's output.
    pub channels: usize,
    /// Side of the input divided by the side of the stage's output.
    pub reduction: usize,
}

/// What one stage hands to the next.
#[derive(Clone, Debug)]
pub struct Features {
    /// What an exit looks at, `[N, C, H, W]`.
    pub map: Tensor<4>,
    /// What the next stage needs besides, `[N, ...]` each: the way around a block that is cut in
    /// two, or other scales. Empty for most backbones.
    pub carried: Vec<Tensor<4>>,
}

impl Features {
    /// The features of some samples, by their place in the batch, in the order given.
    ///
    /// # Panics
    /// When a place is outside the batch.
    pub fn select(self, rows: Tensor<1, Int>) -> Self {
        self.map_each(|map| map.select(0, rows.clone()))
    }

    /// The map and everything that is carried, changed alike.
    pub fn map_each(self, change: impl Fn(Tensor<4>) -> Tensor<4>) -> Self {
        Self {
            map: change(self.map),
            carried: self.carried.into_iter().map(change).collect(),
        }
    }
}

impl From<Tensor<4>> for Features {
    fn from(map: Tensor<4>) -> Self {
        Self {
            map,
            carried: Vec::new(),
        }
    }
}

/// A network body cut into stages; exits are attached to the outputs of stages.
pub trait Backbone {
    /// The stages, in the order of computation.
    fn stages(&self) -> Vec<StageInfo>;

    /// The number of blocks that stage `stage` is computed in, one after the other. Training with
    /// checkpointing keeps only the features between blocks.
    fn blocks(&self, stage: usize) -> usize {
        let _ = stage;
        1
    }

    /// Computes one block of stage `stage` from the output of the block before it; block 0 takes the output
    /// of the stage before, or the image.
    ///
    /// # Panics
    /// When the stage has no such block.
    fn forward_block(&self, stage: usize, block: usize, x: Features) -> Features;

    /// Computes stage `stage` from the output of the one before (stage 0: from the image).
    ///
    /// # Shapes
    /// - `x`: `[N, C_in, H, W]`, map of the output: `[N, C_stage, H_out, W_out]`
    fn forward_stage(&self, stage: usize, x: Features) -> Features {
        (0..self.blocks(stage)).fold(x, |x, block| self.forward_block(stage, block, x))
    }

    /// What PyTorch's twin of the backbone calls its classifier, without `.weight` and `.bias`.
    fn classifier_name(&self) -> &str {
        "fc"
    }

    /// Cost of every stage on its own for an input image, and the shape of its output.
    ///
    /// # Panics
    /// When the backbone takes no images of this shape.
    fn costs(&self, image: MapShape) -> Vec<(Cost, MapShape)>;

    /// The backbone as a graph with the weights that it has now, marks of stages among it; exporters
    /// and the compiled executor read it. `None` for a backbone that is written in burn, which trains
    /// and runs but cannot be exported.
    fn graph(&self) -> Option<Graph> {
        None
    }
}

/// A classifier attached to the output of a stage.
pub trait ExitHead {
    /// Classifies a map.
    ///
    /// # Shapes
    /// - `map`: `[N, C, H, W]`, embedding: `[N, D]`, logits: `[N, classes]`
    fn forward(&self, map: Tensor<4>) -> ExitOutput;

    /// Width `D` of the embedding.
    fn embedding_dim(&self) -> usize;

    /// Cost for a map of the given shape.
    ///
    /// # Panics
    /// When the head takes no maps of this shape.
    fn cost(&self, map: MapShape) -> Cost;

    /// The head as a graph with the weights that it has now, from its map to its logits, which are the
    /// output `logits`; `None` for a head that is written in burn.
    fn graph(&self) -> Option<Graph> {
        None
    }
}
