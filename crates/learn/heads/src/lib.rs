//! Exit heads, and the multi-exit network made of one backbone and heads at
//! chosen stages, with links from exit to exit in a cascade.

mod cascade;
mod config;
mod gradients;
mod graph;
mod head;
mod heads;
mod net;
mod recompute;
mod saved;

pub use cascade::{
    BoostCascade, Cascade, CascadeConfig, CascadeEntry, IscCascade, Link, LinkPlace, NoCascade,
    ZtwCascade, cascades,
};
pub use config::{ExitPlacement, NetConfig, NetError};
pub use gradients::{GradientFlow, GradientFlowEntry, gradient_flows};
pub use head::{AnyHead, Head, HeadConfig, HeadEntry, HeadError, HeadPlace, classify, registry};
pub use heads::{
    BottleneckHead, BranchHead, ConvHead, ConvWidth, LinearHead, ProjectorHead, SepConvHead,
    SepConvStyle,
};
pub use net::MultiExitNet;
pub use recompute::Boundaries;
pub use saved::{MODEL_FORMAT, ModelCard, ModelError, load_card, load_model, save_model};
