//! What the client understands as an answer.
//!
//! A stop is said in the way that held on every client tried: PreToolUse denies **and** does not continue (the call
//! would still run otherwise), the events after a call do not continue, a prompt is blocked. A Stop event is never
//! blocked: that would wake the agent.

use serde::Serialize;

use crate::app::admit::Answer;
use crate::app::brief;
use crate::domain::verdict::Verdict;

/// An answer in JSON.
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
    hook_specific_output: Option<Specific>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Specific {
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
    /// The answer to `event`; `None`: nothing to say.
    pub fn of(event: &str, answer: &Answer) -> Option<Self> {
        let join = |parts: &[String]| (!parts.is_empty()).then(|| parts.join("\n"));
        let mut output = Self { system_message: join(&answer.message), ..Self::default() };
        let mut specific = Specific { additional_context: join(&answer.context), ..Specific::default() };
        match &answer.verdict {
            // A prompt that is answered goes to no model.
            Verdict::Allow | Verdict::WrapUp(_) if answer.reply.is_some() => {
                output.decision = Some("block");
                output.reason.clone_from(&answer.reply);
                // The person has just typed it.
                specific.suppress_original_prompt = Some(true);
            }
            Verdict::Allow | Verdict::WrapUp(_) => {}
            Verdict::Deny { state, left } => {
                specific.permission_decision = Some("deny");
                specific.permission_decision_reason = Some(brief::denial(state, *left));
            }
            Verdict::Protect(reason) => {
                specific.permission_decision = Some("deny");
                specific.permission_decision_reason = Some(brief::protection(reason));
            }
            Verdict::DenySpawn(state) => {
                specific.permission_decision = Some("deny");
                specific.permission_decision_reason = Some(brief::spawn_denial(state));
            }
            Verdict::Stop(state) => {
                output.continues = Some(false);
                output.stop_reason = Some(brief::stop(state, answer.attended));
                if event == "PreToolUse" {
                    specific.permission_decision = Some("deny");
                    specific.permission_decision_reason = Some(brief::stop(state, false));
                }
                // The turn is over: there is nobody left to read it.
                specific.additional_context = None;
            }
            Verdict::Block(state) => {
                output.decision = Some("block");
                output.reason = Some(brief::stop(state, answer.attended));
                specific.additional_context = None;
            }
        }
        if specific != Specific::default() {
            output.hook_specific_output = Some(Specific { hook_event_name: event.to_owned(), ..specific });
        }
        (output != Self::default()).then_some(output)
    }
}
