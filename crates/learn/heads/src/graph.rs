//! The network as graphs, whole and segment by segment.
//!
//! | value | name |
//! |---|---|
//! | the image, normalised | `image` |
//! | logits of exit K | `exitK` |
//! | the map at exit K | `mapK` |
//! | what is carried past exit K | `carriedK_0`, `carriedK_1`, ... |

use offramp_backbones::AnyBackbone;
use offramp_core::{Backbone, ExitHead, MapShape};
use offramp_graph::{Builder, Graph, GraphError, Value};

use crate::MultiExitNet;

const IMAGE: &str = "image";

/// Names and shapes of what a segment reads.
type Inputs = Vec<(String, Vec<usize>)>;

/// The graphs of the network's parts, with their weights.
struct Parts {
    backbone: Graph,
    heads: Vec<Graph>,
    links: Vec<Option<Graph>>,
}

impl MultiExitNet {
    /// The whole network as one graph: from `image` to `exit0`, `exit1`, ...
    ///
    /// # Errors
    /// When the network does not take images of this shape, or a part of it is no graph.
    pub fn graph(&self, image: MapShape) -> Result<Graph, GraphError> {
        let parts = self.parts()?;
        let mut b = Builder::concrete();
        let mut known = vec![None; parts.backbone.num_values()];
        let input = b.input(IMAGE, &shape(image));
        known[parts.backbone.inputs()[0].value.index()] = Some(input);
        let mut outputs: Vec<(String, Value)> = Vec::new();
        for exit in 0..self.num_exits() {
            self.append_segment(&parts, exit, &mut b, &mut known)?;
            let map = self.handed_on(&parts, exit, &known)[0];
            let previous = outputs.last().map(|(_, logits)| *logits);
            let logits = append_exit(&parts, exit, &mut b, map, previous)?;
            outputs.push((format!("exit{exit}"), logits));
        }
        Ok(finish(b, &outputs))
    }

    /// One graph for each segment with its exit. The first reads `image`; every other one reads
    /// outputs of the one before it, under the same names; those are its features and, in a cascade,
    /// its logits. Each has the output `exitK`, and all but the last have `mapK` and what is carried.
    ///
    /// # Errors
    /// When the network does not take images of this shape, or a part of it is no graph.
    pub fn segment_graphs(&self, image: MapShape) -> Result<Vec<Graph>, GraphError> {
        let parts = self.parts()?;
        let mut inputs = vec![(IMAGE.to_owned(), shape(image).to_vec())];
        (0..self.num_exits())
            .map(|exit| {
                let (graph, next) = self.segment_graph(&parts, exit, &inputs)?;
                inputs = next;
                Ok(graph)
            })
            .collect()
    }

