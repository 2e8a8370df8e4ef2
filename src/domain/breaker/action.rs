//! What a tool call does. Tools have other names with each agent, so the agent's folder says it.

use serde_json::Value;

use super::effect::CallEffect;

/// What a tool call does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Action {
    /// What it is for.
    pub effect: CallEffect,
    /// The part of its input that says what it is about.
    pub relevant_input: Value,
    /// How that is compared with the input of another call.
    pub comparison: InputComparison,
}

/// Which differences between the inputs of two calls are ignored. (Where one matters, the outcomes differ.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InputComparison {
    /// None.
    Exact,
    /// For a shell's command line: comments, spaces, numbers of attempts, the order of options.
    Command,
    /// For a text: spaces and numbers of attempts.
    Text,
    /// For search words: their order, too.
    Words,
    /// For anything else: comments, too.
    #[default]
    Code,
}
