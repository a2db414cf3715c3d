//! Training with less memory: what lies within a block is computed twice and never kept.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};
use offramp_core::{Backbone, ExitOutputs, Features, add_gradient, add_gradients};

use crate::MultiExitNet;

/// What is kept of a forward pass in which every block was computed without a way back: the maps between
/// the blocks.
#[derive(Debug)]
pub struct Boundaries {
    pieces: Vec<Piece>,
}

/// One block of the backbone.
#[derive(Debug)]
struct Piece {
    stage: usize,
    block: usize,
    /// What it was given; leaves of the graph but for the image.
    input: Features,
    /// The exits between the block before and this one.
    exits: Vec<usize>,
    /// What it made of that, leaves of the graph on which the heads look.
    output: Features,
}

/// Parameters that learn nothing. The layers' mode stays: batch norms normalise by the batch.
struct Untracked;

impl ModuleMapper for Untracked {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.set_require_grad(false)
    }
}

/// Whether a module has anything to learn.
fn learns<M: Module>(module: &M) -> bool {
    struct Learns(bool);

    impl ModuleVisitor for Learns {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 |= param.is_require_grad();
        }
    }

    let mut visitor = Learns(false);
    module.visit(&mut visitor);
    visitor.0
}

fn leaf(features: Features) -> Features {
    features.map_each(Tensor::require_grad)
}

/// The same map, but not a leaf: the kernels go on summing in the gradient of such a map, where burn adds
/// one finished gradient after the other to a leaf.
fn not_a_leaf(map: Tensor<4>) -> Tensor<4> {
    map.swap_dims(2, 3).swap_dims(2, 3)
}

fn tensors(features: &Features) -> impl Iterator<Item = &Tensor<4>> {
    [&features.map].into_iter().chain(&features.carried)
}

impl MultiExitNet {
    /// As [`forward`](Self::forward), for [`backward_by_blocks`](Self::backward_by_blocks): of each block
    /// the output alone is kept, from which heads and losses learn as ever. What is computed is the same to
    /// the last bit.
    ///
    /// Running statistics stay as they are, since every block is computed once more.
    ///
    /// # Shapes
    /// As for [`forward`](Self::forward).
    pub fn forward_by_blocks(&self, x: Tensor<4>) -> (ExitOutputs, Boundaries) {
        if !learns(self.backbone()) {
            let pieces = Vec::new();
            return (self.forward(x), Boundaries { pieces });
        }
        // A copy, which has running statistics of its own.
        let backbone = self.backbone().clone().map(&mut Untracked);
        let exits = self.num_exits();
        let mut kept = Features::from(x);
        let mut onward = kept.clone();
        let mut outputs = ExitOutputs::default();
        let mut pieces = Vec::new();
        let mut passed = Vec::new();
        for exit in 0..exits {
            let seen = |features: &Features| self.to_exit(features.map.clone(), exit);
            for stage in self.segment_stages(exit) {
                for block in 0..backbone.blocks(stage) {
                    let input = kept.clone();
                    let plain = input.clone().map_each(|map| map.set_require_grad(false));
                    kept = leaf(backbone.forward_block(stage, block, plain));
                    pieces.push(Piece {
                        stage,
                        block,
                        input,
                        exits: std::mem::take(&mut passed),
                        output: kept.clone(),
                    });
                    onward = kept.clone();
                }
                outputs.stages.push(seen(&onward));
            }
            let previous = outputs.exits.last().map(|exit| exit.logits.clone());
            outputs.exits.push(self.exit(exit, seen(&onward), previous));
            onward = self.onward(onward, exit);
            passed.push(exit);
        }
        (outputs, Boundaries { pieces })
    }

    /// Completes what the backward pass of the losses has left open: from the last block to the first, each is
    /// computed again from its input and learns from the gradient of its output. `gradients` are those
    /// of the losses, and of everything afterwards.
    ///
    /// Running statistics follow here, and once. The memory of one block is in use at a time.
    pub fn backward_by_blocks(&self, boundaries: Boundaries, gradients: &mut Gradients) {
        let backbone = self.backbone();
        for piece in boundaries.pieces.into_iter().rev() {
            let flowing = |x, &exit: &usize| self.onward(x, exit);
            let input = piece.input.clone().map_each(not_a_leaf);
            let input = piece.exits.iter().fold(input, flowing);
            let again = backbone.forward_block(piece.stage, piece.block, input);
            let pulls = tensors(&again).zip(tensors(&piece.output));
            let pulls = pulls.filter_map(|(map, leaf)| {
                // Its derivative by the map is the gradient; nobody looks at the value.
                let gradient = Tensor::from_inner(leaf.grad_remove(gradients)?);
                Some((map.clone() * gradient).sum())
            });
            let pull = pulls.reduce(|sum, pull| sum + pull);
            drop(again);
            let Some(pull) = pull.filter(Tensor::is_tracked) else {
                continue;
            };
            let mut found = pull.backward();
            add_gradients(backbone, gradients, &mut found);
            for leaf in tensors(&piece.input).filter(|map| map.is_require_grad()) {
                add_gradient(leaf, gradients, &mut found);
            }
        }
    }
}
