//! Moving numbers between layouts as few long runs.

use offramp_cpu::program::{Layout, Run};

/// The runs that bring number `source(i)` of one layout, counted in row-major order, to number `i` of
/// another, for all `i` below `count`; none leaves the number alone.
pub(crate) fn runs(
    from: &Layout,
    to: &Layout,
    count: usize,
    source: impl Fn(usize) -> Option<usize>,
) -> Vec<Run> {
    let mut moves: Vec<[usize; 2]> = (0..count)
        .filter_map(|i| Some([to.place(i), from.place(source(i)?)]))
        .collect();
    // In the order of the output's memory, neighbouring channels of a cell are neighbours.
    moves.sort_unstable();
    let mut found: Vec<Run> = Vec::new();
    for [to, from] in &moves {
        match found.last_mut() {
            Some(run) if extends(run, *from, *to) => run.count += 1,
            _ => found.push(Run {
                from: *from,
                to: *to,
                count: 1,
                from_step: 1,
                to_step: 1,
            }),
        }
    }
    if found.len() * 4 > moves.len() {
        // Lanes do not stay together, but perhaps columns do: the order of the numbers.
        let moves = (0..count).filter_map(|i| Some([to.place(i), from.place(source(i)?)]));
        let by_rows = by_rows(moves);
        if by_rows.len() < found.len() {
            return by_rows;
        }
    }
    found
}

fn extends(run: &Run, from: usize, to: usize) -> bool {
    from == run.from + run.count && to == run.to + run.count
}

/// Runs of equal steps.
fn by_rows(moves: impl Iterator<Item = [usize; 2]>) -> Vec<Run> {
    let mut found: Vec<Run> = Vec::new();
    for [to, from] in moves {
        if let Some(run) = found.last_mut() {
            let ahead = from.checked_sub(run.from).zip(to.checked_sub(run.to));
            match ahead {
                Some((from_step, to_step)) if run.count == 1 => {
                    (run.from_step, run.to_step) = (from_step, to_step);
                    run.count = 2;
                    continue;
                }
                Some(ahead) if ahead == (run.count * run.from_step, run.count * run.to_step) => {
                    run.count += 1;
                    continue;
                }
                _ => {}
            }
        }
        found.push(Run {
            from,
            to,
            count: 1,
            from_step: 1,
            to_step: 1,
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(runs: &[Run], from: &[f32], to: &mut [f32]) {
        for run in runs {
            for i in 0..run.count {
                to[run.to + i * run.to_step] = from[run.from + i * run.from_step];
            }
        }
    }

    #[test]
    fn into_cells_and_back() {
        let shape = [19, 3, 4];
        let [plain, cells] = [Layout::plain(shape), Layout::blocked(shape, 1)];
        let count: usize = shape.iter().product();
        let numbers: Vec<f32> = (0..count).map(|i| i as f32).collect();
        let mut blocked = vec![-1.0; cells.words()];
        let there = runs(&plain, &cells, count, Some);
        apply(&there, &numbers, &mut blocked);
        for (i, &number) in numbers.iter().enumerate() {
            assert_eq!(blocked[cells.place(i)], number);
        }
        let mut back = vec![0.0; count];
        apply(&runs(&cells, &plain, count, Some), &blocked, &mut back);
        assert_eq!(back, numbers);
        assert_eq!(there.len(), 19 * 3, "a run a row");
    }

    /// Whole cells move in one run a row.
    #[test]
    fn aligned_channels_stay_together() {
        let [from, to] = [[32, 2, 2], [16, 2, 2]].map(|shape| Layout::blocked(shape, 0));
        let second_half = runs(&from, &to, 64, |i| Some(64 + i));
        let whole = Run {
            from: 64,
            to: 0,
            count: 64,
            from_step: 1,
            to_step: 1,
        };
        assert_eq!(second_half, [whole]);
    }
}
