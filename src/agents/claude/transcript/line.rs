//! Extracts facts from one transcript line.
//!
//! Values are taken apart one by one as raw JSON, so a line with unknown fields, a null or a float somewhere still
//! counts. Source of the rules: `tests/fixtures/README.md`.
//!
//! The position, which the cursor keeps, carries context from earlier lines.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::value::RawValue;

use crate::domain::message::{Message, MessageKey, UsageSource};
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;

use super::super::tools;
use super::object::{LineFields, Object, chars, number, object, string, text};
use super::pricing::terms;
use super::streams::{self, Place, StreamLine};
use super::totals::{asked_model, totals};
use crate::transcript::cursor::Position;
use crate::transcript::{Fact, is_plain_id, records, search, surrogates, text_hash, tool_hash};

/// What lines that say something about usage contain.
const INTERESTING: [&[u8]; 4] = [b"\"usage\"", b"compact_boundary", b"cost-state", b"\"api-request\""];

/// What precedes the date of a line.
const DATE: &[u8] = b"\"timestamp\":\"";

/// [`INTERESTING`] and [`DATE`], for readers of the history: they search gigabytes, for which detecting CPU features pays.
static SEARCHES: LazyLock<([Finder; 4], Finder)> =
    LazyLock::new(|| (INTERESTING.map(Finder::new), Finder::new(DATE)));

/// Billed parts that the counts of a response contain.
const CONTAINED_PARTS: [&str; 2] = ["message", "fallback_message"];

/// Billed parts known to stand beside them.
const KNOWN_PARTS: [&str; 2] = ["advisor_message", "compaction"];

/// How many unknown kinds of parts are named.
const MAX_UNKNOWN_PARTS: usize = 8;

/// Reads one line. `position` carries context from earlier lines; `now` dates a message in a file without any date.
pub fn facts(line: &[u8], position: &mut Position, now: Timestamp, out: &mut Vec<Fact>) {
    // Most lines (tool results, snapshots of 100 KB) say nothing about usage and are not parsed. Their date is needed
    // only to close a client's total.
    let is_history = position.places.is_some();
    let relevant = match is_history {
        true => SEARCHES.0.iter().any(|word| word.find(line).is_some()),
        false => INTERESTING.iter().any(|word| search::bytes(word, line).is_some()),
    };
    if !relevant && !position.needs_dates() {
        let found = if is_history { SEARCHES.1.find(line) } else { search::bytes(DATE, line) };
        position.note_date(found.and_then(|at| quick_timestamp(&line[at + DATE.len()..])));
        return;
    }
    // An invalid byte in some text must not lose the charge. (Validating first is fastest in the usual case.)
    let line = std::str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed);
    let line = surrogates::repair(&line);
    match LineFields::parse(&line) {
        Some(line) => record(&line, position, now, out),
        None => {
            let lines = records::within(&line).into_iter().filter_map(LineFields::parse);
            lines.for_each(|line| record(&line, position, now, out));
        }
    }
}

/// Reads one record: usually a line.
fn record(line: &LineFields, position: &mut Position, now: Timestamp, out: &mut Vec<Fact>) {
    let fields = &line.fields;
    let at = text(fields, "timestamp").and_then(|t| Timestamp::parse(&t));
    position.note_date(at);
    if let Some(places) = &mut position.places {
        let written = |name: &str| fields.get(name).map_or("", RawValue::get);
        places.note(out.len(), written("cwd"), written("gitBranch"));
    }
    if let Some(last) = at.and(position.last_at) {
        out.extend(position.close_totals(last).into_iter().map(Fact::Total));
    }
    let at = at.or(position.last_at).unwrap_or(now);
    match text(fields, "type").as_deref() {
        Some("api-request") => streams::end(&mut position.streams),
        Some("cost-state") => totals(fields, at, position, out),
        Some("system") if text(fields, "subtype").as_deref() == Some("compact_boundary") => {
            out.extend(compaction(fields, at, position));
        }
        Some("progress") => {
            let data = fields.get("data").and_then(|d| object(d.get()));
            let inner = data.as_ref().and_then(|d| d.get("message")).and_then(|m| object(m.get()));
            if let (Some(data), Some(inner)) = (data, inner) {
                // The embedded line has its own date; the envelope names the agent.
                let at = text(&inner, "timestamp").and_then(|t| Timestamp::parse(&t)).unwrap_or(at);
                let inner = LineFields::of(inner);
                let agent = text(&data, "agentId").or_else(|| text(fields, "agentId")).map(Cow::into_owned);
                let streams = std::mem::take(&mut position.streams);
                let (held, line_end) = (position.held, position.line_end);
                let mut embedded = Position { streams, held, line_end, ..Position::default() };
                response(&inner, at, agent, true, &mut embedded, out);
                position.streams = embedded.streams;
                position.unknown_parts.append(&mut embedded.unknown_parts);
            }
        }
        _ => {
            out.extend(origin(fields, position));
            let agent = position.agent.clone().or_else(|| sidechain_agent(fields));
            response(line, at, agent, false, position, out);
        }
    }
}

