//! Registries: what a recipe can name, with options, open to other crates.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// One kind of a registry, such as the head `sepconv`, by its options.
///
/// The options are what a recipe may set: `head = { name = "sepconv", style = "byot" }`. Unknown keys
/// should be refused (`#[serde(default, deny_unknown_fields)]`).
pub trait Kind:
    Clone + Debug + Default + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// What a recipe calls it.
    const NAME: &'static str;

    /// One line on what it is.
    const DOC: &'static str;

    /// What is wrong with the options, if anything, with the value.
    fn problem(&self) -> Option<String> {
        None
    }
}

/// The name and the options of a value that is a name or a table with a name.
///
/// # Errors
/// When it is neither; `noun` says what it should be (`"head"`).
pub fn name_and_options(noun: &str, value: Value) -> Result<(String, Map<String, Value>), String> {
    match value {
        Value::String(name) => Ok((name, Map::new())),
        Value::Object(mut table) => match table.remove("name") {
            Some(Value::String(name)) => Ok((name, table)),
            Some(other) => Err(format!("the name of a {noun} is a text, not {other}")),
            None => Err(format!("a table of a {noun} needs a name")),
        },
        other => Err(format!(
            "a {noun} is a name or a table with a name, not {other}"
        )),
    }
}

/// The error for a name that is not known, with the nearest one.
pub fn unknown(noun: &str, name: &str, known: &[&str]) -> String {
    let hint = match crate::nearest(name, known.iter().copied()) {
        Some(nearest) => format!(" (did you mean {nearest:?}?)"),
        None => String::new(),
    };
    format!(
        "no {noun} is called {name:?}{hint}; there are {}",
        known.join(", ")
    )
}

/// A kind from its options.
///
/// # Errors
/// What is wrong with them, with the kind and the key.
pub fn parse<K: Kind>(noun: &str, options: Map<String, Value>) -> Result<K, String> {
    let wrong = |message: String| format!("{noun} {}: {message}", K::NAME);
    let kind: K = serde_path_to_error::deserialize(Value::Object(options)).map_err(|error| {
        let (key, reason) = (error.path().to_string(), error.inner().to_string());
        // serde says `.` for the table itself.
        wrong(match key.as_str() {
            "." => reason,
            key => format!("option {key}: {reason}"),
        })
    })?;
    match kind.problem() {
        Some(problem) => Err(wrong(problem)),
        None => Ok(kind),
    }
}

/// The options of a kind, with their values.
///
/// # Panics
/// When they are no table, which a kind's type decides.
pub fn options<K: Kind>(kind: &K) -> Map<String, Value> {
    match serde_json::to_value(kind) {
        Ok(Value::Object(options)) => options,
        other => panic!("the options of {} are no table: {other:?}", K::NAME),
    }
}

