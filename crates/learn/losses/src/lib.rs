//! Losses for multi-exit networks: pure functions on tensors, one file per loss.
//!
//! | function | what it measures | used by |
//! |---|---|---|
//! | [`cross_entropy`] | logits against labels | every method |
//! | [`kl_divergence`] | softened logits against a target's | last-exit, EED, BEED, MATE-R |
//! | [`cross_entropy_soft`] | the same up to a constant of the target | BYOT, Phuong and Lampert |
//! | [`Distillation`] | either of the two, every student against every target | the methods |
//! | [`mse`] | values against values | EED, BEED, MATE-R |
//! | [`masked_mse`] | the same where one side is active | EED |
//! | [`byot_hint`] | the same, summed | BYOT |
//! | [`decoupled`] | target class and other classes apart | DKD |
//! | [`attention_transfer`] | where maps are active | AT |
//! | [`similarity_preserving`] | which images of a batch are alike | SP |
//! | [`probabilistic_transfer`] | which images are neighbours | PKT |
//! | [`relational_distance`], [`relational_angle`] | distances and angles within a batch | RKD |
//! | [`variational_information`] | a map under a normal distribution around another | VID |
//! | [`contrastive`] | the positive among negatives | CRD |
//!
//! All return a tensor of one element, in nats where logarithms are taken. The
//! student is the first argument, the target the second. A target is a constant:
//! no gradient flows into it ([`Distillation::target_gradient`] is the exception).

mod attention_transfer;
mod byot_hint;
mod contrastive;
mod cross_entropy;
mod cross_entropy_soft;
mod decoupled;
mod distillation;
mod kl_divergence;
mod masked_mse;
mod mse;
mod relational;
mod similarity;
mod targets;
mod unit_rows;
mod variational;

pub use attention_transfer::attention_transfer;
pub use byot_hint::byot_hint;
pub use contrastive::contrastive;
pub use cross_entropy::{SampleLosses, cross_entropy, cross_entropy_each};
pub use cross_entropy_soft::cross_entropy_soft;
pub use decoupled::{Decoupled, decoupled};
pub use distillation::{Distillation, SoftForm};
pub use kl_divergence::kl_divergence;
pub use masked_mse::masked_mse;
pub use mse::mse;
pub use relational::{relational_angle, relational_distance};
pub use similarity::{probabilistic_transfer, similarity_preserving};
pub use targets::Targets;
pub use unit_rows::unit_rows;
pub use variational::variational_information;

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
