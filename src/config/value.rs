//! Raw values, the types of values, and the texts of refusals.

use serde_json::{Value, json};
use toml::de::DeValue;

use super::source::printable;
use crate::config::redis_address::Address;
use crate::domain::window::Period;
use crate::zoneinfo::{self, ZoneError};

/// The largest number that every reader represents exactly: JSON in browsers and Redis scripts use doubles.
pub(super) const MAX_NUMBER: u64 = (1 << 53) - 1;

/// The maximum number of thresholds. More would slow down every hook, for no use.
const MAX_THRESHOLDS: usize = 32;

/// The maximum number of commands, and of tools, of a platform. More would slow down every hook.
const MAX_GLOBS: usize = 64;

/// The highest price of a million tokens, in dollars.
const MAX_DOLLARS: f64 = 1_000_000.0;

/// The value that disables a count.
pub(super) const OFF: &str = "off";

/// Maximum length of a name or text, in characters.
const MAX_CHARS: usize = 200;

const CLASSES: [&str; 4] = ["input", "output", "cache_write", "cache_read"];

/// A value as written, not yet checked against its key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RawValue {
    Flag(bool),
    Whole(i128),
    Fraction(f64),
    Text(String),
    List(Vec<RawValue>),
    Table,
    /// A date, or a number out of range.
    Other(String),
    /// The text of a variable: converted to the type of its key; lists are separated by commas.
    Variable(String),
}

impl RawValue {
    /// A value of a TOML file.
    pub fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::Boolean(flag) => Self::Flag(*flag),
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(n) => i128::from_str_radix(n.as_str(), n.radix())
                .map_or_else(|_| Self::Other(n.to_string()), Self::Whole),
            DeValue::Float(n) => {
                n.as_str().parse().map_or_else(|_| Self::Other(n.to_string()), Self::Fraction)
            }
            DeValue::Datetime(date) => Self::Other(date.to_string()),
            DeValue::Array(list) => Self::List(list.iter().map(|v| Self::from_toml(v.get_ref())).collect()),
            DeValue::Table(_) => Self::Table,
        }
    }

    fn flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            Self::Variable(text) => match text.trim() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    fn whole(&self) -> Option<i128> {
        match self {
            Self::Whole(n) => Some(*n),
            Self::Variable(text) => text.trim().replace('_', "").parse().ok(),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Whole(n) => Some(*n as f64),
            Self::Fraction(n) => Some(*n),
            Self::Variable(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Variable(text) => Some(text.trim()),
            _ => None,
        }
    }

    fn list(&self) -> Option<Vec<Self>> {
        match self {
            Self::List(list) => Some(list.clone()),
            Self::Variable(text) => Some(text.split(',').map(|part| Self::Variable(part.into())).collect()),
            _ => None,
        }
    }
}

impl std::fmt::Display for RawValue {
    /// As quoted in a refusal.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Whole(n) => write!(f, "{n}"),
            Self::Fraction(n) => write!(f, "{n}"),
            Self::Text(text) | Self::Variable(text) => write!(f, "\"{}\"", printable(text, 60)),
            Self::List(list) if list.is_empty() => f.write_str("an empty list"),
            Self::List(_) => f.write_str("a list"),
            Self::Table => f.write_str("a table"),
            Self::Other(text) => f.write_str(&printable(text, 60)),
        }
    }
}

/// The type of a key's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ValueKind {
    /// `true` or `false`.
    Flag,
    /// A whole number from 0 to the given one.
    Whole(u64),
    /// A whole number from the first to the second.
    Between(u64, u64),
    /// A number from 0 to the given one: whole, unless it means dollars or percent.
    Amount(u64),
    /// A whole number from 1 to the given one, or `"off"`.
    Count(u64),
    /// A name, which is part of commands, variables and keys in the store.
    Name,
    /// Any text on one line.
    Text,
    /// One of the first list, mildest first if order matters. The second list is reserved for later versions.
    OneOf(&'static [&'static str], &'static [&'static str]),
    /// An IANA time zone.
    Zone,
    /// Numbers in 0–1.
    Fractions,
    /// A number in 0–1.
    Fraction,
    /// A price in dollars.
    Dollars,
    /// Token classes.
    Classes,
    /// Some of these names, in any order.
    Selection(&'static [&'static str]),
    /// A command and its arguments; empty: none.
    Words,
    /// The commands of a platform: each a program's name, or its name and first arguments, as globs.
    Commands,
    /// The names of tools, as globs.
    Tools,
    /// When a budget starts again from zero.
    Window,
    /// The address of Redis.
    Redis,
    /// None: this version does not support the key. With what to do instead.
    Reserved(&'static str),
}

impl ValueKind {
    /// Whether this version does not support the key.
    pub fn is_reserved(self) -> bool {
        matches!(self, Self::Reserved(_))
    }

