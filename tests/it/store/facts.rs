//! Facts for tests: responses, compactions, totals, as from a transcript reader.

use std::collections::BTreeMap;

use fusebox::domain::message::{ClientTotal, Message, MessageKey, UsageSource};
use fusebox::domain::time::Timestamp;
use fusebox::domain::usage::Usage;
use fusebox::transcript::Fact;

/// The time of tests: 2026-11-22T12:00:00Z, a Sunday.
pub const NOW: Timestamp = Timestamp(1_795_348_800_000);

/// [`NOW`] plus `n` seconds, which may be negative.
pub fn second(n: i64) -> Timestamp {
    NOW.plus_millis(n * 1000)
}

/// Fresh input, output and cache reads.
pub fn usage(input: u64, output: u64, cache_read: u64) -> Usage {
    Usage { input, output, cache_read, ..Usage::default() }
}

/// A complete response of the main agent at [`NOW`], with this many fresh tokens. The session's files held it when it
/// was first seen.
pub fn response(id: &str, input: u64) -> Message {
    let key = MessageKey::from_parts(&["message", id, "request"]);
    let (model, recorded) = ("sonnet".to_owned(), usage(input, 0, 0));
    Message { model, recorded, stopped: true, held: true, ..Message::new(key, UsageSource::Response, NOW) }
}

/// The same at another time, with this usage.
pub fn said(id: &str, at: Timestamp, recorded: Usage) -> Message {
    Message { at, recorded, ..response(id, 0) }
}

/// One line of a cut stream, with `visible` readable characters.
pub fn cut(id: &str, at: Timestamp, input: u64, line: u64, visible: u64) -> Message {
    let visible = BTreeMap::from([(line, visible)]);
    Message { stopped: false, visible, ..said(id, at, usage(input, 1, 0)) }
}

/// The same response as a subagent's.
pub fn by_agent(message: Message, agent: &str, agent_type: &str) -> Message {
    Message { agent: Some(agent.into()), agent_type: agent_type.into(), ..message }
}

/// A compaction of a conversation of `before` tokens.
pub fn compaction(id: &str, at: Timestamp, before: u64) -> Message {
    let key = MessageKey::from_parts(&["line", id]);
    let (model, recorded) = ("sonnet".to_owned(), usage(0, 0, before));
    Message { model, recorded, stopped: true, ..Message::new(key, UsageSource::Compaction, at) }
}

/// The client's total for the model `sonnet` of a run, after a line at `at`, and before one at `until`.
pub fn total(run: i64, sum: Usage, at: Timestamp, until: Option<Timestamp>) -> Fact {
    Fact::Total(ClientTotal { run, model: "sonnet".into(), usage: sum, nano_usd: None, at, until })
}

/// Messages as facts.
pub fn facts<const N: usize>(messages: [Message; N]) -> Vec<Fact> {
    messages.into_iter().map(Fact::Message).collect()
}
