//! Element passes over plain slices.

use super::parallel::{Shared, for_each};

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

#[cfg(test)]
mod tests {
    use super::*;

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
