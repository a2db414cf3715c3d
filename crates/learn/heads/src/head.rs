//! What an exit head is, and the table of heads.

use std::any::Any;
use std::fmt::Debug;

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_backbones::BackboneError;
use offramp_core::{BoxedHead, Cost, ExitHead, ExitOutput, MapShape, StageInfo};
use offramp_graph::{Builder, Graph, GraphError, Value};
use offramp_nn::{GraphHead, HeadValues, Init, Linear};
use thiserror::Error;

use crate::heads::{BottleneckHead, BranchHead, ConvHead, LinearHead, ProjectorHead, SepConvHead};

/// A kind of exit head: what it writes into a graph, or a module that is written in burn.
pub trait Head: Any + Debug + Send + Sync {
    /// Writes the head from its map to its logits; [`classify`] is what most end with.
    ///
    /// # Errors
    /// When an operation does not fit the map, or there can be no such head at this stage.
    fn write(
        &self,
        b: &mut Builder,
        map: Value,
        place: &HeadPlace,
    ) -> Result<HeadValues, HeadError> {
        let _ = (b, map, place);
        let error = GraphError::Shape {
            node: "head".to_owned(),
            reason: "its kind has neither `write` nor `in_burn`".to_owned(),
        };
        Err(error.into())
    }

    /// The head as a burn module, for one that is written in burn instead of as a graph; then
    /// [`write`](Self::write) is not asked. Such a head trains and runs, and cannot be exported or
    /// compiled.
    fn in_burn(&self, map: MapShape, place: &HeadPlace, init: &mut Init) -> Option<BoxedHead> {
        let _ = (map, place, init);
        None
    }

    /// Whether several exits may follow one stage: each computes something else of its map.
    fn is_branch(&self) -> bool {
        false
    }

    /// The teachers into whose space the head leads, by name.
    fn teachers(&self) -> &[String] {
        &[]
    }

    /// The same head with the shapes of the teachers' maps in the place of their names; `None` where it
    /// names no teachers.
    fn for_teachers(&self, maps: &[MapShape]) -> Option<HeadConfig> {
        let _ = maps;
        None
    }
}

/// Where a head stands.
#[derive(Clone, Copy, Debug)]
pub struct HeadPlace<'a> {
    /// The stages of the whole backbone.
    pub stages: &'a [StageInfo],
    /// The stage that the head looks at.
    pub stage: usize,
    /// Number of classes.
    pub classes: usize,
    pub(crate) backbone: Option<&'a Graph>,
    pub(crate) backbone_name: &'a str,
}

impl HeadPlace<'_> {
    /// The stage that the head looks at.
    pub fn here(&self) -> &StageInfo {
        &self.stages[self.stage]
    }

    /// The last stage of the backbone.
    pub fn last(&self) -> &StageInfo {
        &self.stages[self.stages.len() - 1]
    }

    /// The stages after the one that the head looks at, as a graph from their map.
    ///
    /// # Errors
    /// When they would need more than the map.
    pub fn rest(&self) -> Result<Graph, BackboneError> {
        let name = || self.backbone_name.to_owned();
        let Some(backbone) = self.backbone else {
            return Err(BackboneError::Whole { name: name() });
        };
        let rest = backbone.piece(self.stage + 1..self.stages.len());
        rest.map_err(|stage| BackboneError::Piece {
            name: name(),
            stage,
        })
    }
}

