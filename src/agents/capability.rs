//! What an agent can do, and what Fusebox can guarantee with it.

/// What an agent can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// It writes every response to a file that hooks can read.
    pub transcripts: bool,
    /// It runs a hook before each tool call.
    pub asks_before_tools: bool,
    /// A hook can end the turn.
    pub ends_turns: bool,
    /// It reports that all calls of a response ended, before the next request.
    pub reports_batches: bool,
    /// It runs a hook before a prompt is sent.
    pub asks_before_prompts: bool,
    /// It names the subagent of each event.
    pub names_subagents: bool,
}

/// What Fusebox guarantees for an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guarantee {
    /// Every response is counted exactly once, with its exact tokens.
    Metered,
    /// At a limit, no tool runs.
    Denied,
    /// After the response that crosses a limit, each agent makes at most `wrap_up` + 1 more; after a stop, none.
    Stopped,
    /// While a session is paused, no prompt reaches the model.
    Paused,
    /// Loops are detected, separately for each subagent.
    LoopsStopped,
    /// Subagents are throttled.
    Throttled,
}

impl Capabilities {
    /// The guarantees that these capabilities allow. Source: `docs/guarantees.md`.
    pub fn guarantees(self) -> Vec<Guarantee> {
        let needs = [
            (Guarantee::Metered, self.transcripts),
            (Guarantee::Denied, self.asks_before_tools),
            (Guarantee::Stopped, self.transcripts && self.ends_turns && self.reports_batches),
            (Guarantee::Paused, self.asks_before_prompts),
            (Guarantee::LoopsStopped, self.asks_before_tools && self.names_subagents),
            (Guarantee::Throttled, self.asks_before_tools && self.names_subagents),
        ];
        needs.into_iter().filter(|(_, holds)| *holds).map(|(guarantee, _)| guarantee).collect()
    }
}

impl Guarantee {
    /// The guarantee in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Metered => "every response in the transcript is counted once",
            Self::Denied => "at a limit, tool calls are denied",
            Self::Stopped => "after the wrap-up, the turn is ended",
            Self::Paused => "while a session is paused, no prompt reaches the model",
            Self::LoopsStopped => "an agent stuck in a loop is warned, denied, then stopped",
            Self::Throttled => "subagents are throttled",
        }
    }
}
