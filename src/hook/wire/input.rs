//! What the client sends: the fields that are used, by event. Unknown fields are ignored, unknown events say nothing.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::app::admit::call_id;
use crate::app::attendance::Prompt;
use crate::app::guard;
use crate::domain::breaker::call::Call;
use crate::domain::breaker::circuit::NamedCall;
use crate::domain::breaker::outcome;
use crate::domain::breaker::signature::ToolSignature;
use crate::domain::throttle::SlotEvent;
use crate::domain::time::Timestamp;
use crate::transcript::line::tool_hash;

/// What every event carries.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Common {
    /// `PreToolUse`, …
    #[serde(default)]
    pub hook_event_name: String,
    session_id: String,
    #[serde(default)]
    transcript_path: Option<PathBuf>,
    #[serde(default)]
    cwd: Option<PathBuf>,
    #[serde(default)]
    agent_id: Option<String>,
    #[serde(default)]
    agent_type: Option<String>,
}

impl Common {
    /// Who calls.
    pub fn call(self) -> guard::Call {
        guard::Call {
            session: self.session_id,
            transcript: self.transcript_path.filter(|p| !p.as_os_str().is_empty()),
            cwd: self.cwd,
            agent: self.agent_id.filter(|a| !a.is_empty()),
            agent_type: self.agent_type,
            spawns: None,
        }
    }

    /// Whether it names a session.
    pub fn is_usable(&self) -> bool {
        !self.session_id.is_empty()
    }
}

/// `PreToolUse`, `PostToolUse`, `PostToolUseFailure`, and each call of a `PostToolBatch`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ToolCall<'a> {
    /// Which call.
    #[serde(default)]
    pub tool_use_id: Option<String>,
    /// The tool.
    #[serde(default)]
    pub tool_name: Option<String>,
    /// Taken apart by who needs it, and only then: it may be large.
    #[serde(borrow, default)]
    tool_input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_response: Option<&'a RawValue>,
    /// What a failed call came to.
    #[serde(default)]
    error: Option<String>,
    /// Whether a person broke it off.
    #[serde(default)]
    is_interrupt: bool,
}

/// A call that is over, as the breaker knows it, and its input as it may be quoted.
pub struct Over {
    /// The call.
    pub named: NamedCall,
    /// Its input, shortened.
    pub quoted: String,
}

/// Characters of an input that are quoted.
const QUOTED: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Launched {
    #[serde(default)]
    status: String,
    agent_id: Option<String>,
}

#[derive(Deserialize)]
struct AgentInput {
    subagent_type: Option<String>,
}

impl ToolCall<'_> {
    /// The call as the breaker knows it. `failed`: what the event says; `place`: the working folder. `None`: a denial of
    /// Fusebox itself, or nothing that could be recognised.
    pub fn over(&self, failed: Option<bool>, place: &str, now: Timestamp) -> Option<Over> {
        let tool = self.tool_name.as_deref()?;
        // A call that its own event tells of is one, with an id or without; of a response's calls only ids tell which are new.
        let id = match (&self.tool_use_id, failed) {
            (Some(id), _) => id.clone(),
            (None, Some(_)) => unique(now),
            (None, None) => return None,
        };
        let parse =
            |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
        let input = parse(self.tool_input).filter(|input| Call::is_one(tool, input))?;
        let result = match &self.error {
            Some(error) => error.clone(),
            None => outcome::text(&parse(self.tool_response).unwrap_or_default()),
        };
        if outcome::is_own_denial(&result) {
            return None;
        }
        // Only a shell's result depends on the folder.
        let place = if tool == "Bash" { place } else { "" };
        let call = Call::new(call_id(&id), tool, &input, &result, failed, place);
        let named =
            NamedCall { call: Call { interrupted: self.is_interrupt, ..call }, tool: tool.to_owned() };
        Some(Over { named, quoted: quoted(&input) })
    }

    /// Its input as it may be quoted, with its signature.
    pub fn quote(&self) -> (String, String) {
        let input =
            self.tool_input.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok()).unwrap_or_default();
        let tool = self.tool_name.as_deref().unwrap_or_default();
        (ToolSignature::of(tool, &input).hex(), quoted(&input))
    }

    /// What it says of subagents, now that it is over (`PostToolUse`, `PostToolUseFailure`).
    pub fn slot(&self) -> Option<SlotEvent> {
        self.starts_agent().then_some(())?;
        let call = tool_hash(self.tool_use_id.as_deref()?);
        let launched = self.tool_response.and_then(|raw| serde_json::from_str::<Launched>(raw.get()).ok());
        match launched
            .filter(|launched| launched.status == "async_launched")
            .and_then(|launched| launched.agent_id)
        {
            Some(agent) => Some(SlotEvent::Bound { call, agent }),
            None => Some(SlotEvent::Ended { call }),
        }
    }

    /// Whether it starts a subagent. (`Task` is what older clients call the tool.)
    pub fn starts_agent(&self) -> bool {
        matches!(self.tool_name.as_deref(), Some("Agent" | "Task"))
    }

    /// The tool, and its input as JSON.
    pub fn tool(&self) -> Option<(&str, &str)> {
        Some((self.tool_name.as_deref()?, self.tool_input?.get()))
    }

    /// The type of subagent that this call starts, if it does.
    pub fn spawns(&self) -> Option<String> {
        let input = self.tool_input.filter(|_| self.starts_agent())?;
        let named =
            serde_json::from_str::<AgentInput>(input.get()).ok().and_then(|input| input.subagent_type);
        Some(named.unwrap_or_else(|| "general-purpose".to_owned()))
    }
}

/// What stands in place of an id that a call has not: no other call has it.
pub fn unique(now: Timestamp) -> String {
    format!("{} {}", now.0, std::process::id())
}

/// What says most of an input, shortened, on one line.
pub fn quoted(input: &Value) -> String {
    let telling = ["command", "file_path", "pattern", "url", "query", "prompt", "description"];
    let text = telling.iter().find_map(|name| input.get(name).and_then(Value::as_str));
    let text = text.map_or_else(|| input.to_string(), str::to_owned);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().filter(|c| !c.is_control()).take(QUOTED).collect();
    if short.len() < line.len() { short + "…" } else { short }
}

/// `UserPromptSubmit`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct UserPrompt {
    #[serde(default)]
    prompt: Option<String>,
    #[serde(default)]
    prompt_id: Option<String>,
    /// Who made it. 2.1.330 knows the field, and does not send it yet.
    #[serde(default)]
    source: Option<String>,
}

impl From<UserPrompt> for Prompt {
    fn from(prompt: UserPrompt) -> Self {
        Self { text: prompt.prompt.unwrap_or_default(), id: prompt.prompt_id, source: prompt.source }
    }
}

/// `SessionStart`, `PostModelSwitch`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ModelChoice {
    /// The model of the session.
    #[serde(default)]
    model: Option<String>,
    /// The model that was switched to.
    #[serde(default)]
    to_model: Option<String>,
}

impl ModelChoice {
    /// The model from now on, where the event says so.
    pub fn chosen(self) -> Option<String> {
        self.to_model.or(self.model)
    }
}

/// `PostToolBatch`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ToolBatch<'a> {
    /// All calls of one response.
    #[serde(borrow, default)]
    pub tool_calls: Vec<ToolCall<'a>>,
}

/// `Stop`, `StopFailure`, `SubagentStop`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct TurnEnd {
    /// What the agent said last.
    #[serde(default)]
    pub last_assistant_message: Option<String>,
}
