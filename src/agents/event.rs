//! The events that hooks handle, as values.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use serde_json::value::RawValue;

use super::Agent;
use crate::domain::breaker::circuit::NamedCall;
use crate::domain::breaker::signature::ToolSignature;
use crate::domain::throttle::SlotEvent;
use crate::transcript::{Fact, tool_hash};

/// An event: its source and what happened.
#[derive(Clone, Debug)]
pub struct HookEvent<'p> {
    /// Session, agent and folders.
    pub source: EventSource,
    /// What happened.
    pub kind: EventKind<'p>,
}

/// The source of an event, according to the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSource {
    /// The session's coding agent.
    pub client: &'static dyn Agent,
    /// The session id.
    pub session: String,
    /// The session's transcript.
    pub transcript: Option<PathBuf>,
    /// The client's working folder.
    pub cwd: Option<PathBuf>,
    /// The subagent; `None`: the main agent.
    pub agent: Option<String>,
    /// The subagent's type.
    pub agent_type: Option<String>,
}

impl EventSource {
    /// Whether the agent is one of the client's own, such as for compaction: it has an id, but no type.
    pub fn is_client_helper(&self) -> bool {
        self.agent.is_some() && self.agent_type.as_deref().is_none_or(str::is_empty)
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum EventKind<'p> {
    /// A tool call is about to run.
    BeforeTool(ToolRequest<'p>),
    /// A tool call succeeded or failed.
    AfterTool {
        /// The call; `None` if Fusebox itself denied it, or it cannot be identified.
        call: Option<FinishedCall>,
        /// What it says about the subagent that it started, if any.
        slot: Option<SlotEvent>,
    },
    /// All tool calls of a response ended, before the next request.
    AfterBatch {
        /// The client's ids of all calls.
        ids: Vec<String>,
        /// The calls that can be identified.
        calls: Vec<FinishedCall>,
        /// Hashes of the ids of calls that start subagents.
        spawning: Vec<u64>,
        /// The ids of calls that never ran, because they were refused.
        refused: Vec<String>,
    },
    /// A tool call ended, and the client has no event between two requests (the plain protocol).
    AfterSingleTool {
        /// The cost of the response, if the payload has it.
        charge: Option<Box<Fact>>,
        /// The call.
        call: Option<FinishedCall>,
    },
    /// A prompt was submitted.
    Prompt {
        /// The prompt.
        prompt: Prompt,
        /// Whether this protocol supports prompt commands.
        may_command: bool,
    },
    /// A session started, was resumed, forked, cleared or compacted.
    SessionStart {
        /// The session's model, if the event has it.
        model: Option<String>,
        /// Whether the session continues a conversation: its own, or that of the session it was forked from. `None` if
        /// the event does not say.
        continues: Option<bool>,
    },
    /// The person selected another model.
    ModelSwitched {
        /// The new model, if the event has it.
        model: Option<String>,
    },
    /// The main agent ended its turn, or a subagent ended.
    TurnEnd {
        /// The agent's last text.
        last_text: Option<String>,
    },
    /// The conversation is about to be compacted.
    BeforeCompaction,
    /// The conversation was compacted.
    Compacted,
    /// The session ended.
    SessionEnd,
}

/// A requested tool call.
#[derive(Clone, Debug, Default)]
pub struct ToolRequest<'p> {
    /// The client's id of the call.
    pub id: Option<String>,
    /// The tool.
    pub tool: String,
    /// Its input as JSON; `None` if the event has none.
    pub input: Option<std::borrow::Cow<'p, str>>,
    /// The type of subagent to be started, if any.
    pub spawns: Option<String>,
    /// The text that will come back as a prompt, if the call schedules one.
    pub schedules: Option<String>,
}

impl ToolRequest<'_> {
    /// The call's signature and an excerpt of its input.
    pub fn signed_excerpt(&self) -> (String, String) {
        let input = self.input.as_deref().map(lenient_value).unwrap_or_default();
        (ToolSignature::new(&self.tool, &input).hex(), excerpt(&input))
    }
}

/// A finished tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedCall {
    /// The call for the breaker.
    pub named: NamedCall,
    /// An excerpt of its input: for the answer to the client only, never stored.
    pub excerpt: String,
}

impl FinishedCall {
    /// The call's signature and an excerpt of its input.
    pub fn signed_excerpt(&self) -> (String, String) {
        (self.named.call.signature.hex(), self.excerpt.clone())
    }
}

/// A prompt as the client passes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// The text.
    pub text: String,
    /// The client's id of the prompt.
    pub id: Option<String>,
    /// Who wrote it, if the client says so.
    pub source: Option<String>,
}

/// How the client's own prompts for a loop without words of its own begin.
const LOOP_HEADINGS: [&str; 2] = ["# Autonomous loop ", "# /loop tick "];

impl Prompt {
    /// Whether the client wrote the prompt itself, because a background task, an agent or a timer woke the session. The
    /// whole of such a prompt is in one of the client's tags, or it begins with one of its headings.
    pub fn is_client_made(&self) -> bool {
        let text = self.text.trim();
        let tag = text.strip_prefix('<').and_then(|rest| rest.split_once('>')).map(|(tag, _)| tag);
        // It may have attributes: who sent a message.
        let tag = tag.map(|tag| tag.split_once(' ').map_or(tag, |(name, _)| name));
        let is_tag =
            |tag: &str| tag.contains('-') && tag.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        let whole = tag.is_some_and(|tag| is_tag(tag) && text.ends_with(&format!("</{tag}>")));
        let ticks = LOOP_HEADINGS.iter().any(|heading| text.starts_with(heading));
        whole || ticks || self.source.as_deref().is_some_and(|source| source != "user")
    }
}

/// The id of a call in the breaker's history.
pub fn call_id(id: &str) -> u32 {
    tool_hash(id) as u32
}

/// A value as far as it can be read. A part that cannot be read (nested too deeply, a number out of range) becomes its
/// text, so that different parts stay different.
pub fn lenient_value(json: &str) -> Value {
    let part = |json: &str| serde_json::from_str(json).unwrap_or_else(|_| Value::from(json));
    serde_json::from_str(json).unwrap_or_else(|_| {
        let fields: Option<BTreeMap<String, &RawValue>> = serde_json::from_str(json).ok();
        fields.map_or_else(
            || part(json),
            |fields| fields.into_iter().map(|(name, raw)| (name, part(raw.get()))).collect(),
        )
    })
}

/// The most informative part of an input, shortened, on one line.
pub fn excerpt(input: &Value) -> String {
    /// Maximum length, in characters.
    const MAX: usize = 100;
    let telling = ["command", "file_path", "pattern", "url", "query", "prompt", "description"];
    let text = telling.iter().find_map(|name| input.get(name).and_then(Value::as_str));
    let text = text.map_or_else(|| input.to_string(), str::to_owned);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().filter(|c| !c.is_control()).take(MAX).collect();
    if short.len() < line.len() { short + "…" } else { short }
}
