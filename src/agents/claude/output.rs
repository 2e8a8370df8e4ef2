//! Encodes answers for the client.
//!
//! A stop is encoded in the form that worked on every client tested: PreToolUse denies **and** does not continue
//! (otherwise the call still runs), events after a call do not continue, a prompt is blocked. A Stop event is never
//! blocked: that would wake the agent.

use serde::Serialize;

use crate::agents::answer::{Answer, Decision};

/// An answer as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    continues: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hook_specific_output: Option<HookSpecificOutput>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct HookSpecificOutput {
    hook_event_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    permission_decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permission_decision_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_context: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suppress_original_prompt: Option<bool>,
}

impl Output {
    /// The answer to `event`; `None` if there is nothing to say.
    pub fn new(event: &str, answer: &Answer) -> Option<Self> {
        let join = |parts: &[String]| (!parts.is_empty()).then(|| parts.join("\n"));
        let mut output = Self { system_message: join(&answer.message), ..Self::default() };
        let mut specific =
            HookSpecificOutput { additional_context: join(&answer.context), ..HookSpecificOutput::default() };
        match &answer.decision {
            Decision::Allow => {}
            Decision::Deny { reason } => {
                specific.permission_decision = Some("deny");
                specific.permission_decision_reason = Some(reason.clone());
            }
            Decision::Stop { for_person, for_agent } => {
                output.continues = Some(false);
                output.stop_reason = Some(for_person.clone());
                if event == "PreToolUse" {
                    specific.permission_decision = Some("deny");
                    specific.permission_decision_reason = Some(for_agent.clone());
                }
                // The turn is over, so no agent would read it.
                specific.additional_context = None;
            }
            Decision::Block { reason } => {
                output.decision = Some("block");
                output.reason = Some(reason.clone());
                specific.additional_context = None;
            }
            Decision::Reply { text } => {
                output.decision = Some("block");
                output.reason = Some(text.clone());
                // The person has just typed the prompt.
                specific.suppress_original_prompt = Some(true);
            }
        }
        if specific != HookSpecificOutput::default() {
            output.hook_specific_output =
                Some(HookSpecificOutput { hook_event_name: event.to_owned(), ..specific });
        }
        (output != Self::default()).then_some(output)
    }

    /// The JSON for standard output; empty if there is nothing to say.
    pub fn bytes(event: &str, answer: &Answer) -> Vec<u8> {
        Self::new(event, answer).and_then(|output| serde_json::to_vec(&output).ok()).unwrap_or_default()
    }
}
