//! Attention transfer.

use burn::tensor::Tensor;

use crate::{mse, unit_rows};

/// `mean_nj (Q(s)_nj - Q(t)_nj)^2` with the attention map `Q(f) = a / ||a||`,
/// `a_j = mean_c |f_cj|^p`: where a map is active, whatever its channels mean (Zagoruyko and
/// Komodakis, *Paying More Attention to Attention*, ICLR 2017). The teacher gets no gradient.
///
/// The paper's norm of the difference becomes its mean square, as in its public code.
///
/// # Shapes
/// - `student`: `[N, C_s, H, W]`, `teacher`: `[N, C_t, H, W]`, output: `[1]`
pub fn attention_transfer(student: Tensor<4>, teacher: Tensor<4>, power: f64) -> Tensor<1> {
    let teacher = attention_map(teacher.without_autodiff(), power);
    mse(attention_map(student, power), teacher)
}

/// `Q(f)`, `[N, H W]`.
fn attention_map(f: Tensor<4>, power: f64) -> Tensor<2> {
    let [n, _, h, w] = f.dims();
    let strength = match power {
        2.0 => f.square(),
        _ => f.abs().powf_scalar(power),
    };
    unit_rows(strength.mean_dim(1).reshape([n, h * w]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{assert_close, device};

    /// Two channels on 2x2: `a_s = [1, 2, 0, 1]`, `a_t = [2, .5, .5, 2]` with `p = 2`.
    #[test]
    fn value_by_the_formula() {
        let map = |f: [[[f32; 2]; 2]; 2]| Tensor::<4>::from_floats([f], &device());
        let student = map([[[1.0, 2.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]]);
        let teacher = map([[[2.0, 0.0], [0.0, 2.0]], [[0.0, 1.0], [1.0, 0.0]]]);
        assert_close(attention_transfer(student, teacher, 2.0), 0.149930);
    }
}
