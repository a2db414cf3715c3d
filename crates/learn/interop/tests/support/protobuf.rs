//! A reader of protobuf files that goes by the text of a schema, written for these tests: what it
//! reads owes nothing to the code that wrote the file.

use std::collections::HashMap;

/// Messages by their full name, fields by their number.
#[derive(Debug, Default)]
pub(crate) struct Schema(HashMap<String, HashMap<u64, FieldType>>);

#[derive(Clone, Debug)]
struct FieldType {
    name: String,
    kind: String,
    repeated: bool,
    packed: bool,
}

/// A message: its fields in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Message(Vec<(String, Content)>);

#[derive(Debug)]
pub(crate) enum Content {
    Number(i64),
    Float(f32),
    Text(String),
    Bytes(Vec<u8>),
    Message(Message),
}

impl Schema {
    /// Reads `message`, `oneof` and `enum` of a schema; everything else is skipped.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default());
        let mut spaced = lines.collect::<Vec<_>>().join(" ");
        for mark in ["{", "}", ";", "=", "[", "]"] {
            spaced = spaced.replace(mark, &format!(" {mark} "));
        }
        let mut schema = Self::default();
        // The open blocks: the name of a message, or nothing for an enum, or a oneof.
        let mut open: Vec<(&str, &str)> = Vec::new();
        let mut statement: Vec<&str> = Vec::new();
        for token in spaced.split_whitespace() {
            match token {
                "{" => {
                    open.push((statement[0], statement[1]));
                    statement.clear();
                }
                "}" => {
                    open.pop();
                    statement.clear();
                }
                ";" => {
                    schema.field(&open, &statement);
                    statement.clear();
                }
                other => statement.push(other),
            }
        }
        schema
    }

    fn field(&mut self, open: &[(&str, &str)], statement: &[&str]) {
        let Some(equals) = statement.iter().position(|token| *token == "=") else {
            return;
        };
        let inside = open.last().map(|(kind, _)| *kind);
        if !matches!(inside, Some("message" | "oneof")) || equals < 2 {
            return;
        }
        let messages = open.iter().filter(|(kind, _)| *kind == "message");
        let path: Vec<&str> = messages.map(|(_, name)| *name).collect();
        let number = statement[equals + 1].parse().expect("a number of a field");
        let field = FieldType {
            name: statement[equals - 1].to_owned(),
            kind: statement[equals - 2].to_owned(),
            repeated: statement[0] == "repeated",
            packed: statement.contains(&"packed") && statement.contains(&"true"),
        };
        self.0
            .entry(path.join("."))
            .or_default()
            .insert(number, field);
    }

    /// Reads a message, and panics at the first byte that the schema does not allow.
    pub(crate) fn read(&self, message: &str, mut bytes: &[u8]) -> Message {
        let fields = self
            .0
            .get(message)
            .unwrap_or_else(|| panic!("message {message}"));
        let mut found = Message::default();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let field = fields.get(&(key >> 3));
            let field = field.unwrap_or_else(|| panic!("{message} has no field {}", key >> 3));
            let name = format!("{message}.{}", field.name);
            assert!(!field.packed, "{name}: packed lists are not read here");
            let again = found.all(&field.name).next().is_some();
            assert!(field.repeated || !again, "{name} comes twice");
            let content = self.content(message, field, key & 7, &mut bytes, &name);
            found.0.push((field.name.clone(), content));
        }
        found
    }

    fn content(
        &self,
        message: &str,
        field: &FieldType,
        wire: u64,
        bytes: &mut &[u8],
        name: &str,
    ) -> Content {
        let nested = [format!("{message}.{}", field.kind), field.kind.clone()];
        let nested = nested.iter().find(|known| self.0.contains_key(*known));
        match (field.kind.as_str(), nested, wire) {
            ("float", _, 5) => {
                let (number, rest) = bytes.split_first_chunk().expect("four bytes");
                *bytes = rest;
                Content::Float(f32::from_le_bytes(*number))
            }
            ("string", _, 2) => {
                let text = std::str::from_utf8(delimited(bytes)).expect("UTF-8");
                Content::Text(text.to_owned())
            }
            ("bytes", _, 2) => Content::Bytes(delimited(bytes).to_vec()),
            (_, Some(nested), 2) => Content::Message(self.read(nested, delimited(bytes))),
            // int32, int64 or an enum.
            (_, None, 0) => Content::Number(varint(bytes) as i64),
            (kind, ..) => panic!("{name} of type {kind} has wire type {wire}"),
        }
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a byte of a number");
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return number;
        }
    }
    panic!("a number of more than 64 bits")
}

fn delimited<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let length = varint(bytes) as usize;
    let (content, rest) = bytes.split_at(length);
    *bytes = rest;
    content
}

impl Message {
    fn all(&self, name: &str) -> impl Iterator<Item = &Content> {
        self.0
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, content)| content)
    }

    /// The messages of a field.
    pub(crate) fn messages(&self, name: &str) -> Vec<&Message> {
        self.all(name).map(Content::message).collect()
    }

    /// The only message of a field.
    pub(crate) fn message(&self, name: &str) -> &Message {
        match self.messages(name)[..] {
            [one] => one,
            ref other => panic!("{} of {name}", other.len()),
        }
    }

    /// The texts of a field.
    pub(crate) fn texts(&self, name: &str) -> Vec<&str> {
        self.all(name).map(Content::text).collect()
    }

    /// The numbers of a field.
    pub(crate) fn numbers(&self, name: &str) -> Vec<i64> {
        self.all(name).map(Content::number).collect()
    }

    /// How many bytes a field has.
    pub(crate) fn bytes(&self, name: &str) -> usize {
        self.all(name).map(Content::length).sum()
    }
}

impl Content {
    fn message(&self) -> &Message {
        match self {
            Self::Message(message) => message,
            other => panic!("{other:?} is no message"),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            other => panic!("{other:?} is no text"),
        }
    }

    fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            other => panic!("{other:?} is no integer"),
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            other => panic!("{other:?} are no bytes"),
        }
    }
}
