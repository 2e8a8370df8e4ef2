//! What a tool call does. Tool names depend on the agent, so its folder decides.

use serde_json::Value;

use super::effect::CallEffect;

/// What a tool call does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Action {
    /// The purpose of the call.
    pub effect: CallEffect,
    /// The part of its input that says what the call is about.
    pub relevant_input: Value,
    /// How this part is compared with that of another call.
    pub comparison: InputComparison,
}

/// Which differences between the inputs of two calls are ignored. (If a difference matters, the outcomes differ.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InputComparison {
    /// None.
    Exact,
    /// In a shell command line: comments, spaces, attempt numbers, the order of options.
    Command,
    /// In text: spaces and attempt numbers.
    Text,
    /// In search words: also their order.
    Words,
    /// In anything else: also comments.
    #[default]
    Code,
}
