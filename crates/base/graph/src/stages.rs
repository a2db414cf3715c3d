//! Stages and blocks of a backbone, and its parts.

use std::collections::HashSet;
use std::ops::Range;

use crate::{Builder, Cost, Graph, GraphError, MapShape, Value};

/// A part of a backbone that an exit may follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The name of the module that it ends with, such as `layer2`.
    pub name: String,
    /// What an exit looks at, a map.
    pub output: Value,
    /// The number of nodes up to its end.
    pub(crate) end: usize,
}

impl Builder {
    /// A stage ends here; exits look at `output`.
    pub fn stage(&mut self, name: impl ToString, output: Value) {
        self.graph.stages.push(Stage {
            name: name.to_string(),
            output,
            end: self.graph.nodes.len(),
        });
    }

    /// A block begins here. Training with checkpointing keeps only what is alive between blocks; each
    /// stage begins with a block of its own.
    pub fn block(&mut self) {
        self.graph.blocks.push(self.graph.nodes.len());
    }

    /// Writes nodes of another graph into this one. `known` holds, by the number of a value there, the
    /// value here: those that the nodes read must be in it, those that they make are added. Weights
    /// and nodes are called `PREFIX` and the name that they have there.
    ///
    /// # Errors
    /// When the shapes here do not fit an operation.
    ///
    /// # Panics
    /// When the nodes read a value that is not known.
    pub fn append(
        &mut self,
        graph: &Graph,
        nodes: Range<usize>,
        prefix: &str,
        known: &mut [Option<Value>],
    ) -> Result<(), GraphError> {
        for node in &graph.nodes[nodes] {
            let mut op = node.op.clone();
            for id in op.weights_mut() {
                let mut weight = graph.weight(*id).clone();
                weight.name.insert_str(0, prefix);
                *id = self.add_weight(weight);
            }
            let inputs = node.inputs.iter();
            let inputs = inputs.map(|value| known[value.0].expect("a value that is known"));
            let output = self.apply(op, inputs.collect())?;
            known[node.output.0] = Some(output);
        }
        Ok(())
    }
}

impl Graph {
    /// The stages, in the order of computation.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The nodes of a stage.
    ///
    /// # Panics
    /// When there is no such stage.
    pub fn stage_nodes(&self, stage: usize) -> Range<usize> {
        let start = stage.checked_sub(1).map_or(0, |i| self.stages[i].end);
        start..self.stages[stage].end
    }

    /// The nodes of every block of a stage; one at least, which may be empty.
    ///
    /// # Panics
    /// When there is no such stage.
    pub fn stage_blocks(&self, stage: usize) -> Vec<Range<usize>> {
        let nodes = self.stage_nodes(stage);
        let inner = self.blocks.iter().copied();
        let inner = inner.filter(|at| nodes.start < *at && *at < nodes.end);
        let starts: Vec<usize> = std::iter::once(nodes.start).chain(inner).collect();
        let ends = starts[1..].iter().copied().chain([nodes.end]);
        (starts.iter().copied().zip(ends))
            .map(|(start, end)| start..end)
            .collect()
    }

    /// The values made before node `at`, or given, that nodes or exits from there on read, in the order
    /// in which they were made.
    pub fn alive(&self, at: usize) -> Vec<Value> {
        let made: HashSet<Value> = self.nodes[at..].iter().map(|node| node.output).collect();
        let read = self.nodes[at..].iter().flat_map(|node| &node.inputs);
        // An exit may look at a map that was made before its stage ends.
        let later = self.stages.iter().filter(|stage| stage.end > at);
        let read = read.chain(later.map(|stage| &stage.output));
        let mut alive: Vec<Value> = read
            .filter(|value| !made.contains(value))
            .copied()
            .collect();
        alive.sort();
        alive.dedup();
        alive
    }

    /// What a stage hands to the next: the map that exits look at, then what else is alive.
    ///
    /// # Panics
    /// When there is no such stage.
    pub fn handed_on(&self, stage: usize) -> Vec<Value> {
        let Stage { output, end, .. } = self.stages[stage];
        let others = self.alive(end).into_iter().filter(|value| *value != output);
        std::iter::once(output).chain(others).collect()
    }

    /// The same graph, stages and all, for an input of another size.
    ///
    /// # Errors
    /// When an operation does not fit the new shapes.
    ///
    /// # Panics
    /// When the graph has not as many inputs as there are shapes.
    pub fn resized(&self, inputs: &[&[usize]]) -> Result<Graph, GraphError> {
        assert_eq!(inputs.len(), self.inputs.len(), "a shape for every input");
        let mut b = Builder::new();
        let mut known = vec![None; self.num_values()];
        for (port, shape) in self.inputs.iter().zip(inputs) {
            known[port.value.0] = Some(b.input(&port.name, shape));
        }
        b.append(self, 0..self.nodes.len(), "", &mut known)?;
        b.graph.blocks = self.blocks.clone();
        for stage in &self.stages {
            b.graph.stages.push(Stage {
                output: known[stage.output.0].expect("every value is known"),
                ..stage.clone()
            });
        }
        let outputs = (self.outputs.iter()).map(|port| {
            (
                port.name.as_str(),
                known[port.value.0].expect("every value is known"),
            )
        });
        let outputs: Vec<_> = outputs.collect();
        Ok(b.finish_whole(outputs))
    }

