//! Exit heads, and the multi-exit network made of one backbone and heads at
//! chosen stages, with links from exit to exit in a cascade.

mod cascade;
mod config;
mod gradients;
mod head;
mod heads;
mod net;
mod recompute;
mod registry;
mod saved;
mod trace;

pub use cascade::{
    AnyLink, Boost, BoostConfig, CascadeConfig, CascadeEntry, Isc, IscConfig, Ztw, ZtwConfig,
    cascades,
};
pub use config::{ExitPlacement, NetConfig, NetError};
pub use gradients::{GradientFlow, GradientFlowEntry, gradient_flows};
pub use head::AnyHead;
pub use heads::{
    BottleneckHead, BranchHead, ConvHead, LinearHead, ProjectorConfig, ProjectorHead, SepConvHead,
    SepConvStyle,
};
pub use net::MultiExitNet;
pub use recompute::Boundaries;
pub use registry::{ConvWidth, HeadConfig, HeadEntry, registry};
pub use saved::{MODEL_FORMAT, ModelCard, ModelError, load_card, load_model, save_model};
