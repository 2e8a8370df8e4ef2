//! The source of a value, and problems with refused values.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// Where a value came from. Paths are for display, with `~` for the home folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "kind", content = "at", rename_all = "snake_case")]
pub enum Source {
    /// Built in.
    Default,
    /// The user's file, by path.
    User(String),
    /// The project's file, by path.
    Project(String),
    /// An environment variable, by name.
    Variable(String),
    /// An environment variable that the project's settings name. Ranks like the project's file.
    ProjectVariable(String),
    /// The managed file, by path.
    Managed(String),
}

impl Source {
    /// Whether it is the project's: then it may only tighten, and its errors are ignored instead of fatal.
    pub fn is_project(&self) -> bool {
        matches!(self, Self::Project(_) | Self::ProjectVariable(_))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::User(at) | Self::Project(at) | Self::Managed(at) | Self::Variable(at) => f.write_str(at),
            Self::ProjectVariable(name) => write!(f, "{name} (in the project's settings)"),
        }
    }
}

/// A refused value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where it was found.
    pub source: Source,
    /// Line in the file, from 1.
    pub line: Option<usize>,
    /// The key, such as `budget.session.limit`; empty for a whole file or variable.
    pub key: String,
    /// What is wrong and what is allowed, on one line.
    pub message: String,
}

impl fmt::Display for Problem {
    /// `~/.config/fusebox/config.toml:12: budget.session.limit: must be … (found -5)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A value in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EffectiveValue {
    /// The key, such as `budget.session.limit`.
    pub key: String,
    /// The value; null: none.
    pub value: Value,
    /// Where it came from.
    pub source: Source,
}

/// Makes foreign text safe for display: one line, no control characters, at most `max` characters.
pub fn printable(text: &str, max: usize) -> String {
    let cut: String = text.chars().take(max).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    cut.chars().map(plain).chain([dots.to_owned()]).collect()
}
