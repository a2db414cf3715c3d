//! A sequence of policies from one that never stops early to one that always does.

use crate::{AnyPolicy, Criterion, PolicyError};

/// Policies with one threshold for all exits, from one that never stops early to one that always stops
/// at exit 0, `steps` in between.
///
/// The thresholds are `1 - (i / steps)^2` of the way from the least sure softmax to the surest, for `i`
/// from 0: dense where the exits are sure, since that is where well-trained networks have most of their
/// samples. They depend on nothing but the number of classes, so the path may be tested on any rows.
///
/// # Errors
/// [`PolicyError::NoExits`].
pub fn threshold_path(
    criterion: Criterion,
    exits: usize,
    classes: usize,
    steps: usize,
) -> Result<Vec<AnyPolicy>, PolicyError> {
    let policy = |threshold: f64| AnyPolicy::with_thresholds(criterion, vec![threshold; exits]);
    let inner = (0..=steps).map(|i| {
        let bold = (i as f64 / steps.max(1) as f64).powi(2);
        policy(match criterion {
            Criterion::Confidence => 1.0 - bold * (1.0 - 1.0 / classes as f64),
            Criterion::Entropy => bold * (classes as f64).ln(),
            Criterion::Margin => 1.0 - bold,
        })
    });
    let ends = [policy(criterion.never())].into_iter().chain(inner);
    ends.chain([policy(criterion.always())]).collect()
}
