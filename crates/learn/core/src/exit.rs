//! What a forward pass through all exits returns.

use std::borrow::Cow;

use burn::tensor::{DType, FloatDType, Tensor};

/// Output of one exit.
#[derive(Clone, Debug)]
pub struct ExitOutput {
    /// The head's last map, whose mean over positions is the embedding, `[N, D, H, W]`.
    pub map: Tensor<4>,
    /// What the last linear layer of the exit sees, `[N, D]`.
    pub embedding: Tensor<2>,
    /// Unnormalised class scores, `[N, C]`.
    pub logits: Tensor<2>,
}

impl ExitOutput {
    /// An output whose map has one position: the embedding.
    ///
    /// # Shapes
    /// - `embedding`: `[N, D]`, `logits`: `[N, C]`
    pub fn new(embedding: Tensor<2>, logits: Tensor<2>) -> Self {
        let [n, d] = embedding.dims();
        Self {
            map: embedding.clone().reshape([n, d, 1, 1]),
            embedding,
            logits,
        }
    }
}

/// Outputs of all exits of one batch, shallowest first.
#[derive(Clone, Debug, Default)]
pub struct ExitOutputs {
    /// One entry an exit.
    pub exits: Vec<ExitOutput>,
    /// The map after every stage of the backbone that was computed, `[N, C_s, H_s, W_s]`.
    pub stages: Vec<Tensor<4>>,
}

impl ExitOutputs {
    /// Number of exits.
    pub fn len(&self) -> usize {
        self.exits.len()
    }

    /// Whether there is no exit.
    pub fn is_empty(&self) -> bool {
        self.exits.is_empty()
    }

    /// Logits of every exit, shallowest first.
    pub fn logits(&self) -> impl DoubleEndedIterator<Item = &Tensor<2>> + ExactSizeIterator {
        self.exits.iter().map(|exit| &exit.logits)
    }

    /// Embeddings of every exit, shallowest first.
    pub fn embeddings(&self) -> impl DoubleEndedIterator<Item = &Tensor<2>> + ExactSizeIterator {
        self.exits.iter().map(|exit| &exit.embedding)
    }
}

/// A tensor in float32 where it is narrower (float16, bfloat16), with a way back for gradients.
pub fn widened<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
    if is_narrow(tensor) {
        tensor.clone().cast(FloatDType::F32)
    } else {
        tensor.clone()
    }
}

fn is_narrow<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(tensor.dtype(), DType::F16 | DType::BF16)
}

impl ExitOutputs {
    /// The outputs in float32 where they are narrower, as losses must be computed: softmax and
    /// squares of float16 overflow from about 256 on, and sums lose digits.
    pub fn widened(&self) -> Cow<'_, Self> {
        let narrow = |exit: &ExitOutput| {
            is_narrow(&exit.map) || is_narrow(&exit.embedding) || is_narrow(&exit.logits)
        };
        if !(self.exits.iter().any(narrow) || self.stages.iter().any(is_narrow)) {
            return Cow::Borrowed(self);
        }
        let exit = |exit: &ExitOutput| ExitOutput {
            map: widened(&exit.map),
            embedding: widened(&exit.embedding),
            logits: widened(&exit.logits),
        };
        Cow::Owned(Self {
            exits: self.exits.iter().map(exit).collect(),
            stages: self.stages.iter().map(widened).collect(),
        })
    }
}

/// Outputs without stages, for what looks at the exits alone.
impl From<Vec<ExitOutput>> for ExitOutputs {
    fn from(exits: Vec<ExitOutput>) -> Self {
        Self {
            exits,
            stages: Vec::new(),
        }
    }
}
