//! A prompt came in: it is answered by Fusebox, blocked, or goes to the model with a line that says where the budget stands.

use super::{Handled, Quotes, answer, prompt_command, record_and_judge};
use crate::agents::answer::{Answer, Decision};
use crate::agents::event::Prompt;
use crate::app::brief;
use crate::app::record_plan::{Observation, RecordPlan};
use crate::app::session::SessionContext;
use crate::domain::breaker::repetitions::requested_repetitions;
use crate::domain::prompt_command::parse;
use crate::domain::verdict::{Moment, Verdict};

/// A prompt came in. `may_command`: whether this protocol has prompt commands.
pub fn handle(ctx: &mut SessionContext, prompt: &Prompt, may_command: bool) -> Handled {
    if let Some(command) = parse(&prompt.text).filter(|_| may_command) {
        let text = match command {
            Ok(command) => prompt_command::obey(ctx, &command, prompt),
            Err(problem) => format!("Fusebox: {problem}.\n{}", brief::prompt_commands()),
        };
        let message = ctx.take_warnings();
        let answer = Answer { decision: Decision::Reply { text }, message, ..Answer::default() };
        return Handled { answer, ..Handled::default() };
    }
    // A prompt that the client made itself does not start the breaker afresh.
    let observation = match prompt.is_client_made() {
        true => Observation::Nothing,
        false => Observation::Prompt(requested_repetitions(&prompt.text)),
    };
    let plan = RecordPlan { observation, ..RecordPlan::for_session(true) };
    let (recorded, verdict) = record_and_judge(ctx, &plan, None, Moment::Prompt);
    let mut lines = brief::prompt_lines(&recorded.states, &ctx.source.session, ctx.config.brief);
    if let Some(breaker) = &recorded.circuit {
        lines.extend(brief::circuit_line(breaker, &ctx.config.breaker, ctx.config.brief));
    }
    let mut handled = answer(ctx, recorded, &verdict, &Quotes::new());
    if verdict == Verdict::Allow && !lines.is_empty() {
        handled.answer.context.insert(0, lines.join("\n"));
    }
    handled
}
