//! Weighted logistic regression.

/// Weighted logistic regression with a small ridge:
/// `argmin_a sum_i s_i (softplus(a . x_i) - y_i a . x_i) + ridge / 2 |a|^2`.
///
/// Newton's method with halved steps; the objective is strictly convex, so the minimum is unique. The
/// ridge bounds it where the rows are separable.
pub(super) fn regress<const D: usize>(
    rows: &[[f64; D]],
    targets: &[bool],
    weight: impl Fn(bool) -> f64,
    ridge: f64,
) -> [f64; D] {
    let mut a = [0.0; D];
    let mut value = objective(&a, rows, targets, &weight, ridge);
    for _ in 0..100 {
        let (gradient, hessian) = derivatives(&a, rows, targets, &weight, ridge);
        let step = solve(hessian, gradient);
        let mut scale = 1.0;
        let mut next = value;
        let mut moved = a;
        while scale > 1e-6 {
            for d in 0..D {
                moved[d] = a[d] - scale * step[d];
            }
            next = objective(&moved, rows, targets, &weight, ridge);
            if next <= value {
                break;
            }
            scale /= 2.0;
        }
        if next > value {
            break;
        }
        let gained = value - next;
        (a, value) = (moved, next);
        if gained <= 1e-12 * value.abs() {
            break;
        }
    }
    a
}

fn dot<const D: usize>(a: &[f64; D], x: &[f64; D]) -> f64 {
    a.iter().zip(x).map(|(a, x)| a * x).sum()
}

fn objective<const D: usize>(
    a: &[f64; D],
    rows: &[[f64; D]],
    targets: &[bool],
    weight: &impl Fn(bool) -> f64,
    ridge: f64,
) -> f64 {
    let loss = rows.iter().zip(targets).map(|(x, &y)| {
        let s = dot(a, x);
        let softplus = s.max(0.0) + (-s.abs()).exp().ln_1p();
        weight(y) * (softplus - if y { s } else { 0.0 })
    });
    loss.sum::<f64>() + ridge / 2.0 * dot(a, a)
}

fn derivatives<const D: usize>(
    a: &[f64; D],
    rows: &[[f64; D]],
    targets: &[bool],
    weight: &impl Fn(bool) -> f64,
    ridge: f64,
) -> ([f64; D], [[f64; D]; D]) {
    let mut gradient = a.map(|a| ridge * a);
    let mut hessian = [[0.0; D]; D];
    for (d, row) in hessian.iter_mut().enumerate() {
        row[d] = ridge;
    }
    for (x, &y) in rows.iter().zip(targets) {
        let p = 1.0 / (1.0 + (-dot(a, x)).exp());
        let s = weight(y);
        let slope = s * (p - f64::from(u8::from(y)));
        let curvature = s * p * (1.0 - p);
        for i in 0..D {
            gradient[i] += slope * x[i];
            for j in 0..D {
                hessian[i][j] += curvature * x[i] * x[j];
            }
        }
    }
    (gradient, hessian)
}

/// `h x = g` for a positive definite `h`, by elimination.
fn solve<const D: usize>(mut h: [[f64; D]; D], mut g: [f64; D]) -> [f64; D] {
    for pivot in 0..D {
        let pivot_row = h[pivot];
        for row in pivot + 1..D {
            let factor = h[row][pivot] / pivot_row[pivot];
            for (below, above) in h[row].iter_mut().zip(pivot_row).skip(pivot) {
                *below -= factor * above;
            }
            g[row] -= factor * g[pivot];
        }
    }
    for row in (0..D).rev() {
        let known: f64 = (row + 1..D).map(|column| h[row][column] * g[column]).sum();
        g[row] = (g[row] - known) / h[row][row];
    }
    g
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two groups of rows, one feature and a bias: without a ridge the fit is the groups' log-odds.
    #[test]
    fn the_closed_form_of_two_groups() {
        let rows: Vec<[f64; 2]> = (0..40).map(|i| [f64::from(i / 20), 1.0]).collect();
        // 5 of 20 with x = 0, 15 of 20 with x = 1.
        let targets: Vec<bool> = (0..40)
            .map(|i| i % 20 < if i < 20 { 5 } else { 15 })
            .collect();
        let a = regress(&rows, &targets, |_| 1.0, 1e-12);
        let odds = (1.0f64 / 3.0).ln();
        assert!((a[1] - odds).abs() < 1e-6, "{a:?}");
        assert!((a[0] + 2.0 * odds).abs() < 1e-6, "{a:?}");
        // Counting each yes three times is the same as three times the odds.
        let a = regress(&rows, &targets, |y| if y { 3.0 } else { 1.0 }, 1e-12);
        assert!((a[1] - odds - 3f64.ln()).abs() < 1e-6, "{a:?}");
    }

    #[test]
    fn separable_rows_have_a_finite_fit() {
        let rows = [[-1.0, 1.0], [1.0, 1.0]];
        let a = regress(&rows, &[false, true], |_| 1.0, 1e-3);
        assert!(a[0] > 3.0 && a[0] < 20.0 && a[1].abs() < 1e-9, "{a:?}");
    }
}