/// A head that cannot be written.
#[derive(Debug, Error)]
pub enum HeadError {
    /// An operation does not fit its operands.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The rest of the backbone cannot follow this stage.
    #[error(transparent)]
    Backbone(#[from] BackboneError),
}

/// What heads end with: `logits = fc(mean over positions of the map)`.
///
/// # Errors
/// When the value is no map.
pub fn classify(b: &mut Builder, map: Value, classes: usize) -> Result<HeadValues, GraphError> {
    let embedding = b.global_avg_pool(map)?;
    Ok(HeadValues {
        map,
        embedding,
        logits: b.linear_layer("fc", embedding, classes)?,
    })
}

offramp_core::registry! {
    /// A kind of exit head with its options: a name or a table with a name in a recipe.
    pub struct HeadConfig of dyn Head, entries HeadEntry, called "head", first LinearHead;
    SepConvHead,
    BottleneckHead,
    ConvHead,
    ProjectorHead,
    BranchHead,
}

/// All heads.
pub fn registry() -> Vec<HeadEntry> {
    HeadConfig::registry()
}

impl HeadConfig {
    /// A head for maps of the given shape.
    ///
    /// # Errors
    /// As [`Head::write`].
    pub(crate) fn init(
        &self,
        map: MapShape,
        place: &HeadPlace,
        init: &mut Init,
    ) -> Result<AnyHead, HeadError> {
        if let Some(head) = self.in_burn(map, place, init) {
            return Ok(AnyHead::Burn(head));
        }
        let mut b = Builder::new();
        let input = b.input("map", &[map.channels, map.height, map.width]);
        let values = self.write(&mut b, input, place)?;
        let wrong = |reason: String| GraphError::Shape {
            node: format!("head {}", self.name()),
            reason,
        };
        if b.shape(values.logits) != [place.classes] {
            let found = b.shape(values.logits);
            return Err(wrong(format!(
                "logits of shape {found:?}, not [{}]",
                place.classes
            ))
            .into());
        }
        if b.shape(values.embedding).len() != 1 {
            let found = b.shape(values.embedding);
            return Err(wrong(format!("an embedding of shape {found:?} is no vector")).into());
        }
        let graph = b.finish_whole([("logits", values.logits)]);
        Ok(AnyHead::Graph(GraphHead::new(graph, values, init)))
    }
}

/// Any head.
#[derive(Module, Debug)]
#[non_exhaustive]
pub enum AnyHead {
    /// One that is a graph, as all of this crate are.
    Graph(GraphHead),
    /// One that is written in burn.
    Burn(BoxedHead),
}

impl AnyHead {
    /// The linear layer that the head ends with, if it does.
    pub(crate) fn classifier(&self) -> Option<Linear> {
        match self {
            Self::Graph(head) => head.classifier(),
            Self::Burn(_) => None,
        }
    }

    /// The head with a given classifier, which learns no more.
    ///
    /// # Panics
    /// When the head does not end with a linear layer.
    pub(crate) fn with_classifier(self, weight: Tensor<2>, bias: Tensor<1>) -> Self {
        match self {
            Self::Graph(head) => Self::Graph(head.with_classifier(weight, bias)),
            Self::Burn(_) => panic!("a head that ends with a linear layer"),
        }
    }
}

impl ExitHead for AnyHead {
    fn forward(&self, map: Tensor<4>) -> ExitOutput {
        match self {
            Self::Graph(head) => ExitHead::forward(head, map),
            Self::Burn(head) => head.forward(map),
        }
    }

    fn embedding_dim(&self) -> usize {
        match self {
            Self::Graph(head) => head.embedding_dim(),
            Self::Burn(head) => head.embedding_dim(),
        }
    }

    fn cost(&self, map: MapShape) -> Cost {
        match self {
            Self::Graph(head) => head.cost(map),
            Self::Burn(head) => head.cost(map),
        }
    }

    fn graph(&self) -> Option<Graph> {
        match self {
            Self::Graph(head) => ExitHead::graph(head),
            Self::Burn(head) => ExitHead::graph(&**head),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConvWidth;
    use serde_json::{Value, json};

    #[test]
    fn mistakes_are_named() {
        let error = |head| {
            serde_json::from_value::<HeadConfig>(head)
                .unwrap_err()
                .to_string()
        };
        assert!(error(json!("sepcov")).contains("did you mean \"sepconv\""));
        assert!(error(json!({"name": "linear", "width": 3})).contains("width"));
        assert!(error(json!({"name": "conv", "width": "x"})).contains("width"));
        let map = serde_json::from_value(json!({"name": "conv", "width": "map"})).unwrap();
        let width = ConvWidth::Map;
        assert_eq!(HeadConfig::new(ConvHead { width }), map);
        let projector = |option: &str, value: Value| {
            error(json!({"name": "projector", "teacher": "a", option: value}))
        };
        assert!(projector("width", json!(64)).contains("width and size"));
        assert!(projector("factor", json!(0)).contains("factor"));
        assert!(projector("factor", json!("x")).contains("projector"));
    }
}
