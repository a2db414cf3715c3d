//! Seeded, stratified choice of samples.

use crate::rng::{Purpose, Stream};

/// Orders all positions of `labels` so that every prefix holds each class in proportion.
///
/// Within a class the samples are shuffled; the sample at rank `r` of a class with `n` members gets
/// the key `(r + 1/2) / n`, and the positions are sorted by key, ties in an order drawn at random.
/// Prefixes are nested: the first 100 are among the first 1000. Unlabelled samples (-1) count as a
/// class of their own.
pub(crate) fn stratified_order(labels: &[i32], seed: u64) -> Vec<usize> {
    let mut stream = Stream::new(Purpose::Choose, seed, 0, 0);
    let mut shuffled: Vec<usize> = (0..labels.len()).collect();
    stream.shuffle(&mut shuffled);

    let classes = labels.iter().copied().max().map_or(0, |m| m + 2).max(1) as usize;
    let slot = |position: usize| (labels[position].max(-1) + 1) as usize;
    let mut sizes = vec![0u64; classes];
    for &position in &shuffled {
        sizes[slot(position)] += 1;
    }
    let mut ranks = vec![0u64; classes];
    let mut keyed: Vec<(u64, u64, usize)> = Vec::with_capacity(labels.len());
    for &position in &shuffled {
        let class = slot(position);
        keyed.push((2 * ranks[class] + 1, 2 * sizes[class], position));
        ranks[class] += 1;
    }
    // The sort is stable, so ties keep the shuffled order; fractions are compared by cross
    // multiplication to stay exact.
    keyed.sort_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)));
    keyed.into_iter().map(|(_, _, position)| position).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_prefix_is_in_proportion(
            labels in prop::collection::vec(-1i32..6, 1..200),
            seed in any::<u64>(),
            part in 0.0f64..1.0,
        ) {
            let order = stratified_order(&labels, seed);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert!(sorted.into_iter().eq(0..labels.len()));

            let taken = (part * labels.len() as f64) as usize;
            for class in -1..6 {
                let all = labels.iter().filter(|&&l| l == class).count() as f64;
                let got = order[..taken].iter().filter(|&&p| labels[p] == class).count() as f64;
                let share = all * taken as f64 / labels.len() as f64;
                prop_assert!((got - share).abs() < 4.0, "class {class}: {got} of {share}");
            }
        }
    }

    #[test]
    fn equal_classes_give_equal_shares() {
        let labels: Vec<i32> = (0..1000).map(|i| i % 10).collect();
        for class in 0..10 {
            let order = stratified_order(&labels, 3);
            let got = order[..100].iter().filter(|&&p| labels[p] == class).count();
            assert_eq!(got, 10);
        }
        assert_ne!(stratified_order(&labels, 3), stratified_order(&labels, 4));
    }
}
