//! Which parameters get no weight decay.

use serde::{Deserialize, Serialize};

/// A group of parameters without weight decay; an entry of `no-decay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exclude {
    /// Scale and shift of normalisations.
    Norm,
    /// Biases, those of normalisations too.
    Bias,
    /// Parameters of method and distillers, such as the weights of MATE's teachers or projectors of
    /// features.
    Method,
}

impl Exclude {
    /// Whether the parameter `name` of `part` belongs to the group; `container` is the type that
    /// holds it, as burn calls it (`Struct:BatchNorm2d`).
    pub(super) fn covers(self, part: &str, name: &str, container: &str) -> bool {
        match self {
            Self::Norm => container.contains("Norm"),
            Self::Bias => name.rsplit('.').next() == Some("bias"),
            Self::Method => part == crate::METHOD || part == crate::DISTILL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_told_by_type_name_and_part() {
        let bn = ("net", "layer1.0.bn1.weight", "Struct:BatchNorm2d");
        let bias = ("net", "exits.0.fc.bias", "Struct:Linear");
        let teacher = (crate::METHOD, "teacher.weights", "Struct:LearnedEnsemble");
        let covers =
            |e: Exclude| [bn, bias, teacher].map(|(part, name, c)| e.covers(part, name, c));
        assert_eq!(covers(Exclude::Norm), [true, false, false]);
        assert_eq!(covers(Exclude::Bias), [false, true, false]);
        assert_eq!(covers(Exclude::Method), [false, false, true]);
    }
}
