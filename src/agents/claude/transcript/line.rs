//! Extracts facts from one transcript line.
//!
//! Values are taken apart one by one as raw JSON, so a line with unknown fields, a null, a float or a lone surrogate
//! somewhere still counts. Source of the rules: `tests/fixtures/README.md`.
//!
//! The position, which the cursor keeps, carries context from earlier lines.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::domain::message::{ClientTotal, Message, MessageKey, UsageSource};
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;

use crate::transcript::cursor::Position;
use crate::transcript::{Fact, search, text_hash, tool_hash};

/// The fields of an object as written. Few are looked up, so building a map is not worthwhile.
#[derive(Default)]
struct Object<'a>(Vec<(Name<'a>, &'a RawValue)>);

/// The name of a field; borrowed unless it contains escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Object<'a> {
    /// The value of a field; the last one if it occurs twice.
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(known, _)| known.0 == name).map(|(_, value)| *value)
    }

    /// All fields by name; the last value if a name occurs twice.
    fn all(&self) -> BTreeMap<&str, &'a RawValue> {
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

/// Reads one line. `position` carries context from earlier lines; `now` dates a message in a file without any date.
pub fn facts(line: &[u8], position: &mut Position, now: Timestamp, out: &mut Vec<Fact>) {
    // Most lines (tool results, snapshots of 100 KB) say nothing about usage and are not parsed. Their date is needed
    // only to close a client's total.
    let interesting = [&b"\"usage\""[..], b"compact_boundary", b"cost-state"];
    let relevant = interesting.iter().any(|word| search::bytes(word, line).is_some());
    if !relevant && !position.needs_dates() {
        if let Some(at) = quick_timestamp(line) {
            position.last_at = Some(at);
        }
        return;
    }
    // An invalid byte in some text must not lose the charge. (Validating first is fastest in the usual case.)
    let line = std::str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed);
    let Some(fields) = object(&line) else { return };
    let at = text(&fields, "timestamp").and_then(|t| Timestamp::parse(&t));
    if let Some(at) = at {
        position.last_at = Some(at);
        out.extend(position.close_totals(at).into_iter().map(Fact::Total));
    }
    let at = at.or(position.last_at).unwrap_or(now);
    match text(&fields, "type").as_deref() {
        Some("cost-state") => totals(&fields, at, position, out),
        Some("system") if text(&fields, "subtype").as_deref() == Some("compact_boundary") => {
            out.extend(compaction(&fields, at, position));
        }
        Some("progress") => {
            let data = fields.get("data").and_then(|d| object(d.get()));
            let inner = data.as_ref().and_then(|d| d.get("message")).and_then(|m| object(m.get()));
            if let (Some(data), Some(inner)) = (data, inner) {
                // The embedded line has its own date; the envelope names the agent.
                let at = text(&inner, "timestamp").and_then(|t| Timestamp::parse(&t)).unwrap_or(at);
                let agent = text(&data, "agentId").or_else(|| text(&fields, "agentId"));
                out.extend(response(&inner, at, agent, &mut Position::default()));
            }
        }
        _ => {
            out.extend(origin(&fields, position));
            let agent = position.agent.clone().or_else(|| sidechain_agent(&fields));
            out.extend(response(&fields, at, agent, position));
        }
    }
}

/// A copied line names the session that made the request (2.1.330 and later). Reported once per session and file.
fn origin(line: &Object, position: &mut Position) -> Option<Fact> {
    let origin = text(line, "requestSessionId")?;
    let copied = text(line, "sessionId").is_some_and(|own| own != origin);
    (copied && position.origins.insert(origin.clone())).then_some(Fact::Origin(origin))
}

fn sidechain_agent(fields: &Object) -> Option<String> {
    let sidechain = fields.get("isSidechain").is_some_and(|v| v.get() == "true");
    sidechain.then(|| text(fields, "agentId")).flatten()
}

/// An assistant line: one content block of a response.
fn response(line: &Object, at: Timestamp, agent: Option<String>, position: &mut Position) -> Option<Fact> {
    let message = object(line.get("message")?.get())?;
    let model = text(&message, "model").unwrap_or_default();
    let is_error = line.get("isApiErrorMessage").is_some_and(|v| v.get() == "true");
    if model == "<synthetic>" || is_error {
        let mut cut = Message::new(position.last_message?, UsageSource::Response, position.last_message_at?);
        cut.error_followed = true;
        (cut.agent, cut.agent_type) = owner(position.agent.clone(), position);
        return Some(Fact::Message(cut));
    }
    let recorded = usage(&object(message.get("usage")?.get())?);
    let uuid = text(line, "uuid");
    let key = match (text(&message, "id"), text(line, "requestId")) {
        (Some(id), Some(request)) => MessageKey::from_parts(&["message", &id, &request]),
        (Some(id), None) => MessageKey::from_parts(&["message", &id]),
        (None, Some(request)) => MessageKey::from_parts(&["request", &request]),
        (None, None) => MessageKey::from_parts(&["line", uuid.as_deref()?]),
    };
    let mut found = Message::new(key, UsageSource::Response, at);
    (found.agent, found.agent_type) = owner(agent, position);
    found.recorded = recorded;
    found.stopped = text(&message, "stop_reason").is_some();
    position.note_response(key);
    if let Some(content) = message.get("content") {
        let content = Content::read(content);
        let line_id = MessageKey::from_parts(&["line", uuid.as_deref().unwrap_or_default()]).short();
        found.visible.insert(line_id, content.visible);
        found.tools = content.tools.iter().map(|id| tool_hash(id)).collect();
        position.note_tools(found.tools.iter().copied());
        if let Some(text) = content.text {
            position.said.observe(&text);
            position.last_text = Some(text_hash(&text));
        }
    }
    if !model.is_empty() {
        position.last_model.clone_from(&model);
    }
    found.model = model;
    position.last_message_at = Some(at);
    position.last_context = recorded.total();
    Some(Fact::Message(found.forget_lines()))
}

