//! The answer of a hook as a value: final texts, before encoding for the client.

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

/// The decision about an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// Continue.
    #[default]
    Allow,
    /// The tool call does not run; the agent may continue.
    Deny {
        /// The reason, for the agent.
        reason: String,
    },
    /// The turn ends, and a requested tool call does not run.
    Stop {
        /// The reason, for the person.
        for_person: String,
        /// The reason, for the agent that made the call.
        for_agent: String,
    },
    /// The prompt is not sent to the model.
    Block {
        /// The reason, for the person.
        reason: String,
    },
    /// Fusebox answers the prompt instead of the model.
    Reply {
        /// The answer.
        text: String,
    },
}

/// The output of a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// For standard output: JSON, or nothing.
    pub stdout: Vec<u8>,
    /// For standard error: the reason for a block, or nothing.
    pub stderr: Vec<u8>,
    /// Whether the exit code blocks the call (the plain protocol).
    pub blocks: bool,
}
