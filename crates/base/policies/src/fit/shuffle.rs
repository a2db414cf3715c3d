//! A fixed random order of rows.

/// A fixed random order of `0..n`, the same for the same `n`.
///
/// Rows come in the order of their data set, often class by class. What assumes an order that has
/// nothing to do with the rows takes this one: Fisher and Yates's shuffle with SplitMix64 (Steele, Lea,
/// Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014) from a fixed seed.
pub(crate) fn shuffled(n: usize) -> Vec<usize> {
    let mut state = 0x0ff_4a3_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, (next() % (i as u64 + 1)) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_permutation_and_stays() {
        let order = shuffled(1000);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..1000));
        assert_eq!(order, shuffled(1000));
        let fixed = order.iter().enumerate().filter(|(i, at)| i == *at).count();
        assert!(fixed < 10, "{fixed} of 1000 stay in place");
        assert!(shuffled(0).is_empty());
    }
}
