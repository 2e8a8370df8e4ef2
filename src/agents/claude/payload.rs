//! Parses payloads into events. Standard input is parsed once; unknown fields are ignored, and a field of an unexpected
//! type counts as absent.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{results, tools};
use crate::agents::event::{
    EventKind, EventSource, FinishedCall, HookEvent, Prompt, ToolRequest, call_id, excerpt, lenient_value,
};
use crate::domain::breaker::call::Call;
use crate::domain::breaker::circuit::NamedCall;
use crate::domain::throttle::SlotEvent;
use crate::domain::time::Timestamp;
use crate::transcript::tool_hash;

/// A hook's standard input: the fields used, of all events.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Payload<'p> {
    session_id: String,
    /// `PreToolUse`, …
    #[serde(default, deserialize_with = "lenient")]
    hook_event_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    transcript_path: Option<PathBuf>,
    #[serde(default, deserialize_with = "lenient")]
    cwd: Option<PathBuf>,
    #[serde(default, deserialize_with = "lenient")]
    agent_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    agent_type: Option<String>,

    // `PreToolUse`, `PostToolUse`, `PostToolUseFailure`: the fields of one `ToolCall`. (Serde cannot flatten borrowed
    // raw values.)
    #[serde(default, deserialize_with = "lenient")]
    tool_use_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    tool_name: Option<String>,
    #[serde(borrow, default)]
    tool_input: Option<&'p RawValue>,
    #[serde(borrow, default)]
    tool_response: Option<&'p RawValue>,
    #[serde(borrow, default)]
    error: Option<&'p RawValue>,
    #[serde(default, deserialize_with = "lenient")]
    is_interrupt: Option<bool>,

    /// `PostToolBatch`: all calls of one response.
    #[serde(borrow, default, deserialize_with = "lenient")]
    tool_calls: Option<Vec<&'p RawValue>>,

    /// `UserPromptSubmit`.
    #[serde(default, deserialize_with = "lenient")]
    prompt: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    prompt_id: Option<String>,
    /// Who wrote the prompt: 2.1.330 knows the field, but does not send it yet. `SessionStart`: how the session began.
    #[serde(default, deserialize_with = "lenient")]
    source: Option<String>,

    /// `SessionStart`: the model of the session.
    #[serde(default, deserialize_with = "lenient")]
    model: Option<String>,
    /// `PostModelSwitch`: the new model.
    #[serde(default, deserialize_with = "lenient")]
    to_model: Option<String>,

    /// `Stop`, `SubagentStop`: the agent's last text.
    #[serde(default, deserialize_with = "lenient")]
    last_assistant_message: Option<String>,
}

/// A finished tool call.
#[derive(Clone, Debug, Default, Deserialize)]
struct ToolCall<'p> {
    #[serde(default, deserialize_with = "lenient")]
    tool_use_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    tool_name: Option<String>,
    #[serde(borrow, default)]
    tool_input: Option<&'p RawValue>,
    #[serde(borrow, default)]
    tool_response: Option<&'p RawValue>,
    /// The error of a failed call.
    #[serde(borrow, default)]
    error: Option<&'p RawValue>,
    /// Whether a person interrupted the call.
    #[serde(default, deserialize_with = "lenient")]
    is_interrupt: Option<bool>,
}

/// A value of the expected type; `None` otherwise.
pub(super) fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let raw = <&'de RawValue>::deserialize(from)?;
    Ok(serde_json::from_str(raw.get()).ok())
}

/// The response of the Agent tool: the fields that tell whether the subagent goes on after the call.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AgentResponse {
    #[serde(default)]
    status: String,
    agent_id: Option<String>,
}

#[derive(Deserialize)]
struct AgentInput {
    subagent_type: Option<String>,
}

impl<'p> Payload<'p> {
    /// Parses standard input; `None` unless it is a JSON object with a session.
    pub fn parse(text: &'p str) -> Option<Self> {
        serde_json::from_str::<Self>(text).ok().filter(|payload| !payload.session_id.is_empty())
    }

    /// The event's name; empty if it has none.
    pub fn event_name(&self) -> &str {
        self.hook_event_name.as_deref().unwrap_or_default()
    }

