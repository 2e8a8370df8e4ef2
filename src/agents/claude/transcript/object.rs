//! The fields of JSON objects as written: each value is taken apart on its own, so that an unusual one loses no other.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::transcript::search;

/// The fields of an object as written. Few are looked up, so building a map is not worthwhile.
#[derive(Default)]
pub(super) struct Object<'a>(Vec<(Name<'a>, &'a RawValue)>);

/// The name of a field; borrowed unless it contains escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Object<'a> {
    /// The value of a field; the last one if it occurs twice.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(known, _)| known.0 == name).map(|(_, value)| *value)
    }

    /// All fields by name; the last value if a name occurs twice.
    pub(super) fn all(&self) -> BTreeMap<&str, &'a RawValue> {
        self.0.iter().map(|(name, value)| (&*name.0, *value)).collect()
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
                to.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(16);
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A line: its fields, and those of its `message`, taken apart in the same pass, because that is most of the line.
pub(super) struct LineFields<'a> {
    pub(super) fields: Object<'a>,
    /// `None`: it has none, or not an object.
    pub(super) message: Option<Object<'a>>,
}

impl<'a> LineFields<'a> {
    /// The fields of a line whose fields were taken apart.
    pub(super) fn of(fields: Object<'a>) -> Self {
        let message = fields.get("message").and_then(|message| object(message.get()));
        Self { fields, message }
    }

    /// Parses a line.
    pub(super) fn parse(json: &'a str) -> Option<Self> {
        // Fails if the message is no object, too.
        serde_json::from_str(json).ok().or_else(|| object(json).map(Self::of))
    }
}

impl<'de> Deserialize<'de> for LineFields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Line;
        impl<'de> Visitor<'de> for Line {
            type Value = LineFields<'de>;

            fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
                to.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(16);
                let mut message = None;
                while let Some(name) = map.next_key::<Name>()? {
                    if name.0 == "message" {
                        message = Some(map.next_value()?);
                    } else {
                        fields.push((name, map.next_value()?));
                    }
                }
                Ok(LineFields { fields: Object(fields), message })
            }
        }
        deserializer.deserialize_map(Line)
    }
}

/// Characters of a JSON value as a reader sees it: those of a string, else those of its JSON.
pub(super) fn chars(raw: &RawValue) -> u64 {
    let shown = string(raw).map_or_else(|| raw.get().chars().count(), |s| s.chars().count());
    shown as u64
}

pub(super) fn object(json: &str) -> Option<Object<'_>> {
    serde_json::from_str(json).ok()
}

/// A string. (Other values are not tried: building the error takes longer than reading a string.)
pub(super) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    match search::byte(b'\\', inner.as_bytes()) {
        None => Some(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(raw.get()).ok().map(Cow::Owned),
    }
}

pub(super) fn text<'a>(fields: &Object<'a>, name: &str) -> Option<Cow<'a, str>> {
    fields.get(name).and_then(string).filter(|s| !s.is_empty())
}

/// A count: an integer, a rounded float, or a number in a string. Anything else, including null and negative numbers,
/// is 0.
pub(super) fn number(fields: &Object, name: &str) -> u64 {
    let Some(raw) = fields.get(name) else { return 0 };
    let digits = raw.get().trim_matches('"');
    digits.parse().unwrap_or_else(|_| digits.parse::<f64>().map_or(0, |f| f.max(0.0).round() as u64))
}
