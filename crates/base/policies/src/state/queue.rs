//! Which segment a runner computes next.

/// The samples that wait for one segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentQueue {
    /// Number of samples.
    pub samples: usize,
    /// The number of steps that the first of them has waited.
    pub waited: u64,
}

/// The segment to compute next, when `queues[k]` waits for segment `k` and at most `max_batch` samples
/// are computed together; `None` when nothing waits.
///
/// The segment with the most samples (up to `max_batch`) makes the best use of the machine; among
/// equals the deepest one is taken, whose samples are closest to an answer. But once a sample has
/// waited for as many steps as there are segments, the deepest such segment comes first, so that no
/// sample waits forever.
pub fn next_segment(queues: &[SegmentQueue], max_batch: usize) -> Option<usize> {
    let filled = (0..queues.len()).filter(|&k| queues[k].samples > 0);
    let overdue = |&k: &usize| queues[k].waited >= queues.len() as u64;
    (filled.clone().rev().find(overdue))
        .or_else(|| filled.max_by_key(|&k| queues[k].samples.min(max_batch)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues<const N: usize>(waiting: [(usize, u64); N]) -> [SegmentQueue; N] {
        waiting.map(|(samples, waited)| SegmentQueue { samples, waited })
    }

    #[test]
    fn the_fullest_segment_comes_next_then_the_deepest() {
        assert_eq!(next_segment(&queues([(0, 0), (0, 9)]), 8), None);
        assert_eq!(next_segment(&queues([(5, 0), (4, 0), (0, 0)]), 8), Some(0));
        assert_eq!(next_segment(&queues([(5, 0), (4, 0), (0, 0)]), 4), Some(1));
    }

    #[test]
    fn samples_that_waited_long_go_first() {
        assert_eq!(next_segment(&queues([(5, 0), (1, 2), (0, 0)]), 8), Some(0));
        assert_eq!(next_segment(&queues([(5, 0), (1, 3), (0, 0)]), 8), Some(1));
        assert_eq!(next_segment(&queues([(5, 4), (1, 3), (1, 0)]), 8), Some(1));
    }
}
