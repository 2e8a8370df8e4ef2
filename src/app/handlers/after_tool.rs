//! After a tool call: record what is new, warn, stop where the session is stopped already.

use super::{Handled, Quotes, answer, record_and_judge};
use crate::agents::event::FinishedCall;
use crate::app::record_plan::{Observation, RecordPlan};
use crate::app::session::SessionContext;
use crate::app::throttle::alive;
use crate::domain::throttle::SlotEvent;
use crate::domain::verdict::Moment;
use crate::transcript::Fact;

/// A tool call is over. `slot`: what it says about the subagent that it started.
pub fn handle(ctx: &mut SessionContext, call: Option<FinishedCall>, slot: Option<SlotEvent>) -> Handled {
    let slots = alive(ctx).into_iter().chain(slot).collect();
    let plan = RecordPlan { slots, ..RecordPlan::for_caller(true) };
    record_call(ctx, plan, call, Moment::AfterCall)
}

/// A tool call of the plain protocol is over. That has no event between two requests, so the agent is held back here.
pub fn handle_lone(
    ctx: &mut SessionContext,
    charge: Option<Box<Fact>>,
    call: Option<FinishedCall>,
) -> Handled {
    let plan =
        RecordPlan { extra: charge.into_iter().map(|fact| *fact).collect(), ..RecordPlan::for_caller(true) };
    record_call(ctx, plan, call, Moment::BeforeCall)
}

fn record_call(
    ctx: &mut SessionContext,
    plan: RecordPlan,
    call: Option<FinishedCall>,
    moment: Moment,
) -> Handled {
    let quotes: Quotes = call.iter().map(FinishedCall::quote).collect();
    let calls = call.into_iter().map(|call| call.named).collect();
    let plan = RecordPlan { observation: Observation::Calls(calls), ..plan };
    let (recorded, verdict) = record_and_judge(ctx, &plan, None, moment);
    answer(ctx, recorded, &verdict, &quotes)
}