/// Makes a registry of one list of kinds.
///
/// ```text
/// registry! {
///     /// A kind of exit head with its options.
///     pub struct HeadConfig of dyn Head, entries HeadEntry, called "head", first LinearConfig;
///     SepConvConfig, BottleneckConfig,
/// }
/// ```
///
/// makes, for kinds that implement [`Kind`](crate::registry::Kind) and the trait:
///
/// - `HeadConfig`: any kind with its options; what a recipe says, read and written with serde. It
///   dereferences to `dyn Head`; `HeadConfig::new(kind)` makes one, `config.kind::<K>()` looks inside.
///   The default is the first kind.
/// - `HeadEntry`: one line of the table, with name, documentation and default options.
/// - `HeadConfig::registry()`: the table. `HeadConfig::register::<K>()` adds a kind of another crate.
///
/// The trait must have `std::any::Any + std::fmt::Debug + Send + Sync` as supertraits.
#[macro_export]
macro_rules! registry {
    (
        $(#[$doc:meta])*
        $vis:vis struct $config:ident of dyn $behaviour:path, entries $entry:ident,
            called $noun:literal, first $first:ty;
        $($kind:ty),* $(,)?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        $vis struct $config {
            behaviour: ::std::sync::Arc<dyn $behaviour>,
            name: &'static str,
            options: ::serde_json::Map<::std::string::String, ::serde_json::Value>,
        }

        /// One line of the table.
        #[derive(Clone, Copy, Debug)]
        $vis struct $entry {
            /// What a recipe calls it.
            pub name: &'static str,
            /// One line on what it is.
            pub doc: &'static str,
            /// Its settings with default options.
            pub config: fn() -> $config,
            parse: fn(
                ::serde_json::Map<::std::string::String, ::serde_json::Value>,
            ) -> ::std::result::Result<$config, ::std::string::String>,
        }

        const _: () = {
            use ::std::string::String;
            use ::std::sync::{Arc, PoisonError, RwLock};
            use ::serde::de::Error as _;
            use ::serde::ser::SerializeMap as _;

            static OWN: &[$entry] = &[$entry::of::<$first>() $(, $entry::of::<$kind>())*];
            static REGISTERED: RwLock<Vec<$entry>> = RwLock::new(Vec::new());

            impl $entry {
                const fn of<K: $crate::registry::Kind + $behaviour>() -> Self {
                    Self {
                        name: K::NAME,
                        doc: K::DOC,
                        config: || $config::new(K::default()),
                        parse: |options| {
                            $crate::registry::parse::<K>($noun, options).map($config::new)
                        },
                    }
                }
            }

            impl $config {
                /// A kind with its options.
                pub fn new<K: $crate::registry::Kind + $behaviour>(kind: K) -> Self {
                    Self {
                        name: K::NAME,
                        options: $crate::registry::options(&kind),
                        behaviour: Arc::new(kind),
                    }
                }

                /// The name in the table.
                pub fn name(&self) -> &'static str {
                    self.name
                }

                /// The kind with its options, if it is this one.
                pub fn kind<K: $behaviour>(&self) -> Option<&K> {
                    let behaviour: &dyn ::std::any::Any = &*self.behaviour;
                    behaviour.downcast_ref()
                }

                /// The table: the kinds of this crate, then those that were registered.
                pub fn registry() -> Vec<$entry> {
                    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
                    OWN.iter().chain(registered.iter()).copied().collect()
                }

                /// Adds a kind of another crate: recipes and help texts know it from then on. A
                /// registered kind of the same name is replaced.
                ///
                /// # Errors
                /// When this crate has a kind of that name.
                pub fn register<K: $crate::registry::Kind + $behaviour>() -> Result<(), String> {
                    if OWN.iter().any(|known| known.name == K::NAME) {
                        return Err(format!("there is a {} called {:?} already", $noun, K::NAME));
                    }
                    let mut registered =
                        REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
                    registered.retain(|known| known.name != K::NAME);
                    registered.push($entry::of::<K>());
                    Ok(())
                }
            }

            impl Default for $config {
                fn default() -> Self {
                    Self::new(<$first>::default())
                }
            }

            /// Equal names and options.
            impl PartialEq for $config {
                fn eq(&self, other: &Self) -> bool {
                    self.name == other.name && self.options == other.options
                }
            }

            impl ::std::ops::Deref for $config {
                type Target = dyn $behaviour;

                fn deref(&self) -> &Self::Target {
                    &*self.behaviour
                }
            }

            impl ::serde::Serialize for $config {
                fn serialize<S: ::serde::Serializer>(
                    &self,
                    serializer: S,
                ) -> Result<S::Ok, S::Error> {
                    let mut table = serializer.serialize_map(None)?;
                    table.serialize_entry("name", self.name)?;
                    for (key, value) in &self.options {
                        table.serialize_entry(key, value)?;
                    }
                    table.end()
                }
            }

            impl<'de> ::serde::Deserialize<'de> for $config {
                fn deserialize<D: ::serde::Deserializer<'de>>(
                    deserializer: D,
                ) -> Result<Self, D::Error> {
                    let value = ::serde_json::Value::deserialize(deserializer)?;
                    let (name, options) =
                        $crate::registry::name_and_options($noun, value).map_err(D::Error::custom)?;
                    let entries = Self::registry();
                    match entries.iter().find(|entry| entry.name == name) {
                        Some(entry) => (entry.parse)(options).map_err(D::Error::custom),
                        None => {
                            let known: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
                            let error = $crate::registry::unknown($noun, &name, &known);
                            Err(D::Error::custom(error))
                        }
                    }
                }
            }
        };
    };
}
