//! Network bodies cut into stages.
//!
//! A backbone is named (`resnet20`) and may have options (`shortcut = "conv"`); [`BackboneConfig`] is
//! what a recipe says, [`AnyBackbone`] what it builds.
//!
//! A family is one file and one line of the list below: a function that writes a graph
//! ([`BackboneFamily::write`]). Training, costs, cutting into stages and exporting read that graph.
//! Families of other crates are added by [`register`].

mod any;
mod config;
mod densenet;
mod error;
mod family;
mod mobilenet_v2;
mod mobilenet_v3;
mod msdnet;
mod registry;
pub mod resnet;
mod shufflenet_v1;
mod shufflenet_v2;
mod stem;
mod vgg;
mod wide_resnet;

pub use any::AnyBackbone;
pub use config::BackboneConfig;
pub use error::BackboneError;
pub use family::{BackboneFamily, InBurn, NoOptions};
pub use registry::{BackboneEntry, register, registry};
pub use stem::{Stem, StemOptions};

/// The tables of all families.
const FAMILIES: &[&[BackboneEntry]] = &[
    resnet::ENTRIES,
    wide_resnet::ENTRIES,
    vgg::ENTRIES,
    mobilenet_v2::ENTRIES,
    mobilenet_v3::ENTRIES,
    shufflenet_v1::ENTRIES,
    shufflenet_v2::ENTRIES,
    densenet::ENTRIES,
    msdnet::ENTRIES,
];
