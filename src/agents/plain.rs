//! The plain protocol, for programs other than Claude Code: `tool`, `arguments`, `response`, `sessionId`, no
//! transcript. A response is charged from standard input: once per call id, else once per payload hash. A warning is
//! context on standard output; a block is exit code 2 with the reason on standard error.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use serde_json::value::RawValue;

use super::answer::{Answer, Decision, Reply};
use super::capability::Capabilities;
use super::claude::output::Output;
use super::claude::payload::unique_id;
use super::claude::{ClaudeCode, results, tools};
use super::event::{
    EventKind, EventSource, FinishedCall, HookEvent, Prompt, ToolRequest, call_id, excerpt, lenient_value,
};
use super::hook::Hook;
use super::tool::ToolTarget;
use super::{Agent, InvalidPayload, ParsedEvent};
use crate::domain::breaker::call::Call;
use crate::domain::breaker::circuit::NamedCall;
use crate::domain::message::{Message, MessageKey, UsageSource};
use crate::domain::protection::Client;
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::platform::Env;
use crate::platform::process::Process;
use crate::transcript::{Fact, tool_hash};

/// A program that calls the hooks by the plain protocol. It runs beside Claude Code and uses the same tool names.
pub struct Plain;

impl Agent for Plain {
    fn name(&self) -> &'static str {
        "plain protocol"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { asks_before_tools: true, asks_before_prompts: true, ..Capabilities::default() }
    }

    /// Such programs start the executables themselves.
    fn registered_hooks(&self) -> &'static [(&'static str, Hook)] {
        &[]
    }

    fn parse_event<'p>(
        &self,
        hook: Hook,
        input: &'p str,
        now: Timestamp,
    ) -> Result<Option<ParsedEvent<'p>>, InvalidPayload> {
        let payload = PlainPayload::parse(input).ok_or(InvalidPayload)?;
        let (name, event) = match hook {
            Hook::PreToolUse => ("PreToolUse", payload.before_tool()),
            Hook::PostToolUse => ("PostToolUse", payload.after_tool(input, now)),
            Hook::PromptSubmit => ("UserPromptSubmit", payload.prompt()),
            Hook::SessionEvent => return Ok(None),
        };
        Ok(Some(ParsedEvent { name: name.to_owned(), event }))
    }

    fn reply(&self, event: &str, answer: Answer) -> Reply {
        match answer.decision {
            Decision::Deny { reason }
            | Decision::Stop { for_person: reason, .. }
            | Decision::Block { reason } => {
                Reply { stderr: (reason + "\n").into_bytes(), blocks: true, ..Reply::default() }
            }
            decision => {
                Reply { stdout: Output::bytes(event, &Answer { decision, ..answer }), ..Reply::default() }
            }
        }
    }

    fn tool_target(&self, tool: &str, input: &str) -> ToolTarget {
        ClaudeCode.tool_target(tool, input)
    }

    fn protected_client(&self) -> &'static Client {
        ClaudeCode.protected_client()
    }

    fn settings_paths(&self, env: &Env, projects: &[&Path]) -> (Vec<PathBuf>, Vec<PathBuf>) {
        ClaudeCode.settings_paths(env, projects)
    }

    fn is_attended(&self, env: &Env) -> bool {
        ClaudeCode.is_attended(env)
    }

    fn named_client_pid(&self, env: &Env) -> Option<u32> {
        ClaudeCode.named_client_pid(env)
    }

    fn calling_process<'a>(&self, env: &Env, ancestors: &'a [Process]) -> Option<&'a Process> {
        ClaudeCode.calling_process(env, ancestors)
    }
}

/// A payload of this protocol. It does not name its event; the executable determines it.
#[derive(Clone, Debug)]
struct PlainPayload<'p> {
    session: String,
    response: Value,
    fields: BTreeMap<String, &'p RawValue>,
}

impl<'p> PlainPayload<'p> {
    /// Parses standard input. A payload with a transcript is from a real client, and never accepted here.
    fn parse(text: &'p str) -> Option<Self> {
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
        let response = fields.get("response").map(|raw| lenient_value(raw.get())).unwrap_or_default();
        let mut payload = Self { session: String::new(), response, fields };
        payload.session = payload.text("sessionId").filter(|session| !session.is_empty())?;
        (!payload.fields.contains_key("transcript_path")).then_some(payload)
    }

