//! SimKD's projector into a teacher's space, with the teacher's classifier behind it.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{Cost, ExitHead, ExitOutput, MapShape};
use offramp_graph::{Builder, GraphError, Value};
use offramp_nn::{Conv2dConfig, Init, Linear, shrink};
use serde::{Deserialize, Serialize};

use super::bottleneck::ConvBnRelu;

/// Settings of a [`ProjectorHead`].
///
/// ```toml
/// [model]
/// head = { name = "projector", teacher = "resnet56" }            # what a recipe says
/// # head = { name = "projector", width = 64, size = 8 }          # what training makes of it
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProjectorConfig {
    /// Names of the teachers whose space is meant: a name or a list. Training replaces them by
    /// `width` and `size`, so that a saved network needs no teacher.
    #[serde(with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub teacher: Vec<String>,
    /// Channels `t` of every teacher's map: a number or a list; left out: those of the student's
    /// last stage.
    #[serde(with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub width: Vec<usize>,
    /// Longest side of the map that is projected; larger maps are pooled down to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// `f`: the middle of a projector has `t / f` channels.
    pub factor: usize,
}

impl Default for ProjectorConfig {
    fn default() -> Self {
        Self {
            teacher: Vec::new(),
            width: Vec::new(),
            size: None,
            factor: 2,
        }
    }
}

impl ProjectorConfig {
    /// What is wrong with the settings, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let numbers = !self.width.is_empty() || self.size.is_some();
        if numbers && !self.teacher.is_empty() {
            return Some("teacher says what width and size are; give it or them");
        }
        if self.width.contains(&0) {
            return Some("option width: 0 channels");
        }
        if self.size == Some(0) {
            return Some("option size: maps of side 0");
        }
        if self.factor == 0 {
            return Some("option factor: 0");
        }
        None
    }

    /// The settings for teachers with maps of the given shapes.
    pub(crate) fn resolved(&self, maps: &[MapShape]) -> Self {
        Self {
            teacher: Vec::new(),
            width: maps.iter().map(|map| map.channels).collect(),
            size: maps.iter().map(|map| map.height.max(map.width)).min(),
            factor: self.factor,
        }
    }
}

/// `P`: 1x1 convolution to `m = t / f` channels, 3x3 convolution, 1x1 convolution to `t`
/// channels, each without bias and with batch norm and ReLU. It ends with a ReLU because the
/// teacher's features do.
#[derive(Module, Debug)]
pub struct Projector {
    conv1: ConvBnRelu,
    conv2: ConvBnRelu,
    conv3: ConvBnRelu,
}

impl Projector {
    fn new(channels: usize, width: usize, factor: usize, init: &mut Init) -> Self {
        let middle = (width / factor).max(1);
        Self {
            conv1: ConvBnRelu::new(Conv2dConfig::new(channels, middle, 1), middle, init),
            conv2: ConvBnRelu::new(Conv2dConfig::new(middle, middle, 3), middle, init),
            conv3: ConvBnRelu::new(Conv2dConfig::new(middle, width, 1), width, init),
        }
    }

    fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let map = self.conv2.forward(self.conv1.forward(map));
        self.conv3.forward(map)
    }

    fn trace(&self, b: &mut Builder, map: Value) -> Result<Value, GraphError> {
        let map = self.conv1.trace(b, map)?;
        let map = self.conv2.trace(b, map)?;
        self.conv3.trace(b, map)
    }

    fn cost(&self, map: MapShape) -> Cost {
        let (first, map) = self.conv1.cost(map);
        let (second, map) = self.conv2.cost(map);
        first + second + self.conv3.cost(map).0
    }
}

/// Pools a map to the size of the teacher's, projects it to the teacher's width, and classifies
/// what comes out (Chen et al., *Knowledge Distillation with the Reused Teacher Classifier*, CVPR
/// 2022):
///
/// ```text
/// logits = fc( mean over positions of P(pool(map)) )
/// ```
///
/// The distillers `simkd` and `atsc` put the teacher's classifier in the place of `fc`, where it
/// learns no more ([`MultiExitNet::with_classifier`](crate::MultiExitNet::with_classifier));
/// without them `fc` is trained like that of any head.
///
/// For several teachers there are as many projectors side by side. The maps are joined along the
/// channels, and the mean of the teachers' classifiers is one linear layer of the joined
/// embedding: `mean_k (W_k e_k + b_k) = [W_1/K ... W_K/K] [e_1 ... e_K] + mean_k b_k`.
#[derive(Module, Debug)]
pub struct ProjectorHead {
    projectors: Vec<Projector>,
    pub(crate) fc: Linear,
    #[module(skip)]
    size: Option<usize>,
}

impl ProjectorHead {
    /// A head for maps of `channels` channels with a projector to each of the widths.
    pub fn new(
        channels: usize,
        widths: &[usize],
        size: Option<usize>,
        factor: usize,
        classes: usize,
        init: &mut Init,
    ) -> Self {
        let projectors = widths
            .iter()
            .map(|&width| Projector::new(channels, width, factor, init))
            .collect();
        Self {
            projectors,
            fc: Linear::new(widths.iter().sum(), classes, init),
            size,
        }
    }
}

