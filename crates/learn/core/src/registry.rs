//! Registries: what a recipe can name, with options, open to other crates.
//!
//! A [`Table`] holds the kinds of a crate and those that others registered; [`AnyKind`] is one of them
//! with its options. [`registry!`](crate::registry!) makes both of one list.

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::ser::{SerializeMap, Serializer};
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

/// Makes settings of options, or says what is wrong with them.
pub type Parse<C> = fn(Map<String, Value>) -> Result<C, String>;

/// One line of a [`Table`].
pub trait Entry: Copy + Send + Sync + 'static {
    /// What a recipe calls it.
    fn name(&self) -> &'static str;
}

/// What a recipe can name in one place: the entries of a crate, then those of other crates.
#[derive(Debug)]
pub struct Table<E: 'static> {
    noun: &'static str,
    own: &'static [&'static [E]],
    /// All entries, once somebody asked.
    all: RwLock<Option<&'static [E]>>,
}

impl<E: Entry> Table<E> {
    /// The table of a crate's own entries; `noun` says what they are, such as `"head"`.
    pub const fn new(noun: &'static str, own: &'static [&'static [E]]) -> Self {
        Self {
            noun,
            own,
            all: RwLock::new(None),
        }
    }

    /// All entries.
    pub fn all(&self) -> &'static [E] {
        if let Some(all) = *self.all.read().unwrap_or_else(PoisonError::into_inner) {
            return all;
        }
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.get_or_insert_with(|| self.own.concat().leak())
    }

    /// Adds an entry of another crate. A registered entry of the same name is replaced. What was
    /// returned by [`all`](Self::all) before stays as it is, and stays in memory.
    ///
    /// # Errors
    /// When an entry of the crate itself has that name.
    pub fn register(&self, entry: E) -> Result<(), String> {
        let mut own = self.own.iter().copied().flatten();
        if own.any(|known| known.name() == entry.name()) {
            let (noun, name) = (self.noun, entry.name());
            return Err(format!("there is a {noun} called {name:?} already"));
        }
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let mut entries = match *all {
            Some(entries) => entries.to_vec(),
            None => self.own.concat(),
        };
        entries.retain(|known| known.name() != entry.name());
        entries.push(entry);
        *all = Some(entries.leak());
        Ok(())
    }

    /// The entry of a name.
    pub fn find(&self, name: &str) -> Option<&'static E> {
        self.all().iter().find(|entry| entry.name() == name)
    }

    /// All names.
    pub fn names(&self) -> Vec<&'static str> {
        self.all().iter().map(Entry::name).collect()
    }
}

/// A kind with its options, of which only the trait `B` is known.
#[derive(Debug)]
pub struct AnyKind<B: ?Sized> {
    name: &'static str,
    options: Map<String, Value>,
    behaviour: Arc<B>,
}

impl<B: ?Sized> AnyKind<B> {
    /// Forgets the type of a kind; `erase` is `|kind| kind`.
    pub fn new<K: Kind>(kind: K, erase: fn(Arc<K>) -> Arc<B>) -> Self {
        Self {
            name: K::NAME,
            options: options(&kind),
            behaviour: erase(Arc::new(kind)),
        }
    }

    /// What a recipe calls it.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl<B: ?Sized> Clone for AnyKind<B> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            options: self.options.clone(),
            behaviour: Arc::clone(&self.behaviour),
        }
    }
}

/// Equal names and options.
impl<B: ?Sized> PartialEq for AnyKind<B> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.options == other.options
    }
}

impl<B: ?Sized> Deref for AnyKind<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.behaviour
    }
}

impl<B: ?Sized> Serialize for AnyKind<B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(Some(1 + self.options.len()))?;
        table.serialize_entry("name", self.name)?;
        for (key, value) in &self.options {
            table.serialize_entry(key, value)?;
        }
        table.end()
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