    /// Some stages as a graph of their own, whose input is called `map` unless it is the image. A piece
    /// that ends within a block has the weights of all of that block.
    ///
    /// # Errors
    /// The name of the stage before the piece, when the piece would need more than its map.
    ///
    /// # Panics
    /// When there are no such stages.
    pub fn piece(&self, stages: Range<usize>) -> Result<Graph, String> {
        let Some(last) = stages
            .end
            .checked_sub(1)
            .filter(|last| *last >= stages.start)
        else {
            return Ok(self.empty_piece(stages.start));
        };
        let nodes = self.stage_nodes(stages.start).start..self.stages[last].end;
        let mut b = Builder::new();
        let mut known = vec![None; self.num_values()];
        match stages
            .start
            .checked_sub(1)
            .map(|before| &self.stages[before])
        {
            None => {
                for port in &self.inputs {
                    known[port.value.0] = Some(b.input(&port.name, self.shape(port.value)));
                }
            }
            Some(before) => {
                if self
                    .alive(nodes.start)
                    .iter()
                    .any(|value| *value != before.output)
                {
                    return Err(before.name.clone());
                }
                let input = b.input("map", self.shape(before.output));
                known[before.output.0] = Some(input);
            }
        }
        let written = b.append(self, nodes.clone(), "", &mut known);
        written.expect("the shapes are those of the whole");
        let map = self.stages[last].output;
        let is_cut = self.alive(nodes.end).iter().any(|value| *value != map);
        let block_end = self.blocks.iter().copied().find(|at| *at >= nodes.end);
        let block_end = block_end.filter(|_| is_cut).unwrap_or(if is_cut {
            self.nodes.len()
        } else {
            nodes.end
        });
        for node in &self.nodes[nodes.end..block_end] {
            for id in node.op.weights() {
                b.add_weight(self.weight(id).clone());
            }
        }
        let inner = self.blocks.iter().filter(|at| nodes.contains(at));
        b.graph.blocks = inner.map(|at| at - nodes.start).collect();
        for stage in &self.stages[stages] {
            b.graph.stages.push(Stage {
                name: stage.name.clone(),
                output: known[stage.output.0].expect("a stage's map is made in it"),
                end: stage.end - nodes.start,
            });
        }
        let output = known[self.stages[last].output.0].expect("a stage's map is made in it");
        Ok(b.finish_whole([("map", output)]))
    }

    /// The identity of the map before stage `stage`.
    fn empty_piece(&self, stage: usize) -> Graph {
        let value = match stage.checked_sub(1) {
            Some(before) => self.stages[before].output,
            None => self.inputs[0].value,
        };
        let mut b = Builder::new();
        let input = b.input("map", self.shape(value));
        b.finish_whole([("map", input)])
    }

    /// The cost of every stage on its own, and the shape of its map.
    pub fn stage_costs(&self) -> Vec<(Cost, MapShape)> {
        let mut counted = HashSet::new();
        let cost = |stage: usize| {
            let cost = self.cost_of(self.stage_nodes(stage), &mut counted);
            (cost, self.map_shape(self.stages[stage].output))
        };
        (0..self.stages.len()).map(cost).collect()
    }

    /// The shape of a map; of a vector, that of a map with one position.
    pub fn map_shape(&self, value: Value) -> MapShape {
        let side = |axis: usize| self.shape(value).get(axis).copied().unwrap_or(1);
        MapShape::new(side(0), side(1), side(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Conv;

    /// Two stages of one convolution each, the second of which reads the image too, and an exit that
    /// looks at a map of before.
    fn graph() -> Result<Graph, GraphError> {
        let mut b = Builder::new();
        let image = b.input("image", &[2, 8, 8]);
        let a = b.conv2d("a", image, Conv::new(2, 3))?;
        b.stage("a", a);
        b.block();
        let c = b.conv2d("c", a, Conv::new(2, 3))?;
        let sum = b.add(c, image)?;
        b.stage("c", sum);
        let d = b.conv2d("d", sum, Conv::new(4, 3).stride(2))?;
        b.conv2d("e", d, Conv::new(4, 3))?;
        b.stage("e", d);
        Ok(b.finish_whole([]))
    }

    #[test]
    fn what_is_alive_is_handed_on() -> Result<(), GraphError> {
        let graph = graph()?;
        let image = graph.inputs()[0].value;
        let [a, c, e] = [0, 1, 2].map(|stage| graph.stages()[stage].output);
        assert_eq!(graph.handed_on(0), [a, image]);
        assert_eq!(graph.handed_on(1), [c]);
        assert_eq!(graph.handed_on(2), [e]);
        // The last stage's map is made before its end, and the exit still looks at it.
        let last = graph.stage_nodes(2).end - 1;
        assert_eq!(graph.alive(last), [e]);
        Ok(())
    }

    #[test]
    fn a_piece_has_the_weights_of_its_stages() -> Result<(), GraphError> {
        let graph = graph()?;
        let names = |piece: &Graph| -> Vec<String> {
            piece
                .weights()
                .iter()
                .map(|weight| weight.name.clone())
                .collect()
        };
        assert_eq!(
            names(&graph.piece(0..2).expect("a piece")),
            ["a.weight", "c.weight"]
        );
        assert_eq!(
            names(&graph.piece(2..3).expect("a piece")),
            ["d.weight", "e.weight"]
        );
        assert_eq!(
            graph.piece(1..3).unwrap_err(),
            "a",
            "the image is needed too"
        );
        Ok(())
    }

    #[test]
    fn sizes_follow_the_image() -> Result<(), GraphError> {
        let sized = graph()?.resized(&[&[2, 16, 12]])?;
        let (_, map) = sized.stage_costs()[2];
        assert_eq!(map, MapShape::new(4, 8, 6));
        assert!(graph()?.resized(&[&[3, 16, 12]]).is_err());
        Ok(())
    }
}
