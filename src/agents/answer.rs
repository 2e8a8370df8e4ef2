//! What a hook answers, as a value: the texts are finished, only the wire format is missing.

/// The answer to one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The decision.
    pub decision: Decision,
    /// Lines for the agent.
    pub context: Vec<String>,
    /// Lines for the person.
    pub message: Vec<String>,
}

/// What is to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// It goes on.
    #[default]
    Allow,
    /// The tool call does not run; the agent may go on.
    Deny {
        /// Why, for the agent.
        reason: String,
    },
    /// The turn ends, and the tool call that is asked for does not run.
    Stop {
        /// Why, for the person.
        for_person: String,
        /// Why, for the agent whose call it was.
        for_agent: String,
    },
    /// The prompt is not sent to the model.
    Block {
        /// Why, for the person.
        reason: String,
    },
    /// The prompt is answered by Fusebox, in place of the model.
    Reply {
        /// The answer.
        text: String,
    },
}

/// What a hook writes and exits with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// For standard output: JSON, or nothing.
    pub stdout: Vec<u8>,
    /// For standard error: the reason of a block, or nothing.
    pub stderr: Vec<u8>,
    /// Whether the call is blocked by the exit code (the plain protocol).
    pub blocks: bool,
}
