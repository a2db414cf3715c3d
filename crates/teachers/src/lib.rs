//! Who teaches whom in a multi-exit network.
//!
//! | teacher | number | what it is made of |
//! |---|---|---|
//! | [`LastExit`] | 1 | the deepest exit |
//! | [`MeanEnsemble`] | 1 | the mean of all exits (EED) |
//! | [`WeightedEnsemble`] | 1 | fixed weights that grow with depth (BEED) |
//! | [`MateEnsemble`] | one an exit | trained weights, per teacher or per sample (MATE-R) |
//!
//! [`ExternalTeacher`] is another trained network, from its run folder.
//!
//! A teacher gives targets for logits or for embeddings. No gradient flows from a
//! target into the exits it is made of; whether one flows into a teacher's own
//! parameters is the method's decision.

mod external;
mod last_exit;
mod mate;
mod mean;
mod stack;
mod teacher;
mod weighted;

pub use external::{ExternalTeacher, StudentImages, TeacherError};
pub use last_exit::LastExit;
pub use mate::{MateEnsemble, MateStart, Mixture};
pub use mean::MeanEnsemble;
pub use stack::stack;
pub use teacher::{Level, Teacher};
pub use weighted::WeightedEnsemble;
