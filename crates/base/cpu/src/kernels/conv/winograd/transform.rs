//! The matrices of `F(2x2, 3x3)`, applied to vectors of channels.
//!
//! ```text
//!       [1  0 -1  0]        [ 1   0   0 ]         [1  1  1  0]
//! B^T = [0  1  1  0]    G = [1/2 1/2 1/2]   A^T = [0  1 -1 -1]
//!       [0 -1  1  0]        [1/2 -1/2 1/2]
//!       [0  1  0 -1]        [ 0   0   1 ]
//! ```
//!
//! Loops, not `map` or `from_fn`: closures that go through the library are compiled without the
//! instruction set of the kernel around them.

use super::ENTRIES;
use crate::simd::Simd;

/// `M x M^T` of a matrix `x` of `N x N`, where `line` multiplies a column by the `R x N` matrix `M`.
#[inline(always)]
fn both_sides<S: Simd, const N: usize, const R: usize>(
    s: S,
    x: impl Fn(usize, usize) -> S::V,
    line: impl Fn(S, [S::V; N]) -> [S::V; R],
) -> [[S::V; R]; R] {
    let zero = s.splat(0.0);
    let mut columns = [[zero; R]; N];
    for (j, column) in columns.iter_mut().enumerate() {
        let mut from = [zero; N];
        for (i, value) in from.iter_mut().enumerate() {
            *value = x(i, j);
        }
        *column = line(s, from);
    }
    let mut rows = [[zero; R]; R];
    for (i, row) in rows.iter_mut().enumerate() {
        let mut from = [zero; N];
        for (value, column) in from.iter_mut().zip(&columns) {
            *value = column[i];
        }
        *row = line(s, from);
    }
    rows
}

#[inline(always)]
fn b<S: Simd>(s: S, d: [S::V; 4]) -> [S::V; 4] {
    [
        s.sub(d[0], d[2]),
        s.add(d[1], d[2]),
        s.sub(d[2], d[1]),
        s.sub(d[1], d[3]),
    ]
}

#[inline(always)]
fn a_transposed<S: Simd>(s: S, m: [S::V; 4]) -> [S::V; 2] {
    [
        s.add(s.add(m[0], m[1]), m[2]),
        s.sub(s.sub(m[1], m[2]), m[3]),
    ]
}

#[inline(always)]
fn g<S: Simd>(s: S, g: [S::V; 3]) -> [S::V; 4] {
    let half = s.splat(0.5);
    let outer = s.add(g[0], g[2]);
    [
        g[0],
        s.mul(s.add(outer, g[1]), half),
        s.mul(s.sub(outer, g[1]), half),
        g[2],
    ]
}

#[inline(always)]
fn a<S: Simd>(s: S, d: [S::V; 2]) -> [S::V; 4] {
    [
        d[0],
        s.add(d[0], d[1]),
        s.sub(d[0], d[1]),
        s.sub(s.splat(0.0), d[1]),
    ]
}

#[inline(always)]
fn g_transposed<S: Simd>(s: S, m: [S::V; 4]) -> [S::V; 3] {
    let half = s.splat(0.5);
    let outer = s.mul(s.add(m[1], m[2]), half);
    [
        s.add(m[0], outer),
        s.mul(s.sub(m[1], m[2]), half),
        s.add(outer, m[3]),
    ]
}

/// `B^T d B` of a 4x4 tile, row by row.
#[inline(always)]
pub(crate) fn input<S: Simd>(s: S, d: [S::V; ENTRIES]) -> [[S::V; 4]; 4] {
    both_sides(
        s,
        #[inline(always)]
        |i, j| d[4 * i + j],
        b,
    )
}

/// `A^T m A` of a 4x4 tile of sums: 2x2 outputs.
#[inline(always)]
pub(crate) fn output<S: Simd>(s: S, m: [S::V; ENTRIES]) -> [[S::V; 2]; 2] {
    both_sides(
        s,
        #[inline(always)]
        |i, j| m[4 * i + j],
        a_transposed,
    )
}

/// `G g G^T` of a 3x3 kernel.
#[inline(always)]
pub(super) fn weight<S: Simd>(s: S, kernel: [S::V; 9]) -> [[S::V; 4]; 4] {
    both_sides(
        s,
        #[inline(always)]
        |i, j| kernel[3 * i + j],
        g,
    )
}

/// `A dy A^T` of the gradients of 2x2 outputs.
#[inline(always)]
pub(super) fn output_gradient<S: Simd>(s: S, dy: [S::V; 4]) -> [[S::V; 4]; 4] {
    both_sides(
        s,
        #[inline(always)]
        |i, j| dy[2 * i + j],
        a,
    )
}

/// `G^T m G` of a 4x4 tile of sums: the gradient of a 3x3 kernel.
#[inline(always)]
pub(super) fn weight_gradient<S: Simd>(s: S, m: [S::V; ENTRIES]) -> [[S::V; 3]; 3] {
    both_sides(
        s,
        #[inline(always)]
        |i, j| m[4 * i + j],
        g_transposed,
    )
}
