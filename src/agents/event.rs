//! The events that hooks are started for, as values.

use std::path::PathBuf;

use serde_json::Value;

use super::Agent;
use crate::domain::breaker::circuit::NamedCall;
use crate::domain::breaker::signature::ToolSignature;
use crate::domain::throttle::SlotEvent;
use crate::transcript::{Fact, tool_hash};

/// One event: where it comes from, and what happened.
#[derive(Clone, Debug)]
pub struct HookEvent<'p> {
    /// Session, agent and folders.
    pub source: EventSource,
    /// What happened.
    pub kind: EventKind<'p>,
}

/// Where an event comes from, as the client says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSource {
    /// The agent whose session it is.
    pub client: &'static dyn Agent,
    /// The session.
    pub session: String,
    /// Its transcript.
    pub transcript: Option<PathBuf>,
    /// The folder that the client works in.
    pub cwd: Option<PathBuf>,
    /// The subagent; `None`: the main agent.
    pub agent: Option<String>,
    /// The subagent's type.
    pub agent_type: Option<String>,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum EventKind<'p> {
    /// A tool call is about to run.
    BeforeTool(ToolRequest<'p>),
    /// A tool call succeeded or failed.
    AfterTool {
        /// The call; `None`: a denial of Fusebox's own, or nothing that could be recognised.
        call: Option<FinishedCall>,
        /// What it says about the subagent that it started, if it did.
        slot: Option<SlotEvent>,
    },
    /// All tool calls of a response are over; the next request would go out now.
    AfterBatch {
        /// The client's ids of all calls.
        ids: Vec<String>,
        /// The calls.
        calls: Vec<FinishedCall>,
        /// Hashes of the ids of those that start subagents.
        spawning: Vec<u64>,
    },
    /// A tool call is over, and the client has no event between two requests (the plain protocol).
    AfterSingleTool {
        /// What the response cost, where the payload says so.
        charge: Option<Box<Fact>>,
        /// The call.
        call: Option<FinishedCall>,
    },
    /// A prompt came in. `may_command`: whether it may be one that Fusebox answers itself.
    Prompt {
        /// The prompt.
        prompt: Prompt,
        /// Whether this protocol has prompt commands.
        may_command: bool,
    },
    /// A session started, was resumed, forked, cleared or compacted.
    SessionStart {
        /// The model of the session, where the event names it.
        model: Option<String>,
    },
    /// The person chose another model.
    ModelSwitched {
        /// The model from now on, where the event names it.
        model: Option<String>,
    },
    /// The main agent ended its turn, or a subagent ended.
    TurnEnd {
        /// What it said last.
        last_text: Option<String>,
    },
    /// The conversation was compacted.
    Compacted,
    /// The session ended.
    SessionEnd,
}

/// A tool call that is asked for.
#[derive(Clone, Debug, Default)]
pub struct ToolRequest<'p> {
    /// The client's id for it.
    pub id: Option<String>,
    /// The tool.
    pub tool: String,
    /// Its input, as JSON; `None`: the event has none.
    pub input: Option<std::borrow::Cow<'p, str>>,
    /// The type of subagent that it would start, if it would.
    pub spawns: Option<String>,
}

impl ToolRequest<'_> {
    /// The excerpt of the input, with the call's signature.
    pub fn signed_excerpt(&self) -> (String, String) {
        let input = self.input.as_deref().and_then(|input| serde_json::from_str::<Value>(input).ok());
        let input = input.unwrap_or_default();
        (ToolSignature::new(&self.tool, &input).hex(), excerpt(&input))
    }
}

/// A tool call that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedCall {
    /// The call, as the breaker knows it.
    pub named: NamedCall,
    /// Its input, shortened: for the answer to the client only, never stored.
    pub excerpt: String,
}

impl FinishedCall {
    /// The excerpt of the input, with the call's signature.
    pub fn signed_excerpt(&self) -> (String, String) {
        (self.named.call.signature.hex(), self.excerpt.clone())
    }
}

/// A prompt as the client passes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// The text.
    pub text: String,
    /// The client's id for it.
    pub id: Option<String>,
    /// Who made it, if the client says so.
    pub source: Option<String>,
}

impl Prompt {
    /// Whether the client made it itself, because a background task or agent woke the session up. Such a prompt stands in
    /// one of the client's tags as a whole.
    pub fn is_client_made(&self) -> bool {
        let text = self.text.trim();
        let tag = text.strip_prefix('<').and_then(|rest| rest.split_once('>')).map(|(tag, _)| tag);
        let is_tag =
            |tag: &str| tag.contains('-') && tag.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        let whole = tag.is_some_and(|tag| is_tag(tag) && text.ends_with(&format!("</{tag}>")));
        whole || self.source.as_deref().is_some_and(|source| source != "user")
    }
}

/// The number by which the breaker's history knows a call.
pub fn call_id(id: &str) -> u32 {
    tool_hash(id) as u32
}

/// The most telling part of an input, shortened, on one line.
pub fn excerpt(input: &Value) -> String {
    /// Characters that are quoted.
    const MAX: usize = 100;
    let telling = ["command", "file_path", "pattern", "url", "query", "prompt", "description"];
    let text = telling.iter().find_map(|name| input.get(name).and_then(Value::as_str));
    let text = text.map_or_else(|| input.to_string(), str::to_owned);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().filter(|c| !c.is_control()).take(MAX).collect();
    if short.len() < line.len() { short + "…" } else { short }
}
