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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MeanEnsemble;
    use offramp_core::{ExitOutput, default_device};

    /// Targets of the last exit and of the mean of four exits, as constants.
    #[test]
    fn fixed_teachers_are_constants() {
        let device = default_device().unwrap().autodiff();
        let exit = |logits: [f32; 3], embedding: [f32; 2]| {
            ExitOutput::new(
                Tensor::from_floats([embedding], &device).require_grad(),
                Tensor::from_floats([logits], &device).require_grad(),
            )
        };
        let outputs = ExitOutputs::from(vec![
            exit([1.0, 0.0, -1.0], [1.0, -1.0]),
            exit([2.0, 0.5, -1.0], [2.0, 0.0]),
            exit([3.0, 1.0, 0.0], [0.0, -2.0]),
            exit([0.0, 2.0, 0.0], [1.0, 3.0]),
        ]);
        let last = LastExit { exits: 4 };
        let mean = MeanEnsemble { exits: 4 };
        let cases: [(&dyn Teacher, Level, &[f32]); 4] = [
            (&last, Level::Logits, &[0.0, 2.0, 0.0]),
            (&last, Level::Embeddings, &[1.0, 3.0]),
            (&mean, Level::Logits, &[1.5, 0.875, -0.5]),
            (&mean, Level::Embeddings, &[1.0, 0.0]),
        ];
        for (teacher, level, expected) in cases {
            let targets = teacher.targets(&outputs, level);
            assert!(!targets.is_tracked());
            let targets: Vec<f32> = targets.into_data().try_to_vec().unwrap();
            assert_eq!(targets, expected, "{level:?}");
        }
        assert_eq!(last.weights(), [[0.0, 0.0, 0.0, 1.0]]);
        assert_eq!(mean.weights(), [[0.25; 4]]);
    }
}