    /// Normalizes the value: lists are sorted and deduplicated. `Err`: what is wrong and what is allowed.
    pub fn parse(self, raw: &RawValue) -> Result<Value, String> {
        match self {
            Self::Flag => raw.flag().map(Value::from).ok_or_else(|| self.refuse(raw)),
            Self::Whole(most) => {
                let n = raw.whole().and_then(|n| u64::try_from(n).ok()).filter(|n| *n <= most);
                n.map(Value::from).ok_or_else(|| self.refuse(raw))
            }
            Self::Between(least, most) => {
                let n =
                    raw.whole().and_then(|n| u64::try_from(n).ok()).filter(|n| (least..=most).contains(n));
                n.map(Value::from).ok_or_else(|| self.refuse(raw))
            }
            Self::Amount(most) => match raw.whole() {
                Some(_) => Self::Whole(most).parse(raw),
                None => {
                    let n = raw.number().filter(|n| (0.0..=most as f64).contains(n));
                    let n = n.ok_or_else(|| self.refuse(raw))?;
                    Ok(if n.fract() == 0.0 { json!(n as u64) } else { json!(n) })
                }
            },
            Self::Count(_) if raw.text() == Some(OFF) => Ok(OFF.into()),
            Self::Count(most) => {
                let n = raw.whole().and_then(|n| u64::try_from(n).ok()).filter(|n| (1..=most).contains(n));
                n.map(Value::from).ok_or_else(|| self.refuse(raw))
            }
            Self::Name => raw.text().filter(|t| is_name(t)).map(Value::from).ok_or_else(|| self.refuse(raw)),
            Self::Text => raw.text().filter(|t| is_line(t)).map(Value::from).ok_or_else(|| self.refuse(raw)),
            Self::OneOf(names, later) => match raw.text() {
                Some(text) if names.contains(&text) => Ok(text.into()),
                Some(text) if later.contains(&text) => {
                    Err(format!("\"{text}\" is not supported yet; {}", self.allowed()))
                }
                _ => Err(self.refuse(raw)),
            },
            Self::Zone => {
                let name = raw.text().ok_or_else(|| self.refuse(raw))?;
                match zoneinfo::zone(name) {
                    Ok(zone) => Ok(zone.name().into()),
                    Err(ZoneError::Unknown) => Err(self.refuse(raw)),
                    Err(error @ ZoneError::NoFiles) => Err(format!("cannot be used (found {raw}): {error}")),
                }
            }
            Self::Fractions => self.fractions(raw),
            Self::Fraction => self.number_to(1.0, raw),
            Self::Dollars => self.number_to(MAX_DOLLARS, raw),
            Self::Classes => self.classes(raw),
            Self::Selection(names) => self.selection(names, raw),
            Self::Words => self.words(raw),
            Self::Commands => self.globs(raw, |text| {
                // Programs are compared without their folders.
                text.split_whitespace().next().is_some_and(|program| !program.contains('/'))
            }),
            Self::Tools => self.globs(raw, |text| !text.contains(char::is_whitespace)),
            Self::Window => {
                let period = raw.text().and_then(Period::parse);
                period.map(|period| period.to_string().into()).ok_or_else(|| self.refuse(raw))
            }
            Self::Redis => redis_url(raw.text().ok_or_else(|| self.refuse(raw))?),
            Self::Reserved(advice) => Err(advice.into()),
        }
    }

    /// The allowed values, as text.
    pub fn allowed(self) -> String {
        match self {
            Self::Flag => "must be true or false".into(),
            Self::Whole(most) => format!("must be a whole number from 0 to {most}"),
            Self::Amount(most) => {
                format!(
                    "must be a whole number from 0 to {most}, or have decimals if the unit is usd or percent"
                )
            }
            Self::Between(least, most) => format!("must be a whole number from {least} to {most}"),
            Self::Count(most) => format!("must be a whole number from 1 to {most}, or \"{OFF}\""),
            Self::Name => "must be a name of 1 to 64 letters, digits, \"-\", \"_\" and \".\"".into(),
            Self::Text => format!("must be a string of 1 to {MAX_CHARS} characters on one line"),
            Self::OneOf(names, _) => format!("must be one of {}", names.join(", ")),
            Self::Zone => "must be an IANA time zone such as UTC or Europe/Berlin".into(),
            Self::Fractions => format!("must be a list of at most {MAX_THRESHOLDS} numbers from 0 to 1"),
            Self::Fraction => "must be a number from 0 to 1".into(),
            Self::Dollars => format!("must be a number of dollars from 0 to {MAX_DOLLARS}"),
            Self::Classes => format!("must be a list of one or more of {}", CLASSES.join(", ")),
            Self::Selection(names) => format!("must be a list of {}, each at most once", names.join(", ")),
            Self::Words => "must be a list of strings: a command and its arguments, or empty for none".into(),
            Self::Commands => format!(
                "must be a list of at most {MAX_GLOBS} commands: a program's name without its folder, or its name and first \
                 arguments, such as \"codex exec\""
            ),
            Self::Tools => {
                format!("must be a list of at most {MAX_GLOBS} names of tools, such as \"mcp__gemini__*\"")
            }
            Self::Window => format!(
                "must be one of {}, or minutes or hours from 1m to 24h, such as 10m",
                Period::ALL.map(|(name, _)| name).join(", ")
            ),
            Self::Redis => "must be the address of Redis, such as redis://127.0.0.1:6379/0".into(),
            Self::Reserved(advice) => advice.into(),
        }
    }

