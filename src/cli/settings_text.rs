//! Inserts, replaces and removes top-level keys in the text of a settings file, leaving every other byte unchanged.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Replaces the value of `key` in `text`, or appends it as the last key.
pub(super) fn replace(text: &str, key: &str, value: &Value) -> anyhow::Result<String> {
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    let indent = indent_of(text);
    let value = render(value, indent)?;
    if let Some((before, after)) = around(text, key) {
        return Ok([before, &value, after].concat());
    }
    let end = text.rfind('}').context("settings must be an object")?;
    let before = text[..end].trim_end();
    let comma = if before.ends_with('{') { "" } else { "," };
    Ok(format!("{before}{comma}\n{indent}\"{key}\": {value}\n{}", &text[end..]))
}

/// The text before and after the value of `key`.
pub(super) fn around<'t>(text: &'t str, key: &str) -> Option<(&'t str, &'t str)> {
    let values: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    let value = values.get(key)?.get();
    let start = value.as_ptr().addr() - text.as_ptr().addr();
    Some((&text[..start], &text[start + value.len()..]))
}

/// Removes `key`, its value and its comma.
pub(super) fn cut(text: &str, key: &str) -> anyhow::Result<String> {
    let (before, after) = around(text, key).with_context(|| format!("no {key}"))?;
    // Only white space and a colon are between a key and its value.
    let start = before.rfind(&format!("\"{key}\""));
    let start = start.with_context(|| format!("the key `{key}` is written with escapes"))?;
    let before_key = before[..start].trim_end();
    if let Some(before) = before_key.strip_suffix(',') {
        return Ok([before, after].concat());
    }
    match after.trim_start().strip_prefix(',') {
        Some(after) => Ok([&before[..start], after.trim_start()].concat()),
        None => Ok([before_key, after.trim_start()].concat()),
    }
}

/// The indentation of a file: the white space before its first key, else two spaces.
fn indent_of(text: &str) -> &str {
    let first = text.lines().find_map(|line| {
        let indent = &line[..line.len() - line.trim_start().len()];
        (!indent.is_empty() && line.trim_start().starts_with('"')).then_some(indent)
    });
    first.unwrap_or("  ")
}

/// The value of a top-level key.
fn render(value: &Value, indent: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let pretty = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, pretty))?;
    Ok(String::from_utf8(bytes)?.replace('\n', &format!("\n{indent}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spliced(text: &str) -> String {
        replace(text, "hooks", &json!({"Stop": []})).unwrap()
    }

    #[test]
    fn only_hooks_change() {
        let old =
            "{\n    \"b\": [1,  2.50],\n    \"hooks\": {\"Stop\": [{\"hooks\": []}]},\n\n    \"a\": 1e3}";
        let new =
            "{\n    \"b\": [1,  2.50],\n    \"hooks\": {\n        \"Stop\": []\n    },\n\n    \"a\": 1e3}";
        assert_eq!(spliced(old), new);
    }

    #[test]
    fn hooks_come_last() {
        assert_eq!(spliced(""), "{\n  \"hooks\": {\n    \"Stop\": []\n  }\n}\n");
        assert_eq!(spliced("{ }"), "{\n  \"hooks\": {\n    \"Stop\": []\n  }\n}");
        let tabs = "{\n\t\"a\": \"}\"\n}\n\n";
        assert_eq!(spliced(tabs), "{\n\t\"a\": \"}\",\n\t\"hooks\": {\n\t\t\"Stop\": []\n\t}\n}\n\n");
    }

    #[test]
    fn hooks_are_cut_out_with_their_comma() {
        for (text, left) in [
            ("{\n  \"a\": 1,\n  \"hooks\": {}\n}\n", "{\n  \"a\": 1\n}\n"),
            ("{\n  \"hooks\": {},\n  \"a\": 1\n}\n", "{\n  \"a\": 1\n}\n"),
            ("{ \"hooks\" : {\"x\": []} }", "{}"),
            ("{\"s\":\"\\\"hooks\\\"\",\"hooks\":{},\"b\":2}", "{\"s\":\"\\\"hooks\\\"\",\"b\":2}"),
        ] {
            assert_eq!(cut(text, "hooks").unwrap(), left);
        }
    }
}
