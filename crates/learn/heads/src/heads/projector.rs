//! SimKD's projector into a teacher's space, with the teacher's classifier behind it.

use offramp_core::MapShape;
use offramp_core::registry::Kind;
use offramp_graph::{Builder, Conv, Value, Written};
use offramp_nn::HeadValues;
use serde::{Deserialize, Serialize};

use super::MOST_CHANNELS;
use crate::head::{Head, HeadConfig, HeadError, HeadPlace, classify};

/// Pools a map to the size of the teacher's, projects it to the teacher's width, and classifies
/// what comes out (Chen et al., *Knowledge Distillation with the Reused Teacher Classifier*, CVPR
/// 2022):
///
/// ```text
/// logits = fc( mean over positions of P(pool(map)) )
/// ```
///
/// `P`: 1x1 convolution to `m = t / f` channels, 3x3 convolution, 1x1 convolution to `t` channels, each
/// without bias and with batch norm and ReLU. It ends with a ReLU because the teacher's features do.
///
/// The distillers `simkd` and `atsc` put the teacher's classifier in the place of `fc`, where it
/// learns no more ([`MultiExitNet::with_classifier`](crate::MultiExitNet::with_classifier));
/// without them `fc` is trained like that of any head.
///
/// For several teachers there are as many projectors side by side. The maps are joined along the
/// channels, and the mean of the teachers' classifiers is one linear layer of the joined
/// embedding: `mean_k (W_k e_k + b_k) = [W_1/K ... W_K/K] [e_1 ... e_K] + mean_k b_k`.
///
/// ```toml
/// [model]
/// head = { name = "projector", teacher = "resnet56" }            # what a recipe says
/// # head = { name = "projector", width = 64, size = 8 }          # what training makes of it
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProjectorHead {
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

impl Default for ProjectorHead {
    fn default() -> Self {
        Self {
            teacher: Vec::new(),
            width: Vec::new(),
            size: None,
            factor: 2,
        }
    }
}

impl Kind for ProjectorHead {
    const NAME: &'static str = "projector";
    const DOC: &'static str = "into a teacher's space and through its classifier (SimKD, ATSC)";

    fn problem(&self) -> Option<String> {
        let numbers = !self.width.is_empty() || self.size.is_some();
        let problem = if numbers && !self.teacher.is_empty() {
            "teacher says what width and size are; give it or them"
        } else if self.width.contains(&0) {
            "option width: 0 channels"
        } else if self.width.iter().any(|width| *width > MOST_CHANNELS) {
            return Some(format!(
                "option width: {:?} channels; at most {MOST_CHANNELS} are built",
                self.width
            ));
        } else if self.size == Some(0) {
            "option size: maps of side 0"
        } else if self.factor == 0 {
            "option factor: 0"
        } else {
            return None;
        };
        Some(problem.to_owned())
    }
}

impl Head for ProjectorHead {
    fn write(
        &self,
        b: &mut Builder,
        map: Value,
        place: &HeadPlace,
    ) -> Result<HeadValues, HeadError> {
        let map = match self.size {
            Some(size) => b.shrink(map, [size, size])?,
            None => map,
        };
        let widths = if self.width.is_empty() {
            vec![place.last().channels]
        } else {
            self.width.clone()
        };
        let projectors = widths.into_iter().enumerate().map(|(i, width)| {
            b.scope(format!("projectors.{i}"), |b| {
                projector(b, map, width, self.factor)
            })
        });
        let maps = projectors.collect::<Result<Vec<Value>, _>>()?;
        let joined = b.concat(&maps)?;
        Ok(classify(b, joined, place.classes)?)
    }

    fn teachers(&self) -> &[String] {
        &self.teacher
    }

    fn for_teachers(&self, maps: &[MapShape]) -> Option<HeadConfig> {
        let resolved = Self {
            teacher: Vec::new(),
            width: maps.iter().map(|map| map.channels).collect(),
            size: maps.iter().map(|map| map.height.max(map.width)).min(),
            factor: self.factor,
        };
        (!self.teacher.is_empty()).then(|| HeadConfig::new(resolved))
    }
}

/// See `P` of [`ProjectorHead`].
fn projector(b: &mut Builder, map: Value, width: usize, factor: usize) -> Written {
    let middle = (width / factor).max(1);
    let convs = [
        Conv::new(middle, 1),
        Conv::new(middle, 3),
        Conv::new(width, 1),
    ];
    let mut x = map;
    for (name, conv) in ["conv1", "conv2", "conv3"].into_iter().zip(convs) {
        x = b.scope(name, |b| b.conv_bn_relu(["conv", "bn"], x, conv))?;
    }
    Ok(x)
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

    pub(crate) fn serialize<T: Serialize, S: Serializer>(
        list: &[T],
        s: S,
    ) -> Result<S::Ok, S::Error> {
        match list {
            [one] => one.serialize(s),
            many => many.serialize(s),
        }
    }

    pub(crate) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
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
    use crate::AnyHead;
    use burn::tensor::{Tensor, TensorData};
    use offramp_core::params::{NamedTensors, apply, collect};
    use offramp_core::{ExitHead, StageInfo, default_device};
    use offramp_nn::Init;

    /// A head with projectors to the given widths.
    fn build(
        map: MapShape,
        width: &[usize],
        size: Option<usize>,
        factor: usize,
        classes: usize,
    ) -> AnyHead {
        let head = HeadConfig::new(ProjectorHead {
            teacher: Vec::new(),
            width: width.to_vec(),
            size,
            factor,
        });
        let stage = StageInfo {
            name: "layer1".into(),
            channels: map.channels,
            reduction: 1,
        };
        let place = HeadPlace {
            stages: &[stage],
            stage: 0,
            classes,
            backbone: None,
            backbone_name: "resnet8",
        };
        let mut init = Init::new(0, &default_device().unwrap());
        head.init(map, &place, &mut init).unwrap()
    }

    fn set(tensors: &mut NamedTensors, name: &str, values: &[f32]) {
        let shape = tensors[name].shape().to_vec();
        tensors.insert(name.to_owned(), TensorData::new(values.to_vec(), shape));
    }

    /// By hand from the formula above; the batch norms are fresh and in evaluation, which divides by
    /// `sqrt(1 + 1e-5)` three times.
    #[test]
    fn values_by_hand() {
        let device = default_device().unwrap();
        let head = build(MapShape::new(1, 2, 2), &[2], Some(1), 2, 3);
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

    /// 214,016 parameters of the projector for 256 to 256 channels with f = 2, and what a
    /// 100-class layer and the multiplications add: at 8x8 after pooling.
    #[test]
    fn cost_by_hand() {
        let map = MapShape::new(256, 16, 16);
        let cost = build(map, &[256], Some(8), 2, 100).cost(map);
        assert_eq!(cost.params, 214_016 + 256 * 100 + 100);
        let weights = 256 * 128 + 9 * 128 * 128 + 128 * 256;
        assert_eq!(cost.macs, weights * 64 + 256 * 100);
    }

    #[test]
    fn several_projectors_stand_side_by_side() {
        let device = default_device().unwrap();
        let head = build(MapShape::new(3, 4, 4), &[4, 6], None, 2, 5);
        let output = head.forward(Tensor::ones([2, 3, 4, 4], &device));
        assert_eq!(output.map.dims(), [2, 10, 4, 4]);
        assert_eq!(output.logits.dims(), [2, 5]);
    }

    #[test]
    fn a_single_width_is_written_as_a_number() {
        let config: ProjectorHead = serde_json::from_str(r#"{"width": 64, "size": 8}"#).unwrap();
        assert_eq!(config.width, [64]);
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"width": 64, "size": 8, "factor": 2})
        );
        let config: ProjectorHead = serde_json::from_str(r#"{"teacher": ["a", "b"]}"#).unwrap();
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"teacher": ["a", "b"], "factor": 2})
        );
        let maps = [MapShape::new(64, 8, 8), MapShape::new(32, 4, 4)];
        let resolved = config.for_teachers(&maps).unwrap();
        let resolved = resolved.kind::<ProjectorHead>().unwrap().clone();
        assert_eq!((resolved.width, resolved.size), (vec![64, 32], Some(4)));
    }
}
