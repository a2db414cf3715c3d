//! One suite of checks for every device that offramp runs on.
//!
//! A [`Check`] computes named numbers on a [`Place`], a device and a data type: an operation and its
//! gradients, a network, a loss, a method, a distiller, an optimiser's steps, a run of the early-exit runner. Each is
//! written once, and its numbers on any device in `f32` are compared with those of `flex` in `f64`, where no
//! kernel of this project runs. [`training`] compares whole runs, and takes the checkpoint of one device to
//! another.
//!
//! | want | see |
//! |---|---|
//! | all checks | [`checks`] |
//! | to run one | [`Check::reference`], [`Check::verdict`] |
//! | the devices that this build and this machine have | [`devices`] |
//! | runs on two devices beside each other | [`training::follow`], [`training::cross`] |
//! | images per second | [`throughput::measure`] |
//!
//! `tests/devices.rs` runs them under `cargo test`, and the program `gpu-check` where there is no cargo.

mod check;
mod devices;
mod distillers;
mod images;
mod inference;
mod layers;
mod losses;
mod methods;
mod networks;
mod optimizers;
mod place;
pub mod throughput;
pub mod training;

pub use check::{Check, Numbers, Verdict};
pub use devices::{Found, devices};
pub use place::Place;

/// Every check, cheap ones first.
pub fn checks() -> Vec<Check> {
    let groups = [
        images::checks(),
        layers::checks(),
        losses::checks(),
        methods::checks(),
        distillers::checks(),
        optimizers::checks(),
        inference::checks(),
        networks::checks(),
    ];
    groups.into_iter().flatten().collect()
}
