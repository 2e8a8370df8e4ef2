//! Scripts for the scripted Messages API: its answers to each kind of caller, turn by turn.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::usage::Usage;

/// An HTTP error instead of a message.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// `error.type`.
    pub kind: String,
    /// `error.message`.
    pub message: String,
    /// Value of the `retry-after` header, in seconds.
    pub retry_after: Option<u64>,
}

/// One answer of the API. Texts may contain `@N@` (number of the request) and `@PROJECT@`.
#[derive(Clone, Debug)]
pub struct Turn {
    pub(super) content: Vec<Value>,
    pub(super) usage: Usage,
    pub(super) terms: Value,
    pub(super) model: Option<String>,
    pub(super) delay_ms: u64,
    pub(super) chunk_delay_ms: u64,
    pub(super) before_message_delta_ms: u64,
    pub(super) start_output_tokens: u64,
    pub(super) cut_before: Option<&'static str>,
    pub(super) until_file: Option<String>,
    pub(super) after_main: usize,
    pub(super) error: Option<ApiError>,
}

impl Turn {
    fn empty() -> Self {
        Self {
            content: Vec::new(),
            usage: Usage::new(10, 5),
            terms: json!({}),
            model: None,
            delay_ms: 0,
            chunk_delay_ms: 0,
            before_message_delta_ms: 0,
            start_output_tokens: 1,
            cut_before: None,
            until_file: None,
            after_main: 0,
            error: None,
        }
    }

    /// A turn that starts with a text block.
    pub fn text(text: &str) -> Self {
        Self::empty().and_text(text)
    }

    /// A turn that starts with a thinking block.
    pub fn thinking(text: &str) -> Self {
        Self::empty().and_thinking(text)
    }

    /// A turn that starts with a tool call.
    pub fn tool(name: &str, input: Value) -> Self {
        Self::empty().and_tool(name, input)
    }

    /// A call of the Bash tool.
    pub fn bash(command: &str) -> Self {
        Self::empty().and_bash(command)
    }

    /// A call of the Agent tool for the scripted subagent `name`.
    pub fn agent(name: &str, background: bool) -> Self {
        Self::empty().and_agent(name, background)
    }

    /// An error, e.g. `Turn::error(529, "overloaded_error", "Overloaded")`.
    pub fn error(status: u16, kind: &str, message: &str) -> Self {
        let e = ApiError { status, kind: kind.into(), message: message.into(), retry_after: None };
        Self { error: Some(e), ..Self::empty() }
    }

    /// Appends a text block.
    pub fn and_text(mut self, text: &str) -> Self {
        self.content.push(json!({"type": "text", "text": text}));
        self
    }

    /// Appends a thinking block.
    pub fn and_thinking(mut self, text: &str) -> Self {
        self.content.push(json!({"type": "thinking", "thinking": text}));
        self
    }

    /// Appends a tool call; the API creates a new id for each call.
    pub fn and_tool(mut self, name: &str, input: Value) -> Self {
        self.content.push(json!({"type": "tool_use", "name": name, "input": input}));
        self
    }

    /// Appends a call of the Bash tool.
    pub fn and_bash(self, command: &str) -> Self {
        self.and_tool("Bash", json!({"command": command, "description": "scripted"}))
    }

    /// Appends a call of the Agent tool; `Script::agent(name, ..)` sets that subagent's turns.
    pub fn and_agent(self, name: &str, background: bool) -> Self {
        let input = json!({
            "description": format!("helper {name}"),
            "prompt": format!("[[agent:{name}]] do your part"),
            "subagent_type": "general-purpose",
            "run_in_background": background,
        });
        self.and_tool("Agent", input)
    }

    /// Sets the usage (default: 10 input, 5 output).
    pub const fn usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    /// Adds fields to the response's `usage`, such as the speed.
    pub fn terms(mut self, fields: Value) -> Self {
        self.terms = fields;
        self
    }

    /// Answers with another model name than requested.
    pub fn model(mut self, model: &str) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Waits before the first byte.
    pub const fn delay_ms(mut self, ms: u64) -> Self {
        self.delay_ms = ms;
        self
    }

