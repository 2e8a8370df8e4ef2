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
    /// What that may differ in, and the call still be the same.
    pub comparison: InputComparison,
}

/// What the inputs of two calls may differ in, and the calls still be the same. (Where the difference matters, they come out
/// differently.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InputComparison {
    /// In nothing.
    Exact,
    /// A shell's command line: in comments, spaces, an attempt's number, the order of options.
    Command,
    /// A text: in spaces and an attempt's number.
    Text,
    /// Search words: in their order, too.
    Words,
    /// Anything else: in comments, too.
    #[default]
    Code,
}