    /// Before a tool call.
    fn before_tool(&self) -> HookEvent<'static> {
        let input = self.fields.get("arguments").map(|raw| {
            let read = serde_json::from_str::<Value>(raw.get());
            Cow::Owned(read.map_or_else(|_| raw.get().to_owned(), |input| input.to_string()))
        });
        let tool = self.text("tool").unwrap_or_default();
        self.event(EventKind::BeforeTool(ToolRequest { tool, input, ..ToolRequest::default() }))
    }

    /// After a tool call. `text`: the payload, which identifies a charge without an id.
    fn after_tool(&self, text: &str, now: Timestamp) -> HookEvent<'static> {
        self.event(EventKind::AfterSingleTool {
            charge: self.charge(text, now).map(Box::new),
            call: self.finished(now),
        })
    }

    /// A prompt was submitted.
    fn prompt(&self) -> HookEvent<'static> {
        let text = self.text("prompt").unwrap_or_default();
        self.event(EventKind::Prompt { prompt: Prompt { text, ..Prompt::default() }, may_command: false })
    }

    fn event(&self, kind: EventKind<'static>) -> HookEvent<'static> {
        let source = EventSource { client: &Plain, session: self.session.clone(), ..EventSource::default() };
        HookEvent { source, kind }
    }

    fn value(&self, name: &str) -> Option<Value> {
        self.fields.get(name).map(|raw| lenient_value(raw.get()))
    }

    fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.fields.get(name)?.get()).ok()
    }

    /// The call's id. An empty one is none.
    fn id(&self) -> Option<String> {
        let mut ids = ["tool_use_id", "call_id", "callId", "id"].iter().filter_map(|name| self.text(name));
        ids.find(|id| !id.is_empty())
    }

    /// The call for the breaker, if it can be identified. Without an id, each is a new call, whatever its content.
    fn finished(&self, now: Timestamp) -> Option<FinishedCall> {
        let id = self.id().unwrap_or_else(|| unique_id(now));
        let tool = self.text("tool").or(self.text("tool_name")).unwrap_or_default();
        let input = self.value("arguments").or(self.value("tool_input"));
        let input = input.filter(|input| Call::is_identifiable(&tool, input))?;
        let result = results::text(self.response.get("output").unwrap_or(&self.response));
        let failed = self.response.get("error").map(|error| !error.is_null()).filter(|failed| *failed);
        let call = tools::finished_call(call_id(&id), &tool, &input, &result, failed, "");
        Some(FinishedCall { named: NamedCall { call, tool }, excerpt: excerpt(&input) })
    }

    /// The charge, if the response reports its usage.
    fn charge(&self, payload: &str, now: Timestamp) -> Option<Fact> {
        let places = [&self.response["usage"], &self.response["metadata"], &self.response];
        let has_usage = |v: &&&Value| ["input_tokens", "output_tokens"].iter().any(|n| v[*n].is_number());
        let usage = places.iter().find(has_usage)?;
        let count = |name: &str| {
            let value = &usage[name];
            value.as_u64().or_else(|| value.as_f64().map(|f| f.max(0.0).round() as u64)).unwrap_or(0)
        };
        let id = self.id();
        let key = match &id {
            Some(id) => MessageKey::from_parts(&["call", &self.session, id]),
            None => MessageKey::from_parts(&["payload", payload]),
        };
        let mut message = Message::new(key, UsageSource::Response, now);
        let model = self.response["model"].as_str().map(str::to_owned);
        message.model = model.or(self.text("model")).unwrap_or_default();
        message.recorded = Usage {
            input: count("input_tokens"),
            output: count("output_tokens"),
            cache_write_5m: count("cache_creation_input_tokens"),
            cache_write_1h: 0,
            cache_read: count("cache_read_input_tokens"),
        }
        .capped();
        message.stopped = true;
        message.tools.insert(id.as_deref().map_or(key.short(), tool_hash));
        Some(Fact::Message(message))
    }
}