impl ExitHead for ProjectorHead {
    fn forward(&self, map: Tensor<4>) -> ExitOutput {
        let map = match self.size {
            Some(size) => shrink(map, [size, size]),
            None => map,
        };
        let maps = self.projectors.iter().map(|p| p.forward(map.clone()));
        super::classify(Tensor::cat(maps.collect(), 1), &self.fc)
    }

    fn trace(&self, b: &mut Builder, map: Value) -> Result<Value, GraphError> {
        let map = match self.size {
            Some(size) => b.shrink(map, [size, size])?,
            None => map,
        };
        let maps = self.projectors.iter().map(|p| p.trace(b, map));
        let maps = maps.collect::<Result<Vec<_>, _>>()?;
        let map = b.concat(&maps)?;
        super::trace_classify(b, map, &self.fc)
    }

    fn embedding_dim(&self) -> usize {
        self.fc.inputs()
    }

    fn cost(&self, map: MapShape) -> Cost {
        let most = self.size.unwrap_or(usize::MAX);
        let map = MapShape::new(map.channels, map.height.min(most), map.width.min(most));
        let projectors: Cost = self.projectors.iter().map(|p| p.cost(map)).sum();
        projectors + self.fc.cost()
    }
}

/// A list that is written as its only element where it has one.
mod one_or_many {
    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany<T> {
        One(T),
        Many(Vec<T>),
    }

    pub fn serialize<T: Serialize, S: Serializer>(list: &[T], s: S) -> Result<S::Ok, S::Error> {
        match list {
            [one] => one.serialize(s),
            many => many.serialize(s),
        }
    }

    pub fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        Ok(match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;
    use offramp_core::default_device;
    use offramp_core::params::{NamedTensors, apply, collect};

    fn set(tensors: &mut NamedTensors, name: &str, values: &[f32]) {
        let shape = tensors[name].shape().to_vec();
        tensors.insert(name.to_owned(), TensorData::new(values.to_vec(), shape));
    }

    /// T4 of the specification; the batch norms are fresh and in evaluation.
    #[test]
    fn values_of_the_specification() {
        let device = default_device().unwrap();
        let head = ProjectorHead::new(1, &[2], Some(1), 2, 3, &mut Init::new(0, &device));
        let mut tensors = collect(&head);
        set(&mut tensors, "projectors.0.conv1.conv.weight", &[0.5]);
        let centre = [0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0];
        set(&mut tensors, "projectors.0.conv2.conv.weight", &centre);
        set(&mut tensors, "projectors.0.conv3.conv.weight", &[1.0, -1.0]);
        set(&mut tensors, "fc.weight", &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        set(&mut tensors, "fc.bias", &[0.0, 0.1, -0.5]);
        let head = apply(head, tensors).unwrap();
        let map = Tensor::<1>::from_floats([1.0, 2.0, 3.0, 4.0], &device).reshape([1, 1, 2, 2]);
        let output = head.forward(map);
        assert_eq!(output.map.dims(), [1, 2, 1, 1]);
        let near = |found: Vec<f32>, expected: &[f32]| {
            assert_eq!(found.len(), expected.len());
            for (f, e) in found.iter().zip(expected) {
                assert!((f - e).abs() <= 1e-5 * e.abs().max(1.0), "{found:?}");
            }
        };
        near(
            output.map.into_data().try_to_vec().unwrap(),
            &[2.499963, 0.0],
        );
        let logits = output.logits.into_data().try_to_vec().unwrap();
        near(logits, &[2.499963, 0.1, 1.999963]);
    }

    /// The specification's count for 256 to 256 channels with f = 2, and by hand what a
    /// 100-class layer and the multiplications add: at 8x8 after pooling.
    #[test]
    fn cost_by_hand() {
        let device = default_device().unwrap();
        let head = ProjectorHead::new(256, &[256], Some(8), 2, 100, &mut Init::new(0, &device));
        let cost = head.cost(MapShape::new(256, 16, 16));
        assert_eq!(cost.params, 214_016 + 256 * 100 + 100);
        let weights = 256 * 128 + 9 * 128 * 128 + 128 * 256;
        assert_eq!(cost.macs, weights * 64 + 256 * 100);
    }

    #[test]
    fn several_projectors_stand_side_by_side() {
        let device = default_device().unwrap();
        let head = ProjectorHead::new(3, &[4, 6], None, 2, 5, &mut Init::new(0, &device));
        let output = head.forward(Tensor::ones([2, 3, 4, 4], &device));
        assert_eq!(output.map.dims(), [2, 10, 4, 4]);
        assert_eq!(output.logits.dims(), [2, 5]);
    }

    #[test]
    fn a_single_width_is_written_as_a_number() {
        let config: ProjectorConfig = serde_json::from_str(r#"{"width": 64, "size": 8}"#).unwrap();
        assert_eq!(config.width, [64]);
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"width": 64, "size": 8, "factor": 2})
        );
        let config: ProjectorConfig = serde_json::from_str(r#"{"teacher": ["a", "b"]}"#).unwrap();
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"teacher": ["a", "b"], "factor": 2})
        );
        let maps = [MapShape::new(64, 8, 8), MapShape::new(32, 4, 4)];
        let resolved = config.resolved(&maps);
        assert_eq!((resolved.width, resolved.size), (vec![64, 32], Some(4)));
    }
}