fn owner(agent: Option<String>, position: &Position) -> (Option<String>, String) {
    match agent {
        Some(agent) => (Some(agent), position.agent_type.clone()),
        None => (None, "main".into()),
    }
}

/// A compaction: the call that wrote the summary, estimated as one cache read of the whole context.
fn compaction(line: &Object, at: Timestamp, position: &Position) -> Option<Fact> {
    let key = MessageKey::from_parts(&["line", &text(line, "uuid")?]);
    let mut found = Message::new(key, UsageSource::Compaction, at);
    (found.agent, found.agent_type) = owner(position.agent.clone(), position);
    found.model.clone_from(&position.last_model);
    let before = line.get("compactMetadata").and_then(|m| object(m.get()));
    found.recorded.cache_read = before.map_or(0, |m| number(&m, "preTokens"));
    found.recorded = found.recorded.capped();
    found.stopped = true;
    Some(Fact::Message(found))
}

/// The client's own totals, one per model.
fn totals(line: &Object, at: Timestamp, position: &mut Position, out: &mut Vec<Fact>) {
    let run = i64::try_from(number(line, "startTime")).unwrap_or(0);
    let models = line.get("modelUsage").and_then(|m| object(m.get())).unwrap_or_default();
    for (model, counts) in models.all() {
        let Some(counts) = object(counts.get()) else { continue };
        let written = number(&counts, "cacheCreationInputTokens");
        let (short, long) = (
            number(&counts, "cacheCreationEphemeral5mInputTokens"),
            number(&counts, "cacheCreationEphemeral1hInputTokens"),
        );
        let usage = Usage {
            input: number(&counts, "inputTokens"),
            output: number(&counts, "outputTokens"),
            cache_write_5m: short + written.saturating_sub(short.saturating_add(long)),
            cache_write_1h: long,
            cache_read: number(&counts, "cacheReadInputTokens"),
        }
        .capped();
        let total = ClientTotal { run, model: model.to_owned(), usage, at, until: None };
        position.open_totals.retain(|t| (t.run, &t.model, t.usage) != (total.run, &total.model, total.usage));
        position.open_totals.push(total.clone());
        out.push(Fact::Total(total));
    }
}

/// The usage of one line. If the cache writes by lifetime sum to less than the flat number, the flat number wins, and
/// the rest counts as five-minute writes.
fn usage(fields: &Object) -> Usage {
    let flat = number(fields, "cache_creation_input_tokens");
    let split = fields.get("cache_creation").and_then(|s| object(s.get())).unwrap_or_default();
    let long = number(&split, "ephemeral_1h_input_tokens");
    let short = number(&split, "ephemeral_5m_input_tokens");
    Usage {
        input: number(fields, "input_tokens"),
        output: number(fields, "output_tokens"),
        cache_write_5m: short + flat.saturating_sub(short.saturating_add(long)),
        cache_write_1h: long,
        cache_read: number(fields, "cache_read_input_tokens"),
    }
    .capped()
}

/// The content of a line.
#[derive(Default)]
struct Content {
    /// Characters of text, thinking and tool input.
    visible: u64,
    /// `tool_use` ids.
    tools: Vec<String>,
    /// The last text block.
    text: Option<String>,
}

impl Content {
    fn read(raw: &RawValue) -> Self {
        let mut content = Self::default();
        if let Some(text) = string(raw) {
            content.visible = chars(raw);
            content.text = Some(text);
            return content;
        }
        let blocks: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
        for block in blocks.iter().filter_map(|b| object(b.get())) {
            for part in ["text", "thinking", "input"] {
                content.visible += block.get(part).map_or(0, chars);
            }
            match text(&block, "type").as_deref() {
                Some("tool_use") => content.tools.extend(text(&block, "id")),
                Some("text") => content.text = text(&block, "text"),
                _ => {}
            }
        }
        content
    }
}

/// Characters of a JSON value as a reader sees it: those of a string, else those of its JSON.
fn chars(raw: &RawValue) -> u64 {
    let shown = string(raw).map_or_else(|| raw.get().chars().count(), |s| s.chars().count());
    shown as u64
}

fn object(json: &str) -> Option<Object<'_>> {
    serde_json::from_str(json).ok()
}

/// A string. (Other values are not tried: building the error takes longer than reading a string.)
fn string(raw: &RawValue) -> Option<String> {
    raw.get().starts_with('"').then(|| serde_json::from_str(raw.get()).ok()).flatten()
}

fn text(fields: &Object, name: &str) -> Option<String> {
    fields.get(name).and_then(string).filter(|s| !s.is_empty())
}

/// A count: an integer, a rounded float, or a number in a string. Anything else, including null and negative numbers,
/// is 0.
fn number(fields: &Object, name: &str) -> u64 {
    let Some(raw) = fields.get(name) else { return 0 };
    let digits = raw.get().trim_matches('"');
    digits.parse().unwrap_or_else(|_| digits.parse::<f64>().map_or(0, |f| f.max(0.0).round() as u64))
}

/// The timestamp of a line that is not worth parsing: the first that looks like a top-level one. It only dates lines
/// without one (`cost-state`), so a timestamp in quoted text does little harm.
fn quick_timestamp(line: &[u8]) -> Option<Timestamp> {
    let start = search::bytes(b"\"timestamp\":\"", line)? + 13;
    let rest = line.get(start..start + 40).unwrap_or(&line[start..]);
    let end = search::byte(b'"', rest)?;
    Timestamp::parse(std::str::from_utf8(&rest[..end]).ok()?)
}
