//! A trained network as a list of operations.
//!
//! Layers, backbones and heads write themselves into a [`Builder`] beside their `forward`; what
//! comes out is a [`Graph`]: operations in the order of computation, named weights, a shape for every
//! value. Exporters and executors read nothing else of a network. Rewrites such as
//! [`fold_batch_norms`] are functions from graph to graph, and [`reference::run`] computes any graph
//! slowly and plainly: tests compare it with `forward` for every backbone and head there is.
//!
//! A graph is a network in evaluation: batch norms use their running statistics, nothing is trained.
//! Shapes are those of one sample; the batch is in front of all of them and has no size here. The
//! crate knows nothing of burn.
//!
//! ```
//! use offramp_graph::{Builder, ConvGeometry, WeightNames, fold_batch_norms, reference};
//!
//! let mut b = Builder::new(WeightNames::default());
//! let image = b.input("image", &[1, 2, 2]);
//! let weight = b.weight(1, &[1, 1, 1, 1], vec![3.0]);
//! let ones = b.weight(2, &[1], vec![1.0]);
//! let y = b.conv(image, weight, None, ConvGeometry::default())?;
//! let y = b.batch_norm(y, [ones; 4], 0.0)?;
//! let y = b.relu(y)?;
//! let graph = fold_batch_norms(b.finish([("y", y)]));
//! assert_eq!(graph.nodes().len(), 2, "the batch norm has become part of the convolution");
//! let outputs = reference::run(&graph, 1, &[vec![-1.0, 0.0, 1.0, 2.0]])?;
//! assert_eq!(outputs[0], [0.0, 0.0, 3.0, 6.0]);
//! # Ok::<(), offramp_graph::GraphError>(())
//! ```

mod build;
mod cost;
mod fold;
mod graph;
mod map_shape;
mod op;
pub mod reference;
mod shape;

pub use build::{Builder, WeightNames};
pub use cost::Cost;
pub use fold::fold_batch_norms;
pub use graph::{Graph, GraphError, Node, Port, Value, Weight, WeightId};
pub use map_shape::MapShape;
pub use op::{ConvGeometry, Op, Window};
