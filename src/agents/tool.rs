//! What a tool call that is asked for could change, for the guard of Fusebox's own files.

/// What a call could change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolTarget {
    /// Nothing on this machine.
    Nothing,
    /// What this command line changes.
    Command(String),
    /// The file at this path.
    File(String),
    /// The agent's folder does not know the tool: its input is searched.
    Unknown,
}
