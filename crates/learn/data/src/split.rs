//! Training, validation and test splits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::info::DatasetInfo;
use crate::subset::Subset;

/// A split of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// The images the weights are fitted to.
    Train,
    /// The images thresholds, temperatures, checkpoints and early stopping are chosen on.
    Val,
    /// The images of the final evaluation: nothing is ever chosen on them.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        })
    }
}

impl FromStr for Split {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        match text {
            "train" => Ok(Self::Train),
            "val" => Ok(Self::Val),
            "test" => Ok(Self::Test),
            other => Err(DataError::Config {
                key: "split",
                value: format!("`{other}`"),
                rule: "it must be train, val or test".into(),
            }),
        }
    }
}

/// An opened data set.
#[derive(Debug, Clone)]
pub struct Splits {
    /// Its description.
    pub info: DatasetInfo,
    /// The images the weights are fitted to.
    pub train: Subset,
    /// Images taken from the training set; empty if the recipe's `val-fraction` is 0.
    pub val: Subset,
    /// The images of the final evaluation.
    pub test: Subset,
}

impl Splits {
    /// The images of one split.
    pub fn get(&self, split: Split) -> &Subset {
        match split {
            Split::Train => &self.train,
            Split::Val => &self.val,
            Split::Test => &self.test,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for split in [Split::Train, Split::Val, Split::Test] {
            assert_eq!(split.to_string().parse::<Split>().unwrap(), split);
        }
        let error = "valid".parse::<Split>().unwrap_err().to_string();
        assert_eq!(
            error,
            "`split` is `valid`, but it must be train, val or test"
        );
    }
}
