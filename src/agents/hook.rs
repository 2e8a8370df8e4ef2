//! The executables that hooks start.

use super::event::EventKind;

/// The executable of the status line.
pub const STATUS_LINE: &str = "status-line";

/// The names of all executables that an agent starts.
pub fn programs() -> impl Iterator<Item = &'static str> {
    Hook::ALL.into_iter().map(Hook::name).chain([STATUS_LINE])
}

/// A hook executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// `pre-tool-use`: before a tool call.
    PreToolUse,
    /// `post-tool-use`: after tool calls.
    PostToolUse,
    /// `prompt-submit`: before a prompt.
    PromptSubmit,
    /// `session-event`: a session started or ended, a turn ended, a conversation is or was compacted, the model was
    /// switched.
    SessionEvent,
}

impl Hook {
    /// All executables.
    pub const ALL: [Self; 4] = [Self::PreToolUse, Self::PostToolUse, Self::PromptSubmit, Self::SessionEvent];

    /// The executable's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreToolUse => "pre-tool-use",
            Self::PostToolUse => "post-tool-use",
            Self::PromptSubmit => "prompt-submit",
            Self::SessionEvent => "session-event",
        }
    }

    /// The executable with this file name.
    pub fn from_file_name(program: &str) -> Option<Self> {
        let name = program.rsplit('/').next().unwrap_or(program);
        Self::ALL.into_iter().find(|hook| hook.name() == name)
    }

    /// Whether the executable is registered for events of this kind.
    pub fn handles(self, kind: &EventKind) -> bool {
        match kind {
            EventKind::BeforeTool(_) => self == Self::PreToolUse,
            EventKind::AfterTool { .. }
            | EventKind::AfterSingleTool { .. }
            | EventKind::AfterBatch { .. } => self == Self::PostToolUse,
            EventKind::Prompt { .. } => self == Self::PromptSubmit,
            EventKind::SessionStart { .. }
            | EventKind::ModelSwitched { .. }
            | EventKind::TurnEnd { .. }
            | EventKind::BeforeCompaction
            | EventKind::Compacted
            | EventKind::SessionEnd => self == Self::SessionEvent,
        }
    }
}
