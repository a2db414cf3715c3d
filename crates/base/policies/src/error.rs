//! Errors of rows and thresholds.

use crate::Criterion;

/// Everything that can be wrong with a table or a policy.
///
/// Messages carry the offending value and what to do about it; exits, samples and classes are
/// counted from 0.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// No exits at all.
    #[error("there are no exits; give the logits of at least one exit")]
    NoExits,
    /// No samples at all.
    #[error("there are no samples; statistics need at least one row")]
    NoSamples,
    /// Fewer than two classes: the confidence would be 1 always.
    #[error("{classes} class(es): a confidence needs at least two classes to choose from")]
    TooFewClasses {
        /// The number of classes given.
        classes: usize,
    },
    /// A single exit leaves nothing to decide.
    #[error(
        "the network has one exit, so there is no threshold to choose; \
         add an exit or use the fixed-exit policy"
    )]
    OneExit,
    /// Logits whose length is not rows times classes.
    #[error(
        "exit {exit}: {found} logits, but {samples} labels and {classes} classes need {expected}"
    )]
    LogitCount {
        /// The exit.
        exit: usize,
        /// Logits given.
        found: usize,
        /// Logits needed.
        expected: usize,
        /// Rows, one per label.
        samples: usize,
        /// Classes.
        classes: usize,
    },
    /// A list that should have one entry per exit has another length.
    #[error("{found} {what} for {expected} exit(s); give one for each exit, shallowest first")]
    ExitCount {
        /// What was counted.
        what: &'static str,
        /// Entries given.
        found: usize,
        /// Exits of the network or table.
        expected: usize,
    },
    /// Two tables of the same network disagree on the number of classes.
    #[error("the rows to fit on have {fit} classes, the rows to score have {score}")]
    ClassCount {
        /// Classes of the rows to fit on.
        fit: usize,
        /// Classes of the rows to score.
        score: usize,
    },
    /// A label that names no class.
    #[error(
        "sample {sample}: label {label} is out of range, the classes are 0 to {}",
        classes - 1
    )]
    LabelOutOfRange {
        /// The row.
        sample: usize,
        /// Its label.
        label: usize,
        /// Classes.
        classes: usize,
    },
    /// A logit that is NaN or infinite.
    #[error(
        "sample {sample}, exit {exit}: the logit of class {class} is {value}; \
         the network diverged or its input was broken"
    )]
    NonFiniteLogit {
        /// The row.
        sample: usize,
        /// The exit.
        exit: usize,
        /// The class.
        class: usize,
        /// The logit.
        value: f32,
    },
    /// A threshold that compares with nothing.
    #[error("the threshold of exit {exit} is NaN; use a number, `inf` or `-inf`")]
    NanThreshold {
        /// The exit.
        exit: usize,
    },
    /// A fixed exit that the network does not have.
    #[error("exit {exit} does not exist, the exits are 0 to {}", num_exits - 1)]
    NoSuchExit {
        /// The exit asked for.
        exit: usize,
        /// Exits of the network.
        num_exits: usize,
    },
    /// A patience that would stop at once.
    #[error("the patience is 0; it counts the exits that must agree, at least 1")]
    NoPatience,
    /// Measured times that cannot be.
    #[error(
        "exit {exit} answers after {ms} ms; times are finite, not negative, and do not fall from exit \
         to exit"
    )]
    InvalidTime {
        /// The exit.
        exit: usize,
        /// Its time, milliseconds.
        ms: f64,
    },
    /// A deadline that no exit meets.
    #[error("the limit is {limit_ms} ms, but exit 0 needs {first_ms} ms; allow at least that much")]
    DeadlineTooShort {
        /// The time allowed, milliseconds.
        limit_ms: f64,
        /// What exit 0 needs, milliseconds.
        first_ms: f64,
    },
    /// A learned weight that is NaN or infinite.
    #[error("a weight of the {what} of exit {exit} is {value}; it must be finite")]
    InvalidParameter {
        /// What the weight belongs to.
        what: &'static str,
        /// The exit.
        exit: usize,
        /// The weight.
        value: f64,
    },
    /// Something fitted for other classes.
    #[error("fitted for {found} classes, but there are {expected}")]
    Classes {
        /// Classes it was fitted for.
        found: usize,
        /// Classes there are.
        expected: usize,
    },
    /// A temperature that is not a positive finite number.
    #[error("the temperature of exit {exit} is {value}; it must be positive and finite")]
    InvalidTemperature {
        /// The exit.
        exit: usize,
        /// The temperature.
        value: f64,
    },
    /// Costs that fall with depth cannot be cumulative.
    #[error(
        "exit {exit} costs {macs} MACs, less than the exit before it ({previous}); \
         costs are cumulative, earlier heads included"
    )]
    MacsNotCumulative {
        /// The exit.
        exit: usize,
        /// Its cost.
        macs: u64,
        /// The cost of the exit before.
        previous: u64,
    },
    /// The `q` of a geometric exit distribution is not a positive finite number.
    #[error("the budget parameter q is {q}; it must be positive and finite (MSDNet: 0.05 to 1.95)")]
    InvalidBudget {
        /// The value given.
        q: f64,
    },
    /// A target that is NaN or infinite.
    #[error("the {what} is {value}; it must be a finite number")]
    InvalidTarget {
        /// Which target.
        what: &'static str,
        /// The value given.
        value: f64,
    },
    /// No thresholds are cheap enough.
    #[error(
        "no thresholds spend at most {max_macs} MACs on average: leaving always at exit 0 already \
         costs {cheapest_macs} (top-1 {cheapest_top1:.2} % on the rows fitted on); \
         ask for at least that much or use a smaller network"
    )]
    UnreachableMacs {
        /// The budget asked for, mean MACs a sample.
        max_macs: f64,
        /// The least mean cost there is.
        cheapest_macs: f64,
        /// Top-1 at that cost, percent.
        cheapest_top1: f64,
    },
    /// No thresholds are accurate enough.
    #[error(
        "no thresholds found reach {wanted_top1:.2} % top-1 (the deepest exit's {deepest_top1:.2} \
         % minus {max_drop} points) on the rows fitted on: the best is {best_top1:.2} % at \
         {best_macs} MACs on average; allow a larger drop"
    )]
    UnreachableDrop {
        /// The drop asked for, points.
        max_drop: f64,
        /// The accuracy this asks for, percent.
        wanted_top1: f64,
        /// The deepest exit's accuracy, percent.
        deepest_top1: f64,
        /// The best accuracy found, percent.
        best_top1: f64,
        /// Its mean cost, MACs.
        best_macs: f64,
    },
    /// No policy of a list meets a target.
    #[error(
        "none of the {candidates} policies tried meets the target, {target}, on the rows fitted on: \
         the cheapest spends {cheapest_macs} MACs on average (top-1 {cheapest_top1:.2} %), the most \
         accurate has {best_top1:.2} % top-1; loosen the target"
    )]
    NoneMeets {
        /// How many were tried.
        candidates: usize,
        /// What was asked for.
        target: String,
        /// The least mean cost, MACs.
        cheapest_macs: f64,
        /// Top-1 at that cost, percent.
        cheapest_top1: f64,
        /// The best top-1, percent.
        best_top1: f64,
    },
    /// A risk or a probability out of its range.
    #[error("the {what} is {value}; it must lie strictly between 0 and 1")]
    InvalidRisk {
        /// Which number.
        what: &'static str,
        /// The value given.
        value: f64,
    },
    /// The sequence of a risk control does not start at the safe end.
    #[error(
        "the first of the candidates stops early for some of the rows; start with one that runs every \
         sample to the deepest exit"
    )]
    UnsafeStart,
    /// A name that is no policy or no ensemble.
    #[error("`{name}` is no {what}; use one of {known}")]
    UnknownName {
        /// What was asked for.
        what: &'static str,
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A policy that cannot be fitted to rows alone.
    #[error("the policy `{name}` cannot be fitted on rows: {why}")]
    NothingToFit {
        /// The policy.
        name: &'static str,
        /// What it needs.
        why: &'static str,
    },
    /// A policy that is not made from measured times.
    #[error("the policy `{name}` is fitted on rows, not made from times; give it a target instead")]
    NoTimes {
        /// The policy.
        name: &'static str,
    },
    /// Two policies of one name.
    #[error("another policy is called `{name}`; give the new one a name of its own")]
    NameTaken {
        /// The name.
        name: &'static str,
    },
    /// The rows to score are the rows the thresholds were fitted on.
    #[error(
        "the {samples} rows to score are the very rows the thresholds are fitted on; \
         the score would be too good to be true: carve a validation split from the training set"
    )]
    SameRows {
        /// Rows of both.
        samples: usize,
    },
    /// A name that is no criterion.
    #[error("`{name}` is no criterion; use one of {}", Criterion::names())]
    UnknownCriterion {
        /// The name given.
        name: String,
    },
}
