//! What the client sends: the fields that are used, by event. Unknown fields are ignored, unknown events say nothing.

use std::path::PathBuf;

use serde::Deserialize;

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
        }
    }

    /// Whether it names a session.
    pub fn is_usable(&self) -> bool {
        !self.session_id.is_empty()
    }
}

/// `PreToolUse`, `PostToolUse`, `PostToolUseFailure`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ToolCall {
    /// Which call.
    #[serde(default)]
    pub tool_use_id: Option<String>,
}

/// `PostToolBatch`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ToolBatch {
    /// All calls of one response.
    #[serde(default)]
    pub tool_calls: Vec<ToolCall>,
}

/// `Stop`, `StopFailure`, `SubagentStop`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct TurnEnd {
    /// What the agent said last.
    #[serde(default)]
    pub last_assistant_message: Option<String>,
}
