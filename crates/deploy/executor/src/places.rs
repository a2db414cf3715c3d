//! Places of the values in the arena.

/// A value that needs memory from the step `first` that writes it to the last that reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// Words of an image.
    pub words: usize,
    /// The step that writes it.
    pub first: usize,
    /// The last step that reads it.
    pub last: usize,
}

/// Places values, the largest first, each at the lowest word that no other value of its time takes;
/// with the size of the whole. Places are multiples of a cell.
pub(crate) fn places(lives: &[Life]) -> (Vec<usize>, usize) {
    const CELL: usize = 16;
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(lives[i].words), lives[i].first));
    let mut places = vec![0; lives.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut size = 0;
    for i in order {
        let life = lives[i];
        let mut taken: Vec<[usize; 2]> = (placed.iter())
            .filter(|&&other| lives[other].first <= life.last && life.first <= lives[other].last)
            .map(|&other| [places[other], places[other] + lives[other].words])
            .collect();
        taken.sort_unstable();
        let mut at = 0;
        for [from, until] in taken {
            if at + life.words <= from {
                break;
            }
            at = at.max(until.next_multiple_of(CELL));
        }
        places[i] = at;
        size = size.max((at + life.words).next_multiple_of(CELL));
        placed.push(i);
    }
    (places, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(words: usize, first: usize, last: usize) -> Life {
        Life { words, first, last }
    }

    #[test]
    fn a_chain_takes_two_places() {
        let lives: Vec<Life> = (0..10).map(|i| life(160, i, i + 1)).collect();
        let (places, size) = places(&lives);
        assert_eq!(size, 320);
        for pair in places.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
    }

    #[test]
    fn values_of_one_time_never_overlap() {
        let lives: Vec<Life> = (0..40)
            .map(|i| life(16 + (i * 37) % 200, i, i + 1 + (i * 7) % 5))
            .collect();
        let (places, size) = places(&lives);
        for (a, i) in lives.iter().zip(&places) {
            assert!(i + a.words <= size);
            for (b, j) in lives.iter().zip(&places) {
                let together = a.first <= b.last && b.first <= a.last && i != j;
                let apart = i + a.words <= *j || j + b.words <= *i;
                assert!(!together || apart);
            }
        }
        let sum: usize = lives.iter().map(|life| life.words).sum();
        assert!(size < sum / 2, "{size} of {sum}");
    }
}
