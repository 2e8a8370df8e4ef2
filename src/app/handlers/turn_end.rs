//! The main agent ended its turn, or a subagent ended. There may be no later hook, so this one waits for the last line.
//! If something holds the agent back, its turn is stopped: another program's hook may want it to go on.

use super::{HandlerOutput, answer, record_and_judge};
use crate::agents::answer::Decision;
use crate::app::messages::Excerpts;
use crate::app::record_plan::RecordPlan;
use crate::app::session::SessionContext;
use crate::app::transcript_reader::Awaited;
use crate::app::unseen::Heard;
use crate::domain::throttle::SlotEvent;
use crate::domain::verdict::{Moment, Verdict};

/// A turn ended. `last_text`: the agent's last text.
pub fn handle(ctx: &mut SessionContext, last_text: Option<&str>) -> HandlerOutput {
    let stopped = ctx.source.agent.clone().filter(|_| ctx.config.throttle.is_some());
    let slot_events = stopped.map(|agent| SlotEvent::AgentEnded { agent }).into_iter().collect();
    let (awaited, heard) = (Awaited::text(last_text), Heard::turn_end(ctx, last_text));
    let plan = RecordPlan { awaited, heard, slot_events, ..RecordPlan::for_session(true) };
    let (recorded, mut verdict) = record_and_judge(ctx, &plan, None, Moment::TurnEnd);
    // It makes one request.
    if ctx.source.is_client_helper() {
        verdict = Verdict::Allow;
    }
    let mut output = answer(ctx, recorded, &verdict, &Excerpts::default());
    // Context at these events would make the model continue.
    output.answer.context.clear();
    // The client passes the reason on to the model with the next prompt.
    if let Decision::Stop { for_person, for_agent } = &mut output.answer.decision {
        for_person.clone_from(for_agent);
    }
    output
}