/// A copied line names the session that made the request (2.1.330 and later). Reported once per session and file.
fn origin(line: &Object, position: &mut Position) -> Option<Fact> {
    let origin = text(line, "requestSessionId")?.into_owned();
    let copied = text(line, "sessionId").is_some_and(|own| own != origin);
    (copied && position.origins.insert(origin.clone())).then_some(Fact::Origin(origin))
}

fn sidechain_agent(fields: &Object) -> Option<String> {
    let sidechain = fields.get("isSidechain").is_some_and(|v| v.get() == "true");
    sidechain.then(|| text(fields, "agentId")).flatten().map(Cow::into_owned)
}

/// An assistant line: one content block of a response. `is_embedded`: it stands in a line of another agent.
fn response(
    line: &LineFields,
    at: Timestamp,
    agent: Option<String>,
    is_embedded: bool,
    position: &mut Position,
    out: &mut Vec<Fact>,
) {
    let LineFields { fields: line, message: Some(message) } = line else { return };
    let is_history = position.places.is_some();
    let model = text(message, "model").unwrap_or_default();
    let is_error = line.get("isApiErrorMessage").is_some_and(|v| v.get() == "true");
    if model == "<synthetic>" || is_error {
        // No response, but the text with which a turn may end.
        let wanted = Wanted { visible: false, texts: !is_history };
        if let Some(text) = message.get("content").and_then(|content| Content::read(content, wanted).text) {
            position.last_text = Some(text_hash(&text));
        }
        out.extend(is_error.then(|| cut_message(position)).flatten().map(Fact::Message));
        return;
    }
    let Some(counts) = message.get("usage").and_then(|counts| object(counts.get())) else { return };
    let (recorded, parts) = (usage(&counts), counts.get("iterations").map_or("", RawValue::get));
    let (id, request, uuid) = (text(message, "id"), text(line, "requestId"), text(line, "uuid"));
    let content = message.get("content");
    let is_stopped = text(message, "stop_reason").is_some();
    let wanted = Wanted { visible: !is_stopped || recorded.output <= 1, texts: !is_history };
    let read = content.map(|content| Content::read(content, wanted));
    // A mod's own answer is no response. (The id alone avoids no charge: there must be no usage, either.)
    if id.as_ref().is_some_and(|id| id.starts_with("msg_hook_"))
        && recorded == Usage::default()
        && parts.is_empty()
    {
        position.last_text = read.and_then(|content| content.text).map(|text| text_hash(&text));
        return;
    }
    let parent = text(line, "parentUuid");
    let Place { key, at, later, has_new_parts } = match id.as_ref().or(request.as_ref()) {
        Some(id) => {
            let seen = StreamLine {
                embedded_agent: agent.as_deref().filter(|_| is_embedded).unwrap_or_default(),
                id,
                request: request.as_deref(),
                line: uuid.as_deref(),
                parent: parent.as_deref(),
                date: &text(line, "timestamp").unwrap_or_default(),
                at,
                content: content.map_or("", RawValue::get),
                usage: recorded,
                parts,
            };
            streams::place(&mut position.streams, &seen)
        }
        None => {
            let Some(uuid) = &uuid else { return };
            Place::alone(MessageKey::from_parts(&["line", uuid]), at)
        }
    };
    let mut found = Message::new(key, UsageSource::Response, at);
    found.held = position.is_held();
    (found.agent, found.agent_type) = owner(agent, position);
    found.recorded = recorded;
    (found.terms, found.web_searches) = terms(&counts);
    found.stopped = is_stopped;
    found.model = model.as_ref().to_owned();
    found.asked_model = asked_model(line, &model);
    if has_new_parts {
        billed_parts(parts, &found, position, out);
    }
    // A copy that lost the lines before this one, or a parent's file that embeds only this one, counts it as a message of
    // its own: that one charges nothing.
    if let Some(key) = later.filter(|_| !is_embedded) {
        // Readers of the history keep only its key.
        let like = if is_history { Message::new(key, found.source, at) } else { found.clone() };
        let copy = Message { key, superseded: true, ..like };
        billed_parts(parts, &copy, position, out);
        out.push(Fact::Message(copy));
    }
    position.note_response(key);
    if let Some(content) = read {
        if wanted.visible {
            let line_id = MessageKey::from_parts(&["line", uuid.as_deref().unwrap_or_default()]).short();
            found.visible.insert(line_id, content.visible);
            if content.signed > 0 {
                found.signed.insert(line_id, content.signed);
            }
        }
        found.tools = content.tools.into_iter().collect();
        position.note_tools(found.tools.iter().copied());
        for text in &content.scheduled {
            position.scheduled.note(text);
        }
        if let Some(text) = content.text {
            position.said.observe(&text);
            position.last_text = Some(text_hash(&text));
        }
    }
    if !model.is_empty() {
        model.as_ref().clone_into(&mut position.last_model);
        position.last_asked_model.clone_from(&found.asked_model);
    }
    position.last_message_at = Some(at);
    position.last_context = recorded.total();
    out.push(Fact::Message(found.forget_lines()));
}

