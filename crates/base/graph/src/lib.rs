//! A network as a list of operations, the one description that everything else is made of.
//!
//! A backbone or a head is a function that writes into a [`Builder`]: operations in the order of
//! computation, named weights with their shape, kind and initial values, marks of stages and blocks.
//! What comes out is a [`Graph`]. Its readers, each written once for all networks:
//!
//! | reader | where |
//! |---|---|
//! | training and evaluation in burn | `offramp_nn::GraphModule` |
//! | costs | [`Graph::cost`], [`Graph::stage_costs`] |
//! | parts: stages, segments, what is handed on | [`Graph::piece`], [`Graph::handed_on`] |
//! | a plain interpreter in float64, for tests | [`reference`](mod@reference) |
//! | the compiled executor for processors | `offramp_executor` |
//! | ONNX and PyTorch's names | `offramp_interop` |
//!
//! Rewrites such as [`fold_batch_norms`] are functions from graph to graph. Shapes are those of one
//! sample; the batch is in front of all of them and has no size here. The crate knows nothing of burn.
//!
//! ```
//! use offramp_graph::{Builder, ConvGeometry, fold_batch_norms, reference};
//!
//! let mut b = Builder::new();
//! let image = b.input("image", &[1, 2, 2]);
//! let weight = b.weight("conv.weight", &[1, 1, 1, 1], vec![3.0]);
//! let ones = b.weight("ones", &[1], vec![1.0]);
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
mod layers;
mod map_shape;
mod op;
pub mod reference;
mod shape;
mod stages;

pub use build::{Builder, Written};
pub use cost::Cost;
pub use fold::fold_batch_norms;
pub use graph::{Graph, GraphError, Initial, Node, Port, Value, Weight, WeightId, WeightKind};
pub use layers::{BatchNorm, Conv};
pub use map_shape::MapShape;
pub use op::{ConvGeometry, Op, Window};
pub use stages::Stage;
