//! Named, weighted summands of a loss.

use burn::tensor::Tensor;

/// One summand of the loss.
#[derive(Clone, Debug)]
pub struct LossTerm {
    /// What it is and which exit or teacher it belongs to: `ce/0`, `kd/2`, `teacher/1`.
    pub name: String,
    /// Its value without the weight, `[1]`.
    pub value: Tensor<1>,
    /// Its weight at this step.
    pub weight: f64,
}

/// The summands of the loss of one batch.
#[derive(Clone, Debug, Default)]
pub struct LossTerms(Vec<LossTerm>);

impl LossTerms {
    /// No terms.
    pub fn new() -> Self {
        Self::default()
    }

    /// One term without a name and of weight 1.
    pub fn single(value: Tensor<1>) -> Self {
        let mut terms = Self::new();
        terms.push("", value, 1.0);
        terms
    }

    /// Adds a term.
    pub fn push(&mut self, name: impl Into<String>, value: Tensor<1>, weight: f64) {
        self.0.push(LossTerm {
            name: name.into(),
            value,
            weight,
        });
    }

    /// Adds the terms `KIND/0`, `KIND/1`, ... from a tensor of their values, with the weight of
    /// each.
    pub fn push_each(&mut self, kind: &str, values: Tensor<1>, weight: impl Fn(usize) -> f64) {
        let [count] = values.dims();
        for index in 0..count {
            let value = values.clone().narrow(0, index, 1);
            self.push(format!("{kind}/{index}"), value, weight(index));
        }
    }

    /// `sum weight * value`, `[1]`. Terms of weight 0 take no part, not even in the graph.
    ///
    /// # Panics
    /// When there are no terms at all.
    pub fn total(&self) -> Tensor<1> {
        let weighted = |term: &LossTerm| term.value.clone() * term.weight;
        let total = self
            .0
            .iter()
            .filter(|term| term.weight != 0.0)
            .map(weighted)
            .reduce(|sum, term| sum + term);
        // A ramp may start at 0 where nothing else is switched on.
        total.unwrap_or_else(|| weighted(self.0.first().expect("a method has terms")))
    }

    /// Whether there are no terms.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The terms in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, LossTerm> {
        self.0.iter()
    }

    /// The term of a name.
    pub fn get(&self, name: &str) -> Option<&LossTerm> {
        self.0.iter().find(|term| term.name == name)
    }
}

impl IntoIterator for LossTerms {
    type Item = LossTerm;
    type IntoIter = std::vec::IntoIter<LossTerm>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a LossTerms {
    type Item = &'a LossTerm;
    type IntoIter = std::slice::Iter<'a, LossTerm>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    #[test]
    fn the_total_is_the_weighted_sum_without_the_terms_of_weight_zero() {
        let device = default_device().unwrap();
        let mut terms = LossTerms::new();
        terms.push_each("a", Tensor::from_floats([1.0, 2.0], &device), |i| {
            i as f64 + 1.0
        });
        terms.push("nan", Tensor::from_floats([f32::NAN], &device), 0.0);
        assert_eq!(terms.total().into_scalar::<f32>(), 5.0);
        assert_eq!(terms.get("a/1").unwrap().weight, 2.0);
        assert!(terms.get("a/2").is_none());
    }

    #[test]
    fn with_all_weights_zero_the_total_is_zero() {
        let mut terms = LossTerms::new();
        terms.push(
            "kd/0",
            Tensor::from_floats([3.0], &default_device().unwrap()),
            0.0,
        );
        assert_eq!(terms.total().into_scalar::<f32>(), 0.0);
    }
}
