//! The deepest exit as the only teacher.

use burn::tensor::Tensor;
use offramp_core::ExitOutputs;

use crate::{Level, Teacher};

/// The deepest exit teaches: `t = z_K`.
///
/// Of Phuong and Lampert, *Distillation-Based Training for Multi-Exit Architectures*, ICCV 2019,
/// and of Zhang et al., *Be Your Own Teacher*, ICCV 2019.
#[derive(Clone, Copy, Debug)]
pub struct LastExit {
    /// Number of exits `K`.
    pub exits: usize,
}

impl Teacher for LastExit {
    fn targets(&self, outputs: &ExitOutputs, level: Level) -> Tensor<3> {
        let last = outputs.exits.last().expect("a network has an exit");
        let target = match level {
            Level::Logits => &last.logits,
            Level::Embeddings => &last.embedding,
        };
        target.clone().without_autodiff().unsqueeze_dim(0)
    }

    fn weights(&self) -> Vec<Vec<f32>> {
        let mut row = vec![0.0; self.exits];
        if let Some(last) = row.last_mut() {
            *last = 1.0;
        }
        vec![row]
    }
}
