//! After a tool call: records, warns, and stops if the session is already stopped.

use super::{HandlerOutput, answer, record_and_judge};
use crate::agents::event::FinishedCall;
use crate::app::messages::Excerpts;
use crate::app::platform_calls::{self, CallEnd};
use crate::app::record_plan::{Observation, RecordPlan};
use crate::app::session::SessionContext;
use crate::app::throttle::alive_slot;
use crate::domain::throttle::SlotEvent;
use crate::domain::verdict::Moment;
use crate::transcript::Fact;

/// A tool call ended. `slot`: what it says about the subagent that it started.
pub fn handle(
    ctx: &mut SessionContext,
    call: Option<FinishedCall>,
    slot: Option<SlotEvent>,
) -> HandlerOutput {
    let slot_events = alive_slot(ctx).into_iter().chain(slot).collect();
    let plan = RecordPlan { slot_events, ..RecordPlan::for_caller(true) };
    record_call(ctx, plan, call, Moment::AfterCall)
}

/// A tool call of the plain protocol ended. There is no event between two requests, so the agent is held back here.
pub fn handle_single(
    ctx: &mut SessionContext,
    charge: Option<Box<Fact>>,
    call: Option<FinishedCall>,
) -> HandlerOutput {
    let plan = RecordPlan {
        extra_facts: charge.into_iter().map(|fact| *fact).collect(),
        ..RecordPlan::for_caller(true)
    };
    record_call(ctx, plan, call, Moment::BeforeCall)
}

fn record_call(
    ctx: &mut SessionContext,
    plan: RecordPlan,
    call: Option<FinishedCall>,
    moment: Moment,
) -> HandlerOutput {
    platform_calls::settle(ctx, call.iter().map(|call| (call.named.call.id, CallEnd::Ran)));
    let excerpts: Excerpts = call.iter().map(FinishedCall::signed_excerpt).collect();
    let named: Vec<_> = call.into_iter().map(|call| call.named).collect();
    let calls = named.iter().map(|named| named.call.id).collect();
    let plan = RecordPlan { observation: Observation::Calls(named), calls, ..plan };
    let (recorded, verdict) = record_and_judge(ctx, &plan, None, moment);
    answer(ctx, recorded, &verdict, &excerpts)
}