    /// Whether the network takes images of a shape; costs are those of such images alone.
    ///
    /// # Errors
    /// What does not fit. A backbone that is written in burn is not asked.
    pub fn check_image(&self, image: MapShape) -> Result<(), GraphError> {
        match self.backbone() {
            AnyBackbone::Graph(backbone) => {
                backbone.structure().resized(&[&shape(image)]).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    fn parts(&self) -> Result<Parts, GraphError> {
        let part = |part: String, graph: Option<Graph>| graph.ok_or(GraphError::NoGraph { part });
        let heads = (0..self.num_exits()).map(|exit| {
            part(
                format!("the head of exit {exit}"),
                ExitHead::graph(self.head(exit)),
            )
        });
        Ok(Parts {
            backbone: part("the backbone".to_owned(), Backbone::graph(self.backbone()))?,
            heads: heads.collect::<Result<_, _>>()?,
            links: (0..self.num_exits())
                .map(|exit| self.link(exit).map(|link| link.trained()))
                .collect(),
        })
    }

    /// The graph of one segment, and what the next one reads.
    fn segment_graph(
        &self,
        parts: &Parts,
        exit: usize,
        inputs: &[(String, Vec<usize>)],
    ) -> Result<(Graph, Inputs), GraphError> {
        let mut b = Builder::concrete();
        let values = inputs.iter().map(|(name, shape)| b.input(name, shape));
        let mut values: Vec<Value> = values.collect();
        // The logits of the exit before come last.
        let previous = self.link(exit).and_then(|_| values.pop());
        let mut known = vec![None; parts.backbone.num_values()];
        let given = match exit.checked_sub(1) {
            None => vec![parts.backbone.inputs()[0].value],
            Some(before) => parts.backbone.handed_on(self.exit_stages()[before]),
        };
        for (there, here) in given.into_iter().zip(values) {
            known[there.index()] = Some(here);
        }
        self.append_segment(parts, exit, &mut b, &mut known)?;
        let handed_on = self.handed_on(parts, exit, &known);
        let logits = append_exit(parts, exit, &mut b, handed_on[0], previous)?;
        let answer = (format!("exit{exit}"), logits);
        let mut onward = Vec::new();
        let goes_on = exit + 1 < self.num_exits();
        if goes_on {
            let name = |i: usize| match i.checked_sub(1) {
                None => format!("map{exit}"),
                Some(i) => format!("carried{exit}_{i}"),
            };
            let named = handed_on.into_iter().enumerate();
            onward.extend(named.map(|(i, value)| (name(i), value)));
        }
        let outputs = [std::slice::from_ref(&answer), &onward].concat();
        if goes_on && self.is_linked(exit + 1) {
            onward.push(answer);
        }
        let next = onward.into_iter().map(|(name, value)| {
            let shape = b.shape(value).to_vec();
            (name, shape)
        });
        let next = next.collect();
        Ok((finish(b, &outputs), next))
    }

    fn append_segment(
        &self,
        parts: &Parts,
        exit: usize,
        b: &mut Builder,
        known: &mut [Option<Value>],
    ) -> Result<(), GraphError> {
        for stage in self.segment_stages(exit) {
            let nodes = parts.backbone.stage_nodes(stage);
            b.append(&parts.backbone, nodes, "backbone.", known)?;
        }
        Ok(())
    }

    /// What the segment of an exit hands on: the map, and what is carried.
    fn handed_on(&self, parts: &Parts, exit: usize, known: &[Option<Value>]) -> Vec<Value> {
        let values = parts
            .backbone
            .handed_on(self.exit_stages()[exit])
            .into_iter();
        let values = values.map(|value| known[value.index()].expect("a value that was made"));
        values.collect()
    }
}

/// An exit's answer: its head's, and what its link adds.
fn append_exit(
    parts: &Parts,
    exit: usize,
    b: &mut Builder,
    map: Value,
    previous: Option<Value>,
) -> Result<Value, GraphError> {
    let logits = append_part(b, &parts.heads[exit], &format!("heads.{exit}."), map)?;
    match (&parts.links[exit], previous) {
        (Some(link), Some(previous)) => {
            let added = append_part(b, link, &format!("links.{exit}."), previous)?;
            b.add(logits, added)
        }
        _ => Ok(logits),
    }
}

/// A graph with one input and one output.
fn append_part(
    b: &mut Builder,
    part: &Graph,
    prefix: &str,
    input: Value,
) -> Result<Value, GraphError> {
    let mut known = vec![None; part.num_values()];
    known[part.inputs()[0].value.index()] = Some(input);
    b.append(part, 0..part.nodes().len(), prefix, &mut known)?;
    Ok(known[part.outputs()[0].value.index()].expect("an output that was made"))
}

fn shape(map: MapShape) -> [usize; 3] {
    [map.channels, map.height, map.width]
}

fn finish(b: Builder, outputs: &[(String, Value)]) -> Graph {
    b.finish(outputs.iter().map(|(name, value)| (name.as_str(), *value)))
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::tensor::{Tensor, TensorData};
    use offramp_core::params::NamedTensors;
    use offramp_core::{Features, default_device, params};
    use offramp_graph::{fold_batch_norms, reference};
    use offramp_nn::Init;
    use serde_json::json;

    use super::*;
    use crate::NetConfig;

    const IMAGE: MapShape = MapShape {
        channels: 3,
        height: 32,
        width: 32,
    };

    /// A quarter of the time.
    const SMALL: MapShape = MapShape {
        channels: 3,
        height: 16,
        width: 16,
    };

    /// A network whose batch norms are not the identity.
    fn network(config: serde_json::Value, image: MapShape) -> MultiExitNet {
        let config: NetConfig = serde_json::from_value(config).unwrap();
        let device = default_device().unwrap();
        let net = config.init(7, image, &mut Init::new(3, &device)).unwrap();
        let mut tensors: NamedTensors = params::collect(&net);
        let mut count = 0_u32;
        for (name, data) in &mut tensors {
            let last = name.rsplit('.').next().unwrap();
            let is_norm = tensors_of_a_norm(name, data);
            let values: Vec<f32> = (data.iter::<f32>())
                .map(|old| {
                    count += 1;
                    // Between -1/2 and 1/2, without a pattern that a layer could cancel.
                    let noise =
                        (count.wrapping_mul(2_654_435_761) >> 16 & 0xff) as f32 / 255.0 - 0.5;
                    match last {
                        "running_mean" | "bias" => 0.4 * noise,
                        "running_var" => 1.0 + noise,
                        _ if is_norm => 1.0 + 0.5 * noise,
                        _ => old,
                    }
                })
                .collect();
            *data = TensorData::new(values, data.shape().to_vec());
        }
        params::apply(net, tensors).unwrap().valid()
    }

    fn tensors_of_a_norm(name: &str, data: &TensorData) -> bool {
        name.ends_with(".weight") && data.shape().len() == 1
    }

    fn images(count: usize, image: MapShape) -> Vec<f32> {
        let shape = [count, image.channels, image.height, image.width];
        let mut init = Init::new(11, &default_device().unwrap());
        values(init.normal(shape, 1.0).val())
    }

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    /// Relative to the largest number.
    #[track_caller]
    fn near(found: &[f32], expected: &[f32], what: &str) {
        assert_eq!(found.len(), expected.len(), "{what}");
        let scale = expected.iter().fold(0.0, |max: f32, e| max.max(e.abs()));
        assert!(scale > 0.0 && scale.is_finite(), "{what}");
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() <= 1e-4 * scale, "{what}: {f} instead of {e}");
        }
    }

    /// The graphs of a network, as they are and folded, compute what `forward` and `segment` do, at
    /// the costs that the network states.
    #[track_caller]
    fn check(config: serde_json::Value, image: MapShape) {
        let what = config.to_string();
        let net = network(config, image);
        let input = images(2, image);
        let shape = [2, image.channels, image.height, image.width];
        let x = Tensor::from_data(
            TensorData::new(input.clone(), shape),
            &default_device().unwrap(),
        );
        let expected: Vec<Vec<f32>> = net
            .forward(x.clone())
            .logits()
            .cloned()
            .map(values)
            .collect();
        let costs = net.exit_costs(image);

        let whole = net.graph(image).unwrap();
        assert_eq!(whole.macs(), costs.last().unwrap().macs, "{what}");
        for graph in [whole.clone(), fold_batch_norms(whole)] {
            let outputs = reference::run(&graph, 2, std::slice::from_ref(&input)).unwrap();
            for (exit, (found, expected)) in outputs.iter().zip(&expected).enumerate() {
                assert_eq!(graph.outputs()[exit].name, format!("exit{exit}"));
                near(found, expected, &format!("{what}, exit {exit}"));
            }
        }

        let mut features = Features::from(x);
        let mut inputs = vec![input];
        let mut before = 0;
        for (exit, graph) in net.segment_graphs(image).unwrap().into_iter().enumerate() {
            assert_eq!(graph.macs(), costs[exit].macs - before, "{what}");
            before = costs[exit].macs;
            let mut outputs = reference::run(&fold_batch_norms(graph), 2, &inputs).unwrap();
            let answer = outputs.remove(0);
            near(&answer, &expected[exit], &format!("{what}, segment {exit}"));
            features = net.segment(exit, features);
            if let Some(map) = outputs.first() {
                near(map, &values(features.map.clone()), &what);
                assert_eq!(outputs.len(), 1 + features.carried.len(), "{what}");
            }
            inputs = outputs;
            if exit + 1 < net.num_exits() && net.is_linked(exit + 1) {
                inputs.push(answer);
            }
        }
    }

    /// A backbone that is added must write itself into a graph; this reads the registry.
    #[test]
    fn every_backbone() {
        for entry in offramp_backbones::registry() {
            let stages = (entry.config)().stages();
            let reduction = stages.iter().map(|stage| stage.reduction).max();
            let image = if reduction <= Some(16) { SMALL } else { IMAGE };
            let config: NetConfig =
                serde_json::from_value(json!({"backbone": entry.name})).unwrap();
            let mut init = Init::new(0, &default_device().unwrap());
            let cost = config
                .init(7, image, &mut init)
                .unwrap()
                .backbone_cost(image);
            // Each of the largest has a smaller one of its family here; the interpreter is slow.
            if cost.macs < 350_000_000 {
                check(json!({"backbone": entry.name}), image);
            }
        }
    }

    #[test]
    fn every_head_on_every_kind_of_backbone() {
        for head in crate::registry() {
            for backbone in ["resnet8", "resnet18"] {
                check(json!({"backbone": backbone, "head": head.name}), SMALL);
            }
        }
    }

    #[test]
    fn options_of_the_residual_networks() {
        for options in [
            json!({"name": "resnet8", "shortcut": "A"}),
            json!({"name": "resnet8", "taps": "inner"}),
            json!({"name": "resnet8", "taps": "inner", "shortcut": "A"}),
        ] {
            check(json!({"backbone": options}), IMAGE);
        }
        let large = json!({"name": "resnet18", "stem": "imagenet"});
        check(
            json!({"backbone": large, "exits": [1, 3]}),
            MapShape::new(3, 48, 64),
        );
    }

    /// What goes from exit to exit is an input of the next segment.
    #[test]
    fn every_cascade() {
        for entry in crate::cascades() {
            check(json!({"backbone": "resnet8", "cascade": entry.name}), SMALL);
        }
        let ztw = json!({"name": "ztw", "norm": true, "last": true});
        check(json!({"backbone": "resnet8", "cascade": ztw}), SMALL);
        let net = network(json!({"backbone": "resnet8", "cascade": "boost"}), SMALL);
        let graphs = net.segment_graphs(SMALL).unwrap();
        let inputs = graphs[1].inputs().iter().map(|port| port.name.as_str());
        assert_eq!(inputs.collect::<Vec<_>>(), ["map0", "exit0"]);
    }

    /// Maps of 8x8 brought to 3x3, windows that overlap; and two teachers.
    #[test]
    fn options_of_the_heads() {
        for head in [
            json!({"name": "projector", "width": [6, 4], "size": 3}),
            json!({"name": "sepconv", "style": "byot"}),
        ] {
            check(json!({"backbone": "resnet8", "head": head}), IMAGE);
        }
    }

    #[test]
    fn names_are_those_of_the_tensors() {
        let net = network(json!({"backbone": "resnet8"}), IMAGE);
        let tensors = params::collect(&net);
        let graph = net.graph(IMAGE).unwrap();
        assert_eq!(graph.weights().len(), tensors.len());
        for weight in graph.weights() {
            assert_eq!(tensors[&weight.name].shape().to_vec(), weight.shape);
        }
        let folded = fold_batch_norms(graph);
        let left = folded
            .nodes()
            .iter()
            .filter(|node| node.op.kind() == "batch_norm");
        assert_eq!(left.count(), 0);
        let name = "backbone.layer2.0.downsample.0.bias";
        assert!(folded.weights().iter().any(|weight| weight.name == name));
    }

    #[test]
    fn an_image_that_does_not_fit_is_an_error() {
        let net = network(json!({"backbone": "resnet8"}), IMAGE);
        let error = net.graph(MapShape::new(1, 32, 32)).unwrap_err().to_string();
        assert!(
            error.contains("backbone.conv1") && error.contains("1 channels"),
            "{error}"
        );
    }
}
