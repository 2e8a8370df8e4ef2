//! The configuration in force as valid TOML with the same effect, with the source of each value beside it.

use std::fmt::Write;

use anstyle::Style;
use serde_json::Value;

use crate::config::EffectiveValue;

/// Comments are aligned, except beside lines longer than this.
const MAX_ALIGNED: usize = 56;

/// The values of one table, by name.
struct Section<'v> {
    heading: Heading<'v>,
    values: Vec<(&'v str, &'v EffectiveValue)>,
}

#[derive(PartialEq)]
enum Heading<'v> {
    Top,
    Table(&'v str),
    /// A table with a name, such as `[[budget]]`, and that name.
    Named(&'v str, &'v str),
}

/// Formats the values as TOML.
pub fn as_toml(values: &[EffectiveValue]) -> String {
    let mut text = String::new();
    let declared = values.iter().find(|value| value.key == "declared task type");
    if let Some(EffectiveValue { value, source, .. }) = declared {
        let _ = writeln!(text, "# The declared task type is {} ({source}).", to_toml(value));
    }
    let task_type = declared.and_then(|declared| declared.value.as_str()).unwrap_or_default();
    let of_type = values.iter().find(|value| value.key == format!("task_type.{task_type}"));
    for section in sections(values) {
        section.write(&mut text, of_type.map(|of_type| &of_type.value));
    }
    text
}

fn sections(values: &[EffectiveValue]) -> Vec<Section<'_>> {
    let mut sections: Vec<Section> = Vec::new();
    for value in values.iter().filter(|value| value.key != "declared task type") {
        let named =
            value.key.split_once('.').filter(|(table, _)| ["budget", "rate", "platform"].contains(table));
        let named = named.and_then(|(table, rest)| Some((table, rest.rsplit_once('.')?)));
        let (heading, key) = match (named, value.key.split_once('.')) {
            (Some((table, (name, key))), _) => (Heading::Named(table, name), key),
            (None, Some((table, key))) => (Heading::Table(table), key),
            (None, None) => (Heading::Top, value.key.as_str()),
        };
        match sections.last_mut().filter(|last| last.heading == heading) {
            Some(last) => last.values.push((key, value)),
            None => sections.push(Section { heading, values: vec![(key, value)] }),
        }
    }
    sections
}

impl Section<'_> {
    /// `by_type`: the limit of the declared task type.
    fn write(&self, text: &mut String, by_type: Option<&Value>) {
        let dim = Style::new().dimmed();
        match (&self.heading, &self.values[..]) {
            (Heading::Top, _) => {}
            (Heading::Table(table), _) => _ = writeln!(text, "\n[{table}]"),
            // Only the name of a removed budget is known: as a new budget, it would lack its limit.
            (Heading::Named(table, name), [(_, off)]) if *name != "session" => {
                _ = writeln!(text, "\n{dim}# {table} {name} is removed: {}{dim:#}", off.source);
                return;
            }
            (Heading::Named(table, name), _) => {
                _ = writeln!(text, "\n[[{table}]]\nname = {}", to_toml(&Value::from(*name)));
            }
        }
        let stated = |(key, of): &(&str, &EffectiveValue)| match &of.value {
            Value::Null => format!("# {key}: none"),
            // As a key of the budget, it would apply to every task type.
            value if of.key == "budget.task.limit" && by_type == Some(value) => {
                format!("# {key}: {value}, from the task type")
            }
            value => format!("{key} = {}", to_toml(value)),
        };
        let lines: Vec<String> = self.values.iter().map(stated).collect();
        let width = lines.iter().map(|line| line.chars().count()).filter(|width| *width <= MAX_ALIGNED).max();
        for (line, (_, of)) in lines.iter().zip(&self.values) {
            let _ = writeln!(text, "{line:<0$}  {dim}# {1}{dim:#}", width.unwrap_or(0), of.source);
        }
    }
}

/// A value in TOML syntax.
fn to_toml(value: &Value) -> String {
    toml::Value::try_from(value).map(|value| value.to_string()).unwrap_or_default()
}
