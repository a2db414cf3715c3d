//! The tests of methods and distillers in one program: each program would link burn once more.

#[path = "../support/batches.rs"]
mod batches;
#[path = "../support/by_hand.rs"]
mod by_hand;
#[path = "../support/setup.rs"]
mod setup;
#[path = "../support/mod.rs"]
mod support;

mod cascade;
mod distiller_gradients;
mod distiller_properties;
mod distillers;
mod docs;
mod golden;
mod limits;
mod online;
mod peers;
mod registry;
mod several_teachers;
mod shared_classifier;
