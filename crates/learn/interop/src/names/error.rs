//! Names and shapes that do not fit.

use std::fmt;

use thiserror::Error;

/// A tensor without a counterpart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The most similar name on the other side, if one is similar.
    pub nearest: Option<String>,
}

impl fmt::Display for Unmatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n  {} {:?}", self.name, self.shape)?;
        match &self.nearest {
            Some(name) => write!(f, ", nearest: {name}"),
            None => Ok(()),
        }
    }
}

fn list(unmatched: &[Unmatched]) -> String {
    const SHOWN: usize = 20;
    let mut text: String = (unmatched.iter().take(SHOWN))
        .map(|u| u.to_string())
        .collect();
    if unmatched.len() > SHOWN {
        text += &format!("\n  and {} more", unmatched.len() - SHOWN);
    }
    text
}

/// Names that do not fit together.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NameError {
    /// A `--rename` that cannot be used.
    #[error("--rename {text:?}: {reason}")]
    Rename {
        /// As given.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// Tensors without a counterpart.
    #[error(
        "the names do not match.{}{}\nSay --rename REGEX=NAME, or choose another --backbone or \
         --set",
        section("Tensors of the network that are not in the file:", missing),
        section("Tensors of the file that are not in the network:", unexpected)
    )]
    Unmatched {
        /// Tensors of the network.
        missing: Vec<Unmatched>,
        /// Tensors of the file.
        unexpected: Vec<Unmatched>,
    },
    /// Two tensors of the file mean the same.
    #[error("{first:?} and {second:?} of the file would both be {name:?}; rename or leave out one")]
    Twice {
        /// Name in the network.
        name: String,
        /// A name in the file.
        first: String,
        /// Another.
        second: String,
    },
    /// The shapes differ.
    #[error(
        "{file_name:?} has shape {found:?}, the network's {name:?} has {expected:?}{}",
        hint(name)
    )]
    Shape {
        /// Name in the network.
        name: String,
        /// Name in the file.
        file_name: String,
        /// Shape in the network.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
}

fn section(title: &str, unmatched: &[Unmatched]) -> String {
    match unmatched {
        [] => String::new(),
        _ => format!("\n{title}{}", list(unmatched)),
    }
}

fn hint(name: &str) -> &'static str {
    if name.starts_with("heads.") {
        "; is the number of classes another one?"
    } else {
        "; is it another backbone, or one with other options (--set)?"
    }
}
