//! The key `cascade` of a recipe's `[model]` table.

use offramp_nn::Init;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::{Map, Value};

use super::{AnyLink, CascadeConfig, Place, cascades};
use crate::NetError;

impl CascadeConfig {
    /// Whether every exit answers by itself.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// The links into exits of the given embedding widths, shallowest first.
    ///
    /// # Errors
    /// [`NetError::NothingToLink`] when there is a cascade and no exit has a link.
    pub(crate) fn links(
        &self,
        widths: &[usize],
        classes: usize,
        init: &mut Init,
    ) -> Result<Vec<Option<AnyLink>>, NetError> {
        let link = |(exit, &width): (usize, &usize)| {
            let place = Place {
                classes,
                width,
                last: exit + 1 == widths.len(),
            };
            (exit > 0).then(|| self.link(place, init)).flatten()
        };
        let links: Vec<_> = widths.iter().enumerate().map(link).collect();
        match !self.is_none() && links.iter().all(Option::is_none) {
            true => Err(NetError::NothingToLink {
                cascade: self.name(),
                exits: widths.len(),
                needed: self.fewest_exits(),
            }),
            false => Ok(links),
        }
    }

    fn fewest_exits(&self) -> usize {
        match self {
            Self::Ztw(config) if !config.last => 3,
            _ => 2,
        }
    }

    fn from_parts(name: &str, options: Map<String, Value>) -> Result<Self, String> {
        let names = || cascades().iter().map(|entry| entry.name);
        if !names().any(|known| known == name) {
            let nearest = match offramp_core::nearest(name, names()) {
                Some(nearest) => format!(" (did you mean {nearest:?}?)"),
                None => String::new(),
            };
            let known: Vec<_> = names().collect();
            return Err(format!(
                "no cascade is called {name:?}{nearest}; there are {}",
                known.join(", ")
            ));
        }
        if name == "none"
            && let Some(option) = options.keys().next()
        {
            return Err(format!("cascade none has no option {option:?}"));
        }
        Self::from_options(name, options).map_err(|problem| format!("cascade {name}: {problem}"))
    }
}

impl<'de> Deserialize<'de> for CascadeConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (name, options) = match Value::deserialize(deserializer)? {
            Value::String(name) => (name, Map::new()),
            Value::Object(mut table) => match table.remove("name") {
                Some(Value::String(name)) => (name, table),
                _ => return Err(D::Error::custom("a table of a cascade needs a name")),
            },
            other => {
                return Err(D::Error::custom(format!(
                    "a cascade is a name or a table with a name, not {other}"
                )));
            }
        };
        Self::from_parts(&name, options).map_err(D::Error::custom)
    }
}
