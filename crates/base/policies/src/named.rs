//! JSON objects whose kind is given by a key `name`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::{Map, Value};

/// Writes the fields of `fields` after the key `name`.
pub(crate) fn serialize<T: Serialize, S: Serializer>(
    name: &str,
    fields: &T,
    out: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Named<'a, T> {
        name: &'a str,
        #[serde(flatten)]
        fields: &'a T,
    }
    Named { name, fields }.serialize(out)
}

/// Reads the name and the other fields. Earlier formats called the key `kind`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    input: D,
) -> Result<(String, Value), D::Error> {
    let mut fields = Map::deserialize(input)?;
    let name = fields
        .remove("name")
        .or_else(|| fields.remove("kind"))
        .ok_or_else(|| D::Error::missing_field("name"))?;
    match name {
        Value::String(name) => Ok((name, Value::Object(fields))),
        other => Err(D::Error::custom(format!("the name is {other}, not a text"))),
    }
}

/// The names of a registry, for messages.
pub(crate) fn list(all: impl Iterator<Item = &'static str>) -> String {
    all.collect::<Vec<_>>().join(", ")
}
