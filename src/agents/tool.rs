//! What a requested tool call could change, for the protection of Fusebox's own files.

/// What a call could change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolTarget {
    /// Nothing on this machine.
    Nothing,
    /// Whatever this command line changes.
    Command(String),
    /// The file at this path.
    File(String),
    /// Nothing, but it reads the file at this path, or what is below it.
    ReadFile(String),
    /// An unknown tool, or an input without the usual fields: it is searched.
    Unknown,
    /// The input cannot be read.
    Unreadable,
}