/// serde's error for a name that is not known.
pub fn unknown_variant(name: &str, known: &[&str]) -> String {
    let list: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let list = list.join(", ");
    format!("unknown variant `{name}`, expected one of {list}")
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

/// The options of a kind, with their values; those that are `None` are left out.
///
/// # Panics
/// When they are no table, which a kind's type decides.
pub fn options<K: Kind>(kind: &K) -> Map<String, Value> {
    match serde_json::to_value(kind) {
        Ok(Value::Object(mut options)) => {
            // TOML has no null.
            options.retain(|_, value| !value.is_null());
            options
        }
        other => panic!("the options of {} are no table: {other:?}", K::NAME),
    }
}

/// Makes a registry of one list of kinds.
///
/// ```text
/// registry! {
///     /// A kind of exit head with its options.
///     pub struct HeadConfig of dyn Head, entries HeadEntry, called "head", first LinearHead;
///     SepConvHead, BottleneckHead,
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
        #[derive(Clone, Debug, PartialEq, ::serde::Serialize)]
        $vis struct $config($crate::registry::AnyKind<dyn $behaviour>);

        /// One line of the table.
        #[derive(Clone, Copy, Debug)]
        $vis struct $entry {
            /// What a recipe calls it.
            pub name: &'static str,
            /// One line on what it is.
            pub doc: &'static str,
            /// Its settings with default options.
            pub config: fn() -> $config,
            parse: $crate::registry::Parse<$config>,
        }

        const _: () = {
            use ::std::string::String;
            use ::serde::de::Error as _;
            use $crate::registry::{AnyKind, Kind, Table};

            static TABLE: Table<$entry> =
                Table::new($noun, &[&[$entry::of::<$first>() $(, $entry::of::<$kind>())*]]);

            impl $entry {
                const fn of<K: Kind + $behaviour>() -> Self {
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

            impl $crate::registry::Entry for $entry {
                fn name(&self) -> &'static str {
                    self.name
                }
            }

            impl $config {
                /// A kind with its options.
                pub fn new<K: Kind + $behaviour>(kind: K) -> Self {
                    Self(AnyKind::new(kind, |kind| kind))
                }

                /// The name in the table.
                pub fn name(&self) -> &'static str {
                    self.0.name()
                }

                /// The kind with its options, if it is this one.
                pub fn kind<K: $behaviour>(&self) -> Option<&K> {
                    let behaviour: &dyn ::std::any::Any = &*self.0;
                    behaviour.downcast_ref()
                }

                /// The table: the kinds of this crate, then those that were registered.
                pub fn registry() -> Vec<$entry> {
                    TABLE.all().to_vec()
                }

                /// Adds a kind of another crate: recipes and help texts know it from then on. A
                /// registered kind of the same name is replaced.
                ///
                /// # Errors
                /// When this crate has a kind of that name.
                pub fn register<K: Kind + $behaviour>() -> Result<(), String> {
                    TABLE.register($entry::of::<K>())
                }
            }

            impl Default for $config {
                fn default() -> Self {
                    Self::new(<$first>::default())
                }
            }

            impl ::std::ops::Deref for $config {
                type Target = dyn $behaviour;

                fn deref(&self) -> &Self::Target {
                    &*self.0
                }
            }

            impl<'de> ::serde::Deserialize<'de> for $config {
                fn deserialize<D: ::serde::Deserializer<'de>>(
                    deserializer: D,
                ) -> Result<Self, D::Error> {
                    let value = ::serde_json::Value::deserialize(deserializer)?;
                    let (name, options) =
                        $crate::registry::name_and_options($noun, value).map_err(D::Error::custom)?;
                    match TABLE.find(&name) {
                        Some(entry) => (entry.parse)(options).map_err(D::Error::custom),
                        None => {
                            let error = $crate::registry::unknown($noun, &name, &TABLE.names());
                            Err(D::Error::custom(error))
                        }
                    }
                }
            }
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Line(&'static str, u32);

    impl Entry for Line {
        fn name(&self) -> &'static str {
            self.0
        }
    }

    #[test]
    fn a_table_takes_new_names_and_keeps_its_own() {
        static TABLE: Table<Line> = Table::new("line", &[&[Line("a", 0)], &[Line("b", 1)]]);
        let before = TABLE.all();
        let error = TABLE.register(Line("b", 2)).unwrap_err();
        assert!(error.contains("line") && error.contains("\"b\""), "{error}");
        TABLE.register(Line("c", 3)).unwrap();
        TABLE.register(Line("c", 4)).unwrap();
        assert_eq!(TABLE.all(), [Line("a", 0), Line("b", 1), Line("c", 4)]);
        assert_eq!(TABLE.find("c"), Some(&Line("c", 4)));
        assert_eq!(before, [Line("a", 0), Line("b", 1)]);
    }
}
