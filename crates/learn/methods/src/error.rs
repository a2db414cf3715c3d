//! What can be wrong with a method's settings.

use thiserror::Error;

/// A method that cannot be set up for a network, or a state that is not its own.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum MethodError {
    /// Features are compared, and their widths differ.
    #[error(
        "method {method:?} compares embeddings of all exits, whose widths are {widths:?}; give \
         all exits heads of one width, or switch the term off with {key} = 0"
    )]
    EmbeddingWidths {
        /// Name of the method.
        method: &'static str,
        /// Width of every exit's embedding, shallowest first.
        widths: Vec<usize>,
        /// The weight setting of the term.
        key: &'static str,
    },
    /// Weights for another number of exits.
    #[error(
        "method {method:?}: ce-weights has {found} values for {exits} exits; give one for each \
         exit, shallowest first, or \"even\" or \"linear\""
    )]
    WeightCount {
        /// Name of the method.
        method: &'static str,
        /// Number of weights given.
        found: usize,
        /// Number of exits.
        exits: usize,
    },
    /// A number outside its range.
    #[error("method {method:?}: {key} = {value} must be {range}")]
    Value {
        /// Name of the method.
        method: &'static str,
        /// Name of the setting.
        key: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        range: &'static str,
    },
    /// Exits teach each other, and there is only one.
    #[error(
        "method {method:?} lets exits teach each other and needs at least 2; this network has \
         {exits}; use method \"plain\" or add exits"
    )]
    TooFewExits {
        /// Name of the method.
        method: &'static str,
        /// Number of exits.
        exits: usize,
    },
    /// The exit's head does not lead where the method needs it.
    #[error("method {method:?}: {problem}; write in the recipe\n\n[model]\nhead = {head}\n")]
    Head {
        /// Name of the method.
        method: &'static str,
        /// What is there, and what is needed.
        problem: String,
        /// The head that fits.
        head: String,
    },
    /// A classifier is shared with exits that add other logits to its own.
    #[error(
        "method {method:?} puts the teacher's classifier behind every exit that it teaches, and \
         model.cascade = {cascade:?} would add the answer of the exit before; leave \
         model.cascade out"
    )]
    SharedInCascade {
        /// Name of the method.
        method: &'static str,
        /// The kind of cascade.
        cascade: &'static str,
    },
    /// A teacher's classifier is used, and the teacher answers with more than that.
    #[error(
        "method {method:?} uses the classifier of teacher {teacher:?} alone, but that network is \
         a cascade whose last exit adds the answer of the exit before; take a teacher without \
         model.cascade"
    )]
    LinkedTeacher {
        /// Name of the method.
        method: &'static str,
        /// The teacher.
        teacher: String,
    },
    /// A teacher's classifier is used, and its deepest exit does not end with one.
    #[error(
        "method {method:?} uses the classifier of teacher {teacher:?}, but the head of its deepest exit \
         does not end with a linear layer; take a teacher with another head"
    )]
    NoClassifier {
        /// Name of the method.
        method: &'static str,
        /// The teacher.
        teacher: String,
    },
    /// A network of the method's own that cannot be built.
    #[error("method {method:?} trains networks like the student: {problem}")]
    Network {
        /// Name of the method.
        method: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// What else can be wrong with a method of another crate.
    #[error("method {method:?}: {problem}")]
    Unfit {
        /// Name of the method.
        method: &'static str,
        /// What is wrong, with the value, and what to do about it.
        problem: String,
    },
    /// The distiller weights several teachers, and there is only one.
    #[error(
        "method {method:?} weighs several teachers against each other, and there is {teachers}; \
         add tables [teachers.NAME], or use \"kd\""
    )]
    TooFewTeachers {
        /// Name of the method.
        method: &'static str,
        /// Number of teachers.
        teachers: usize,
    },
    /// A state entry that the method does not have.
    #[error("the saved state has {key:?}, which this method does not keep; resume with its own")]
    UnknownState {
        /// Name of the entry.
        key: String,
    },
    /// A state entry that is missing.
    #[error("the saved state lacks {key:?}; resume with the method that it was saved by")]
    MissingState {
        /// Name of the entry.
        key: &'static str,
    },
}
