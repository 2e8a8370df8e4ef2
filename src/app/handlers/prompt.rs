//! A prompt: answered by Fusebox, blocked, or sent to the model with a line about the budget.

use std::path::Path;

use super::{HandlerOutput, answer, prompt_command, record_and_judge};
use crate::agents::answer::{Answer, Decision};
use crate::agents::event::Prompt;
use crate::app::fork;
use crate::app::messages::{Excerpts, notices, replies};
use crate::app::record::record_and_cache;
use crate::app::record_plan::{Observation, RecordPlan};
use crate::app::session::SessionContext;
use crate::app::unseen::Heard;
use crate::domain::breaker::repetitions::requested_repetitions;
use crate::domain::verdict::{HoldReason, Moment, Verdict};

/// Handles a prompt. `may_command`: whether this protocol supports prompt commands.
pub fn handle(ctx: &mut SessionContext, prompt: &Prompt, may_command: bool) -> HandlerOutput {
    if let Some(text) = may_command.then(|| prompt_command::reply(ctx, prompt)).flatten() {
        let message = ctx.take_warnings();
        let answer = Answer { decision: Decision::Reply { text }, message, ..Answer::default() };
        return HandlerOutput { answer, ..HandlerOutput::default() };
    }
    // A prompt that the client or the agent wrote does not reset the breaker.
    let scheduled = is_scheduled(ctx, &prompt.text);
    let observation = match scheduled || prompt.is_client_made() {
        true => Observation::Nothing,
        false => Observation::Prompt(requested_repetitions(&prompt.text)),
    };
    let plan = RecordPlan { observation, heard: Heard::Prompt, ..RecordPlan::for_session(true) };
    let (recorded, mut verdict) = record_and_judge(ctx, &plan, None, Moment::Prompt);
    if verdict == Verdict::Allow
        && let Some(state) = fork::blocking_origin(ctx)
    {
        fork::note_blocked(ctx, &recorded.states, &state);
        verdict = Verdict::Block(HoldReason::Budget(state));
    }
    let mut lines = notices::prompt_lines(&recorded.states, &ctx.source.session, ctx.config.prompt_line);
    if let Some(breaker) = &recorded.circuit {
        lines.extend(notices::circuit_line(breaker, &ctx.config.breaker, ctx.config.prompt_line));
    }
    let mut output = answer(ctx, recorded, &verdict, &Excerpts::default());
    if scheduled && ctx.cache.circuit("").is_some() {
        output.answer.message.push(replies::scheduled_words());
    }
    if verdict == Verdict::Allow && !lines.is_empty() {
        output.answer.context.insert(0, lines.join("\n"));
    }
    output
}

/// Whether the agent scheduled this prompt: the words are those that it gave to a tool. (A person who types the very
/// same words cannot be told from it.)
fn is_scheduled(ctx: &mut SessionContext, text: &str) -> bool {
    // After the loss of the cache, only the transcript knows.
    let unread = |path: &Path| !ctx.cache.positions.contains_key(path) && path.is_file();
    if ctx.transcript().is_some_and(unread) {
        record_and_cache(ctx, &RecordPlan::for_session(false));
    }
    let mut positions = ctx.cache.positions.values();
    ctx.cache.scheduled.contains(text) || positions.any(|position| position.scheduled.contains(text))
}
