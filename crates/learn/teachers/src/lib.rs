//! Teachers of multi-exit networks: exits, ensembles of exits, and other networks.
//!
//! | teacher | number | targets |
//! |---|---|---|
//! | [`LastExit`] | 1 | the deepest exit |
//! | [`MeanEnsemble`] | 1 | the mean of all exits (EED) |
//! | [`WeightedEnsemble`] | 1 | fixed weights that grow with depth (BEED) |
//! | [`LearnedEnsemble`] | one per exit | trained weights, per teacher or per sample (MATE-R) |
//! | [`GatedEnsemble`] | 1 | weights of a trained gate, per sample (ONE) |
//! | [`PeerAttention`] | one per peer | attention between the peers, per sample (OKDDip) |
//!
//! [`ExternalTeacher`] is another trained network, from its run folder.
//!
//! A teacher computes targets for logits or for embeddings. No gradient flows from the targets of a
//! [`Teacher`] into the exits that they are computed from; whether one flows into a teacher's own
//! parameters is the method's decision. The last two in the table give a [`Mixture`] instead, where the
//! method decides about the exits too.

mod external;
mod gate;
mod last_exit;
mod learned;
mod mean;
mod peers;
mod stack;
mod teacher;
mod weighted;

pub use external::{ExternalTeacher, StudentImages, TeacherError};
pub use gate::GatedEnsemble;
pub use last_exit::LastExit;
pub use learned::{EnsembleStart, LearnedEnsemble, Mixture};
pub use mean::MeanEnsemble;
pub use peers::PeerAttention;
pub use stack::stack;
pub use teacher::{Level, Teacher};
pub use weighted::WeightedEnsemble;
