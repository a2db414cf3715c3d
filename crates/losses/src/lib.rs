//! Losses for multi-exit networks: pure functions on tensors, one file a loss.
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
//!
//! All return a tensor of one element, in nats where logarithms are taken. The
//! student is the first argument, the target the second. A target is a constant:
//! no gradient flows into it ([`Distillation::target_gradient`] is the exception).

mod byot_hint;
mod cross_entropy;
mod cross_entropy_soft;
mod distillation;
mod kl_divergence;
mod masked_mse;
mod mse;
mod targets;

pub use byot_hint::byot_hint;
pub use cross_entropy::cross_entropy;
pub use cross_entropy_soft::cross_entropy_soft;
pub use distillation::{Distillation, SoftForm};
pub use kl_divergence::kl_divergence;
pub use masked_mse::masked_mse;
pub use mse::mse;
pub use targets::Targets;

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
