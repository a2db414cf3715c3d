//! Element passes over plain slices.

use crate::parallel::{Shared, for_each};

/// Values of a task.
const SPAN: usize = 32 << 10;

/// `to += from`.
pub fn add_assign(to: &mut [f32], from: &[f32]) {
    assert_eq!(to.len(), from.len(), "lengths of a sum");
    let len = to.len();
    let to = Shared::new(to);
    for_each(len.div_ceil(SPAN), |i| {
        let (start, count) = (i * SPAN, SPAN.min(len - i * SPAN));
        // SAFETY: spans do not overlap.
        let to = unsafe { to.slice(start, count) };
        for (a, b) in to.iter_mut().zip(&from[start..start + count]) {
            *a += b;
        }
    });
}

/// `to *= factor`.
pub fn scale(to: &mut [f32], factor: f32) {
    let len = to.len();
    let to = Shared::new(to);
    for_each(len.div_ceil(SPAN), |i| {
        let (start, count) = (i * SPAN, SPAN.min(len - i * SPAN));
        // SAFETY: spans do not overlap.
        let to = unsafe { to.slice(start, count) };
        for value in to {
            *value *= factor;
        }
    });
}

/// `out = f(x)`.
pub fn map(x: &[f32], out: &mut [f32], f: impl Fn(f32) -> f32 + Sync + Send) {
    map2(x, x, out, |x, _| f(x));
}

/// `out = f(x, y)`.
pub fn map2(x: &[f32], y: &[f32], out: &mut [f32], f: impl Fn(f32, f32) -> f32 + Sync + Send) {
    assert!(
        x.len() == out.len() && y.len() == out.len(),
        "lengths of an element pass"
    );
    let len = out.len();
    let out = Shared::new(out);
    for_each(len.div_ceil(SPAN), |i| {
        let (start, count) = (i * SPAN, SPAN.min(len - i * SPAN));
        // SAFETY: spans do not overlap.
        let out = unsafe { out.slice(start, count) };
        let inputs = x[start..start + count].iter().zip(&y[start..start + count]);
        for (out, (&x, &y)) in out.iter_mut().zip(inputs) {
            *out = f(x, y);
        }
    });
}

/// Copies columns: row `i` of `to`, of `to_width` values, gets at `to_at` the `width` values at
/// `from_at` of row `i` of `from`.
pub fn copy_columns(
    from: &[f32],
    [from_width, from_at]: [usize; 2],
    to: &mut [f32],
    [to_width, to_at]: [usize; 2],
    width: usize,
) {
    assert!(
        from_width > 0
            && to_width > 0
            && from_at + width <= from_width
            && to_at + width <= to_width,
        "columns of a copy"
    );
    let rows = to.len() / to_width;
    assert!(
        to.len() == rows * to_width && from.len() == rows * from_width,
        "rows of a copy"
    );
    let span = (SPAN / to_width).max(1);
    let to = Shared::new(to);
    for_each(rows.div_ceil(span), |i| {
        let (start, count) = (i * span, span.min(rows - i * span));
        // SAFETY: spans of whole rows do not overlap.
        let to = unsafe { to.slice(start * to_width, count * to_width) };
        let from = &from[start * from_width..(start + count) * from_width];
        for (to, from) in to
            .chunks_exact_mut(to_width)
            .zip(from.chunks_exact(from_width))
        {
            to[to_at..to_at + width].copy_from_slice(&from[from_at..from_at + width]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_every_row_are_copied() {
        let rows = SPAN / 5 * 2 + 3;
        let from: Vec<f32> = (0..rows * 3).map(|i| i as f32).collect();
        let mut to = vec![-1.0; rows * 5];
        copy_columns(&from, [3, 1], &mut to, [5, 2], 2);
        for (i, row) in to.chunks_exact(5).enumerate() {
            let at = (3 * i + 1) as f32;
            assert_eq!(row, [-1.0, -1.0, at, at + 1.0, -1.0]);
        }
    }

    #[test]
    fn every_value_is_added_and_scaled_once() {
        let mut to: Vec<f32> = (0..SPAN * 2 + 7).map(|i| i as f32).collect();
        let from = vec![0.5; to.len()];
        add_assign(&mut to, &from);
        assert!(to.iter().enumerate().all(|(i, &v)| v == i as f32 + 0.5));
        scale(&mut to, 2.0);
        assert!(
            to.iter()
                .enumerate()
                .all(|(i, &v)| v == 2.0 * i as f32 + 1.0)
        );
    }
}
