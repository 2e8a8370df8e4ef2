//! Identifies a tool call: a SHA-256 of the tool's name and its input.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::action::{Action, InputComparison};
use super::comments::{without_block_comments, without_shell_comments};
use super::fingerprint::Fingerprint;
use super::volatile::{self, TextKind};

/// Hexadecimal digits of a signature that are stored and shown.
pub const SHOWN_DIGITS: usize = 12;

/// The first six bytes of a SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolSignature(pub [u8; SHOWN_DIGITS / 2]);

impl ToolSignature {
    /// The signature of a call: its tool, and its input as canonical JSON (keys sorted, no spaces).
    pub fn new(tool: &str, input: &Value) -> Self {
        let mut hash = Sha256::new();
        hash.update((tool.len() as u64).to_le_bytes());
        hash.update(tool);
        hash.update(json(input, &str::to_owned));
        let mut prefix = [0; SHOWN_DIGITS / 2];
        prefix.copy_from_slice(&hash.finalize()[..SHOWN_DIGITS / 2]);
        Self(prefix)
    }

    /// The signature as twelve hexadecimal digits.
    pub fn hex(self) -> String {
        hex::encode(self.0)
    }
}

/// A hash that is equal for calls with no difference, except those that the action's [`comparison`](Action::comparison)
/// ignores.
pub fn shape(tool: &str, action: &Action) -> u32 {
    let plain = |text: &str| volatile::strip(text, TextKind::Input);
    let text: &dyn Fn(&str) -> String = match action.comparison {
        InputComparison::Exact => &str::to_owned,
        InputComparison::Command => &|text| in_any_order(&plain(&without_shell_comments(text))),
        InputComparison::Text => &plain,
        InputComparison::Words => &|text| in_any_order(&plain(text)),
        InputComparison::Code => &|text| plain(&without_block_comments(text)),
    };
    digest(tool, &action.relevant_input, text)
}

/// A hash of the tool's name.
pub fn tool_name_hash(tool: &str) -> u16 {
    Fingerprint::from_text(tool).to_u16()
}

/// A hash of the paths, files and numbered names in an input: equal for calls about the same things.
pub fn subject_hash(input: &Value) -> u16 {
    let mut things = Vec::new();
    collect_things(input, &mut things);
    things.sort_unstable();
    things.dedup();
    Fingerprint::from_text(&things.join(" ")).to_u16()
}

fn collect_things<'v>(value: &'v Value, things: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => {
            let is_break = |c: char| c.is_whitespace() || "'\"`,;()[]{}=|<>".contains(c);
            let is_thing = |word: &&str| {
                let word = word.trim_end_matches(['.', ':', '?', '!']);
                let inner_dot = word.find('.').is_some_and(|at| at > 0 && at + 1 < word.len());
                word.len() > 1 && !word.starts_with('-') && (word.contains('/') || inner_dot)
            };
            things.extend(text.split(is_break).filter(is_thing));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_things(item, things)),
        Value::Object(fields) => fields.values().for_each(|field| collect_things(field, things)),
        _ => {}
    }
}

/// The words of a text, sorted: the order of options does not matter.
fn in_any_order(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    words.sort_unstable();
    words.join(" ")
}

fn digest(tool: &str, input: &Value, text: &dyn Fn(&str) -> String) -> u32 {
    let mut hash = Fingerprint::from_text(tool);
    hash.add(&[0]);
    hash.add(json(input, text).as_bytes());
    hash.to_u32()
}

/// Canonical JSON, see [`canonical`].
fn json(input: &Value, text: &dyn Fn(&str) -> String) -> String {
    let mut json = String::new();
    canonical(input, text, &mut json);
    json
}

/// Canonical JSON: keys sorted, no spaces. `text` maps the content of strings.
fn canonical(value: &Value, text: &dyn Fn(&str) -> String, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort_unstable();
            out.push('{');
            for name in names {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                canonical(&fields[name], text, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, text, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::String(words) => out.push_str(&Value::from(text(words)).to_string()),
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_keys_does_not_matter() {
        let (one, other) =
            (json!({"a": 1, "b": {"x": 1, "y": [2]}}), json!({"b": {"y": [2], "x": 1}, "a": 1}));
        assert_eq!(ToolSignature::new("T", &one), ToolSignature::new("T", &other));
        assert_ne!(ToolSignature::new("T", &one), ToolSignature::new("U", &one));
        assert_ne!(ToolSignature::new("T", &json!([1, 2])), ToolSignature::new("T", &json!([2, 1])));
        assert_ne!(
            ToolSignature::new("T", &json!({"a": ["b", "c"]})),
            ToolSignature::new("T", &json!({"a": ["b,c"]}))
        );
        assert_eq!(ToolSignature::new("T", &one).hex().len(), SHOWN_DIGITS);
    }
}
