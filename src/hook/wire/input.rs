//! What the client sends: the fields that are used, by event. Unknown fields are ignored, unknown events say nothing.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::app::attendance::Prompt;
use crate::app::guard::Call;

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
    pub fn call(self) -> Call {
        Call {
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

/// `PreToolUse`, and each call of a `PostToolBatch`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ToolCall<'a> {
    /// Which call.
    #[serde(default)]
    pub tool_use_id: Option<String>,
    #[serde(default)]
    tool_name: Option<String>,
    /// Taken apart by who needs it, and only then: it may be large.
    #[serde(borrow, default)]
    tool_input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct AgentInput {
    subagent_type: Option<String>,
}

impl ToolCall<'_> {
    /// The tool, and its input as JSON.
    pub fn tool(&self) -> Option<(&str, &str)> {
        Some((self.tool_name.as_deref()?, self.tool_input?.get()))
    }

    /// The type of subagent that this call starts, if it does. (`Task` is what older clients call the tool.)
    pub fn spawns(&self) -> Option<String> {
        let starts = matches!(self.tool_name.as_deref(), Some("Agent" | "Task"));
        let input = self.tool_input.filter(|_| starts)?;
        let named =
            serde_json::from_str::<AgentInput>(input.get()).ok().and_then(|input| input.subagent_type);
        Some(named.unwrap_or_else(|| "general-purpose".to_owned()))
    }
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