    /// The event; `None` for events that Fusebox does not handle. `now` makes ids for calls without one.
    pub fn into_event(mut self, now: Timestamp) -> Option<HookEvent<'p>> {
        let source = EventSource {
            client: &super::ClaudeCode,
            session: std::mem::take(&mut self.session_id),
            transcript: self.transcript_path.take().filter(|path| !path.as_os_str().is_empty()),
            cwd: self.cwd.take(),
            agent: self.agent_id.take().filter(|agent| !agent.is_empty()),
            agent_type: self.agent_type.take(),
        };
        let kind = self.into_kind(source.cwd.as_deref(), now)?;
        Some(HookEvent { source, kind })
    }

    fn into_kind(self, cwd: Option<&Path>, now: Timestamp) -> Option<EventKind<'p>> {
        let event = self.hook_event_name.clone().unwrap_or_default();
        Some(match event.as_str() {
            "PreToolUse" => EventKind::BeforeTool(self.into_call().into_request()),
            event @ ("PostToolUse" | "PostToolUseFailure") => {
                let failed = event == "PostToolUseFailure";
                let call = self.into_call();
                EventKind::AfterTool { call: call.finished(Some(failed), cwd, now), slot: call.slot() }
            }
            "PostToolBatch" => {
                let calls = self.tool_calls.unwrap_or_default();
                let calls = calls.iter().filter_map(|call| serde_json::from_str(call.get()).ok());
                let calls: Vec<ToolCall> = calls.collect();
                let spawning = calls.iter().filter(|call| call.starts_agent());
                EventKind::AfterBatch {
                    ids: calls.iter().filter_map(|call| call.tool_use_id.clone()).collect(),
                    spawning: spawning.filter_map(|c| c.tool_use_id.as_deref().map(tool_hash)).collect(),
                    refused: calls
                        .iter()
                        .filter(|call| call.is_refused())
                        .filter_map(|call| call.tool_use_id.clone())
                        .collect(),
                    calls: calls.iter().filter_map(|call| call.finished(None, cwd, now)).collect(),
                }
            }
            "UserPromptSubmit" => {
                let (text, id, source) = (self.prompt.unwrap_or_default(), self.prompt_id, self.source);
                EventKind::Prompt { prompt: Prompt { text, id, source }, may_command: true }
            }
            "SessionStart" => EventKind::SessionStart {
                model: self.to_model.or(self.model),
                continues: match self.source.as_deref() {
                    // 2.1.197 calls a fork `resume`.
                    Some("fork" | "resume") => Some(true),
                    Some("startup" | "clear") => Some(false),
                    _ => None,
                },
            },
            "PostModelSwitch" => EventKind::ModelSwitched { model: self.to_model.or(self.model) },
            "Stop" | "SubagentStop" => EventKind::TurnEnd { last_text: self.last_assistant_message },
            // The last message of a failed turn is an error, which is on no line that counts.
            "StopFailure" => EventKind::TurnEnd { last_text: None },
            "PreCompact" => EventKind::BeforeCompaction,
            "PostCompact" => EventKind::Compacted,
            "SessionEnd" => EventKind::SessionEnd,
            _ => return None,
        })
    }

    fn into_call(self) -> ToolCall<'p> {
        let Self { tool_use_id, tool_name, tool_input, tool_response, error, is_interrupt, .. } = self;
        ToolCall { tool_use_id, tool_name, tool_input, tool_response, error, is_interrupt }
    }
}

impl<'p> ToolCall<'p> {
    fn into_request(self) -> ToolRequest<'p> {
        let (spawns, schedules) = (self.spawns(), self.schedules());
        ToolRequest {
            id: self.tool_use_id,
            tool: self.tool_name.unwrap_or_default(),
            input: self.tool_input.map(|raw| Cow::Borrowed(raw.get())),
            spawns,
            schedules,
        }
    }

    /// Whether its result says that it never ran.
    fn is_refused(&self) -> bool {
        let result = self.error.or(self.tool_response).map(|raw| lenient_value(raw.get()));
        results::is_refusal(&results::text(&result.unwrap_or_default()))
    }

    /// The call for the breaker; `None` if it is one of Fusebox's own denials, or cannot be identified. `failed`: what
    /// the event says; `cwd`: the working folder.
    fn finished(&self, failed: Option<bool>, cwd: Option<&Path>, now: Timestamp) -> Option<FinishedCall> {
        let tool = self.tool_name.as_deref()?;
        // A call with its own event counts even without an id. In a batch, only ids tell which calls are new.
        let id = match (&self.tool_use_id, failed) {
            (Some(id), _) => id.clone(),
            (None, Some(_)) => unique_id(now),
            (None, None) => return None,
        };
        let input = lenient_value(self.tool_input?.get());
        if !Call::is_identifiable(tool, &input) {
            return None;
        }
        let result = self.error.or(self.tool_response).map(|raw| lenient_value(raw.get()));
        let result = results::text(&result.unwrap_or_default());
        if results::is_own_denial(&result) {
            return None;
        }
        // Only the result of a shell depends on the folder.
        let folder =
            cwd.filter(|_| tool == tools::SHELL).map(|cwd| cwd.to_string_lossy()).unwrap_or_default();
        let call = tools::finished_call(call_id(&id), tool, &input, &result, failed, &folder);
        let call = Call { interrupted: self.is_interrupt.unwrap_or(false), ..call };
        Some(FinishedCall { named: NamedCall { call, tool: tool.to_owned() }, excerpt: excerpt(&input) })
    }

    /// What the end of the call says about the subagent that it started.
    fn slot(&self) -> Option<SlotEvent> {
        self.starts_agent().then_some(())?;
        let call = tool_hash(self.tool_use_id.as_deref()?);
        let response =
            self.tool_response.and_then(|raw| serde_json::from_str::<AgentResponse>(raw.get()).ok());
        // A teammate goes on after the call, like a background agent.
        let goes_on = ["async_launched", "teammate_spawned"];
        let launched = response.filter(|response| goes_on.contains(&response.status.as_str()));
        Some(match launched.and_then(|response| response.agent_id) {
            Some(agent) => SlotEvent::MovedToBackground { call, agent },
            None => SlotEvent::CallEnded { call },
        })
    }

    /// The text that the call schedules as a prompt, if any.
    fn schedules(&self) -> Option<String> {
        tools::scheduled_text(self.tool_name.as_deref()?, self.tool_input?.get())
    }

    /// Whether the call starts a subagent.
    fn starts_agent(&self) -> bool {
        self.tool_name.as_deref().is_some_and(tools::starts_agent)
    }

    /// The type of subagent that the call starts, if any.
    fn spawns(&self) -> Option<String> {
        let input = self.tool_input.filter(|_| self.starts_agent())?;
        let named =
            serde_json::from_str::<AgentInput>(input.get()).ok().and_then(|input| input.subagent_type);
        Some(named.unwrap_or_else(|| "general-purpose".to_owned()))
    }
}

/// A unique id for a call without one.
pub fn unique_id(now: Timestamp) -> String {
    format!("{} {}", now.0, std::process::id())
}
