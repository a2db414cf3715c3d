//! Trained networks compiled for the CPU.
//!
//! A [`Plan`] is made of a [`Graph`](offramp_graph::Graph): batch norms folded into convolutions,
//! convolution + bias + residual + activation one step, maps in cells of sixteen channels between
//! steps, weights packed once, memory planned by the lifetimes of the values. An [`Executor`] runs it
//! on a few threads and allocates nothing.
//!
//! A network with exits becomes a [`MultiExitPlan`], one plan for each segment. A [`MultiExitExecutor`] takes
//! batches and asks its caller which images stop; a [`Stream`] takes images at any time and follows their policies;
//! a [`Stepper`] takes one image and returns the logits of every exit in turn. A plan's file says what it is
//! [`About`] as well, so that it and a policy are all that a program needs.
//!
//! ```
//! use offramp_executor::{Executor, Options, Plan};
//! use offramp_graph::{Builder, ConvGeometry};
//!
//! let mut b = Builder::new();
//! let image = b.input("image", &[1, 2, 2]);
//! let weight = b.weight(1, &[1, 1, 1, 1], vec![3.0]);
//! let y = b.conv(image, weight, None, ConvGeometry::default())?;
//! let y = b.relu(y)?;
//! let plan = Plan::compile(&b.finish([("y", y)]), 8, Options::default())?;
//! assert_eq!(plan.program().parts().steps.len(), 3, "in, convolution with ReLU, out");
//!
//! let mut executor = Executor::new(plan);
//! let mut y = [0.0; 4];
//! executor.run(1, &[&[-1.0, 0.0, 1.0, 2.0]], &mut [&mut y])?;
//! assert_eq!(y, [0.0, 0.0, 3.0, 6.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod about;
mod calibrate;
mod compile;
mod engine;
mod error;
mod executor;
mod file;
mod fuse;
mod lower;
mod multi_exit;
mod multi_exit_plan;
mod places;
mod runs;
mod segments;
mod stepper;
mod stream;

pub use about::About;
pub use compile::{Options, Plan};
pub use engine::CompiledEngine;
pub use error::ExecutorError;
pub use executor::Executor;
pub use file::{FORMAT, FileError};
pub use multi_exit::{Answers, MultiExitExecutor};
pub use multi_exit_plan::MultiExitPlan;
pub use stepper::Stepper;
pub use stream::Stream;
