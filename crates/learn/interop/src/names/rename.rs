//! Names of a file changed by the user.

use regex::Regex;

use super::NameError;

/// `--rename REGEX=NAME`: what matches `REGEX` in a name of the file becomes `NAME`.
#[derive(Clone, Debug)]
pub struct Rename {
    pattern: Regex,
    name: String,
}

impl Rename {
    /// Reads `REGEX=NAME`; `NAME` may hold `$1` for a group of the pattern, and is empty to leave
    /// out tensors whose whole name matches.
    ///
    /// # Errors
    /// [`NameError::Rename`] when there is no `=` or the pattern is no regular expression.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let wrong = |reason: String| NameError::Rename {
            text: text.to_owned(),
            reason,
        };
        let (pattern, name) =
            (text.rsplit_once('=')).ok_or_else(|| wrong("write it as REGEX=NAME".to_owned()))?;
        let pattern = Regex::new(pattern).map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            pattern,
            name: name.to_owned(),
        })
    }

    /// The name with everything replaced that matches.
    pub(super) fn apply(&self, name: &str) -> String {
        self.pattern
            .replace_all(name, self.name.as_str())
            .into_owned()
    }
}