    /// Waits before each event of the stream.
    pub const fn chunk_delay_ms(mut self, ms: u64) -> Self {
        self.chunk_delay_ms = ms;
        self
    }

    /// Waits after the last content block, before the event with the final usage.
    pub const fn before_message_delta_ms(mut self, ms: u64) -> Self {
        self.before_message_delta_ms = ms;
        self
    }

    /// Sets `output_tokens` of the `message_start` event (default 1).
    pub const fn start_output_tokens(mut self, n: u64) -> Self {
        self.start_output_tokens = n;
        self
    }

    /// Closes the connection just before the first event of this name, such as `message_delta`.
    pub const fn cut_before(mut self, event: &'static str) -> Self {
        self.cut_before = Some(event);
        self
    }

    /// Answers only once this file exists (with a time limit): order without timing.
    pub fn until_file(mut self, path: &str) -> Self {
        self.until_file = Some(path.into());
        self
    }

    /// Answers only once the main loop has had this many answers (with a time limit).
    pub const fn after_main(mut self, answers: usize) -> Self {
        self.after_main = answers;
        self
    }

    /// Adds a `retry-after` header to an error.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        if let Some(e) = &mut self.error {
            e.retry_after = Some(seconds);
        }
        self
    }
}

/// The API's answers to the main loop, each subagent and everything else.
#[derive(Clone, Debug)]
pub struct Script {
    main: Vec<Turn>,
    agents: BTreeMap<String, Vec<Turn>>,
    compact: Vec<Turn>,
    side: Turn,
    loop_main: bool,
    loop_agents: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// A script without turns: every caller gets a short text and is done.
    pub fn new() -> Self {
        Self {
            main: Vec::new(),
            agents: BTreeMap::new(),
            compact: vec![
                Turn::text("<analysis>x</analysis><summary>A made-up summary.</summary>")
                    .usage(Usage::new(4000, 300)),
            ],
            side: Turn::text(r#"{"title": "A made-up title", "isNewTopic": false}"#).usage(Usage::new(50, 7)),
            loop_main: false,
            loop_agents: false,
        }
    }

    /// Appends a turn of the main loop.
    pub fn main(mut self, turn: Turn) -> Self {
        self.main.push(turn);
        self
    }

    /// Sets the turns of the subagent whose prompt contains `[[agent:NAME]]`.
    pub fn agent(mut self, name: &str, turns: impl IntoIterator<Item = Turn>) -> Self {
        self.agents.insert(name.into(), turns.into_iter().collect());
        self
    }

    /// Replaces the answer to compaction calls.
    pub fn compact(mut self, turn: Turn) -> Self {
        self.compact = vec![turn];
        self
    }

    /// Replaces the answer to side calls (such as titles).
    pub fn side(mut self, turn: Turn) -> Self {
        self.side = turn;
        self
    }

    /// The main loop never ends: its last turn is repeated.
    pub const fn loop_last_main(mut self) -> Self {
        self.loop_main = true;
        self
    }

    /// No subagent ever ends: its last turn is repeated.
    pub const fn loop_last_agents(mut self) -> Self {
        self.loop_agents = true;
        self
    }

    /// The answer to call `index` (from 0) of callers of this kind.
    pub(super) fn turn(&self, kind: &str, index: usize) -> Turn {
        let (turns, again) = if let Some(name) = kind.strip_prefix("agent:") {
            (self.agents.get(name).map_or(&[][..], Vec::as_slice), self.loop_agents)
        } else {
            match kind {
                "main" => (self.main.as_slice(), self.loop_main),
                "compact" => (self.compact.as_slice(), true),
                _ => (std::slice::from_ref(&self.side), true),
            }
        };
        match (turns.get(index), turns.last()) {
            (Some(turn), _) => turn.clone(),
            (None, Some(last)) if again => last.clone(),
            _ => Turn::text("script exhausted: done").usage(Usage::new(11, 3)),
        }
    }
}
