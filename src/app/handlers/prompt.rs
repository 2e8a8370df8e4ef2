//! A prompt: answered by Fusebox, blocked, or sent to the model with a line about the budget.

use super::{HandlerOutput, answer, prompt_command, record_and_judge};
use crate::agents::answer::{Answer, Decision};
use crate::agents::event::Prompt;
use crate::app::fork;
use crate::app::messages::{Excerpts, notices, replies};
use crate::app::record_plan::{Observation, RecordPlan};
use crate::app::session::SessionContext;
use crate::domain::breaker::repetitions::requested_repetitions;
use crate::domain::prompt_command::parse;
use crate::domain::verdict::{HoldReason, Moment, Verdict};

/// Handles a prompt. `may_command`: whether this protocol supports prompt commands.
pub fn handle(ctx: &mut SessionContext, prompt: &Prompt, may_command: bool) -> HandlerOutput {
    if let Some(command) = parse(&prompt.text).filter(|_| may_command) {
        let text = match command {
            Ok(command) => prompt_command::execute(ctx, &command, prompt),
            Err(problem) => format!("Fusebox: {problem}.\n{}", replies::prompt_command_help()),
        };
        let message = ctx.take_warnings();
        let answer = Answer { decision: Decision::Reply { text }, message, ..Answer::default() };
        return HandlerOutput { answer, ..HandlerOutput::default() };
    }
    // A prompt that the client wrote itself does not reset the breaker.
    let observation = match prompt.is_client_made() {
        true => Observation::Nothing,
        false => Observation::Prompt(requested_repetitions(&prompt.text)),
    };
    let plan = RecordPlan { observation, ..RecordPlan::for_session(true) };
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
    if verdict == Verdict::Allow && !lines.is_empty() {
        output.answer.context.insert(0, lines.join("\n"));
    }
    output
}