    fn refuse(self, found: &RawValue) -> String {
        format!("{} (found {found})", self.allowed())
    }

    fn number_to(self, most: f64, raw: &RawValue) -> Result<Value, String> {
        let number = raw.number().filter(|n| (0.0..=most).contains(n));
        // Adding 0.0 turns -0.0 into 0.0.
        number.map(|n| json!(n + 0.0)).ok_or_else(|| self.refuse(raw))
    }

    fn fractions(self, raw: &RawValue) -> Result<Value, String> {
        let list = raw.list().ok_or_else(|| self.refuse(raw))?;
        if list.len() > MAX_THRESHOLDS {
            return Err(format!("{} (found {})", self.allowed(), list.len()));
        }
        let fraction = |item: &RawValue| item.number().filter(|n| (0.0..=1.0).contains(n));
        let numbers = list.iter().map(|item| fraction(item).ok_or_else(|| self.refuse(item)));
        Ok(ascending(numbers.collect::<Result<Vec<f64>, _>>()?))
    }

    fn classes(self, raw: &RawValue) -> Result<Value, String> {
        let list = raw.list().filter(|list| !list.is_empty()).ok_or_else(|| self.refuse(raw))?;
        if let Some(stranger) = list.iter().find(|item| !item.text().is_some_and(|t| CLASSES.contains(&t))) {
            return Err(self.refuse(stranger));
        }
        let named = |class: &&&str| list.iter().any(|item| item.text() == Some(**class));
        Ok(json!(CLASSES.iter().filter(named).collect::<Vec<_>>()))
    }

    fn selection(self, names: &[&str], raw: &RawValue) -> Result<Value, String> {
        let list = raw.list().ok_or_else(|| self.refuse(raw))?;
        let known = |item: &RawValue| names.iter().find(|name| item.text() == Some(**name)).copied();
        let chosen = list.iter().map(|item| known(item).ok_or_else(|| self.refuse(item)));
        let chosen = chosen.collect::<Result<Vec<&str>, _>>()?;
        let twice = chosen.iter().enumerate().find(|(at, name)| chosen[..*at].contains(name));
        match twice {
            Some((_, name)) => Err(self.refuse(&RawValue::Text(format!("{name}, {name}")))),
            None => Ok(json!(chosen)),
        }
    }

    fn globs(self, raw: &RawValue, is_good: fn(&str) -> bool) -> Result<Value, String> {
        let list = raw.list().ok_or_else(|| self.refuse(raw))?;
        if list.len() > MAX_GLOBS {
            return Err(format!("{} (found {})", self.allowed(), list.len()));
        }
        let glob =
            |item: &RawValue| item.text().filter(|text| is_line(text) && is_good(text)).map(str::to_owned);
        let globs = list.iter().map(|item| glob(item).ok_or_else(|| self.refuse(item)));
        Ok(json!(globs.collect::<Result<Vec<String>, _>>()?))
    }

    fn words(self, raw: &RawValue) -> Result<Value, String> {
        let list = raw.list().ok_or_else(|| self.refuse(raw))?;
        let words = list.iter().map(|item| item.text().ok_or_else(|| self.refuse(item)));
        let words = words.collect::<Result<Vec<&str>, _>>()?;
        match words.first() {
            Some(&"") => Err(self.refuse(&RawValue::Text(String::new()))),
            _ => Ok(json!(words)),
        }
    }
}

/// Checks an address of Redis. Passwords are refused, because the address is cached and displayed; they belong in a
/// separate file.
fn redis_url(text: &str) -> Result<Value, String> {
    let address = Address::parse(text).map_err(|error| error.to_string())?;
    if address.has_password() {
        return Err(
            "must not contain a password: store that in a file, and set store.redis_password_file to its path".into(),
        );
    }
    Ok(text.trim().into())
}

/// Sorts fractions and removes duplicates.
pub(super) fn ascending(mut numbers: Vec<f64>) -> Value {
    // Adding 0.0 turns -0.0 into 0.0.
    numbers.iter_mut().for_each(|n| *n += 0.0);
    numbers.sort_by(f64::total_cmp);
    numbers.dedup();
    json!(numbers)
}

/// Whether a text is a valid name of a tenant or budget.
pub fn is_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(inner)
}

fn is_line(text: &str) -> bool {
    (1..=MAX_CHARS).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}
