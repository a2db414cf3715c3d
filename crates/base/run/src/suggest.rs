//! "Did you mean": the nearest known name.

/// The candidate most like `name`, if one is like it at all.
///
/// Similarity is Damerau-Levenshtein, normalised to the longer name; at least
/// 0.5 is asked for, so that an unrelated name gets no advice.
///
/// ```
/// assert_eq!(offramp_run::nearest("restnet20", ["resnet20", "vgg8"]), Some("resnet20"));
/// assert_eq!(offramp_run::nearest("zzz", ["resnet20", "vgg8"]), None);
/// ```
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| {
            let likeness = strsim::normalized_damerau_levenshtein(
                &name.to_lowercase(),
                &candidate.to_lowercase(),
            );
            (likeness, candidate)
        })
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
