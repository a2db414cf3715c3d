//! The tests of training in one program: each program would link burn once more.

mod cascades;
mod distillation;
mod initial;
mod model_docs;
mod online;
mod precision;
mod recipes;
mod replicas;
mod support;
mod training;
