//! Checks of settings that several methods share.

use crate::{CeWeights, MethodError, NetworkInfo};

/// Checks of the settings of one method, which the errors name.
#[derive(Clone, Copy)]
pub(crate) struct Check {
    pub method: &'static str,
}

impl Check {
    /// A loss weight: finite and at least 0.
    pub(crate) fn weight(self, key: &'static str, value: f64) -> Result<(), MethodError> {
        self.value(key, value, "finite and at least 0", value >= 0.0)
    }

    /// A temperature or a factor: finite and above 0.
    pub(crate) fn positive(self, key: &'static str, value: f64) -> Result<(), MethodError> {
        self.value(key, value, "finite and above 0", value > 0.0)
    }

    /// A share between 0 and 1.
    pub(crate) fn share(self, key: &'static str, value: f64) -> Result<(), MethodError> {
        let within = (0.0..=1.0).contains(&value);
        self.value(key, value, "between 0 and 1", within)
    }

    /// Any other range, which the error states.
    pub(crate) fn value(
        self,
        key: &'static str,
        value: f64,
        range: &'static str,
        within: bool,
    ) -> Result<(), MethodError> {
        if within && value.is_finite() {
            return Ok(());
        }
        Err(MethodError::Value {
            method: self.method,
            key,
            value,
            range,
        })
    }

    /// The weights of the cross-entropies, one per exit.
    pub(crate) fn ce_weights(
        self,
        given: &CeWeights,
        net: &NetworkInfo,
    ) -> Result<Vec<f64>, MethodError> {
        let weights = given.of(net.exits);
        if weights.len() != net.exits {
            return Err(MethodError::WeightCount {
                method: self.method,
                found: weights.len(),
                exits: net.exits,
            });
        }
        for weight in &weights {
            self.weight("ce-weights", *weight)?;
        }
        Ok(weights)
    }

    /// The network must have at least two exits, so that they can teach each other.
    pub(crate) fn several_exits(self, net: &NetworkInfo) -> Result<(), MethodError> {
        if net.exits >= 2 {
            return Ok(());
        }
        Err(MethodError::TooFewExits {
            method: self.method,
            exits: net.exits,
        })
    }

    /// Embeddings must have one width when a term of weight `weight` above 0 compares them.
    pub(crate) fn equal_widths(
        self,
        key: &'static str,
        weight: f64,
        net: &NetworkInfo,
    ) -> Result<(), MethodError> {
        let widths = &net.embedding_dims;
        if weight == 0.0 || widths.windows(2).all(|pair| pair[0] == pair[1]) {
            return Ok(());
        }
        Err(MethodError::EmbeddingWidths {
            method: self.method,
            widths: widths.clone(),
            key,
        })
    }
}