/// The response before an API error: it may have been cut.
fn cut_message(position: &Position) -> Option<Message> {
    let mut cut = Message::new(position.last_message?, UsageSource::Response, position.last_message_at?);
    cut.error_followed = true;
    (cut.agent, cut.agent_type) = owner(position.agent.clone(), position);
    Some(cut)
}

/// What the API bills beside the counts of `message`, possibly for another model. `parts`: a list, as written.
fn billed_parts(parts: &str, message: &Message, position: &mut Position, out: &mut Vec<Fact>) {
    let parts: Vec<&RawValue> = serde_json::from_str(parts).unwrap_or_default();
    for (index, part) in parts.iter().enumerate() {
        let Some(part) = object(part.get()) else { continue };
        let kind = text(&part, "type").unwrap_or_default();
        let recorded = usage(&part);
        if CONTAINED_PARTS.contains(&&*kind) || recorded == Usage::default() {
            continue;
        }
        if !KNOWN_PARTS.contains(&&*kind) && position.unknown_parts.len() < MAX_UNKNOWN_PARTS {
            position.unknown_parts.insert(if is_plain_id(&kind) { kind.into_owned() } else { "?".into() });
        }
        let key = MessageKey::from_parts(&["part", &message.key.hex(), &index.to_string()]);
        let own_model = text(&part, "model").map(Cow::into_owned);
        let asked_model = message.asked_model.clone().filter(|_| own_model.is_none());
        let model = own_model.unwrap_or_else(|| message.model.clone());
        let source = UsageSource::Part;
        out.push(Fact::Message(Message {
            key,
            source,
            recorded,
            model,
            asked_model,
            stopped: true,
            web_searches: 0,
            ..message.clone()
        }));
    }
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
    found.held = position.is_held();
    (found.agent, found.agent_type) = owner(position.agent.clone(), position);
    found.model.clone_from(&position.last_model);
    found.asked_model.clone_from(&position.last_asked_model);
    let before = line.get("compactMetadata").and_then(|m| object(m.get()));
    found.recorded.cache_read = before.map_or(0, |m| number(&m, "preTokens"));
    found.recorded = found.recorded.capped();
    found.stopped = true;
    Some(Fact::Message(found))
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

/// What to read of a line's content, besides its calls.
#[derive(Clone, Copy)]
struct Wanted {
    /// How many characters it has: only if the response may have been cut, see [`Message::forget_lines`].
    visible: bool,
    /// Its texts, and those that calls schedule.
    texts: bool,
}

/// The content of a line.
#[derive(Default)]
struct Content {
    /// Characters of text, thinking and tool input.
    visible: u64,
    /// Signature characters of thinking without text.
    signed: u64,
    /// Hashes of `tool_use` ids.
    tools: Vec<u64>,
    /// The text blocks, joined as in `last_assistant_message`. (A streamed line has one block; one of a client that
    /// fell back to a request without streaming has all.)
    text: Option<String>,
    /// Texts that calls schedule as prompts.
    scheduled: Vec<String>,
}

impl Content {
    fn read(raw: &RawValue, wanted: Wanted) -> Self {
        let mut content = Self::default();
        if raw.get().starts_with('"') {
            content.visible = if wanted.visible { chars(raw) } else { 0 };
            content.text = wanted.texts.then(|| string(raw)).flatten().map(Cow::into_owned);
            return content;
        }
        let one_by_one = |_| {
            let blocks: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
            blocks.into_iter().filter_map(|block| object(block.get())).collect()
        };
        let blocks: Vec<Object> = serde_json::from_str(raw.get()).unwrap_or_else(one_by_one);
        for block in blocks {
            if wanted.visible {
                let parts = ["text", "thinking", "input"];
                content.visible += parts.iter().filter_map(|part| block.get(part)).map(chars).sum::<u64>();
            }
            match text(&block, "type").as_deref() {
                // Some providers give no ids, or empty ones.
                Some("tool_use") => {
                    content.tools.push(tool_hash(&text(&block, "id").unwrap_or_default()));
                    if !wanted.texts {
                        continue;
                    }
                    let name = text(&block, "name").unwrap_or_default();
                    content
                        .scheduled
                        .extend(block.get("input").and_then(|i| tools::scheduled_text(&name, i.get())));
                }
                Some("thinking") if wanted.visible && text(&block, "thinking").is_none() => {
                    content.signed += block.get("signature").map_or(0, chars);
                }
                Some("text") if wanted.texts => {
                    if let Some(text) = text(&block, "text") {
                        let before = content.text.take().map(|before| before + "\n").unwrap_or_default();
                        content.text = Some(before + &text);
                    }
                }
                _ => {}
            }
        }
        content
    }
}

/// The timestamp of a line that is not worth parsing: the first that looks like a top-level one, which `text` begins with.
/// It only dates lines without one (`cost-state`), so a timestamp in quoted text does little harm.
fn quick_timestamp(text: &[u8]) -> Option<Timestamp> {
    let rest = text.get(..40).unwrap_or(text);
    let end = search::byte(b'"', rest)?;
    Timestamp::parse(std::str::from_utf8(&rest[..end]).ok()?)
}
