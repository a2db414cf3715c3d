//! The optimiser Adam.

/// Adam without decay, `beta = (0.9, 0.999)`, `epsilon = 1e-8`.
///
/// Kingma, Ba, Adam: A Method for Stochastic Optimization, ICLR 2015.
pub(super) struct Adam {
    rate: f64,
    steps: i32,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Adam {
    pub(super) fn new(parameters: usize, rate: f64) -> Self {
        Self {
            rate,
            steps: 0,
            first: vec![0.0; parameters],
            second: vec![0.0; parameters],
        }
    }

    pub(super) fn step(&mut self, parameters: &mut [f64], gradient: &[f64]) {
        const BETA: (f64, f64) = (0.9, 0.999);
        self.steps += 1;
        let correction = (1.0 - BETA.0.powi(self.steps), 1.0 - BETA.1.powi(self.steps));
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((parameter, &g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
            *m = BETA.0 * *m + (1.0 - BETA.0) * g;
            *v = BETA.1 * *v + (1.0 - BETA.1) * g * g;
            *parameter -= self.rate * (*m / correction.0) / ((*v / correction.1).sqrt() + 1e-8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// torch 2.15: `p=torch.tensor([1.,-2.],dtype=torch.float64,requires_grad=True)`,
    /// `o=torch.optim.Adam([p],lr=.1)`, three steps on `(p**2).sum()+p[0]*p[1]`.
    #[test]
    fn three_steps_of_torch() {
        let mut p = [1.0, -2.0];
        let mut adam = Adam::new(2, 0.1);
        for _ in 0..3 {
            let gradient = [2.0 * p[0] + p[1], 2.0 * p[1] + p[0]];
            adam.step(&mut p, &gradient);
        }
        let expected = [0.845_330_741_705_142_6, -1.700_748_718_867_768_3];
        assert!(
            (p[0] - expected[0]).abs() < 1e-9 && (p[1] - expected[1]).abs() < 1e-9,
            "{p:?}"
        );
    }
}
