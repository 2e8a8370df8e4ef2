//! Before a tool call: may it run? Answered from the session's cache while nothing is near a limit; the store is asked
//! before any denial.

use super::{FRESH_MS, Handled, Quotes, decision, record_and_judge};
use crate::agents::answer::Answer;
use crate::agents::event::{ToolRequest, call_id};
use crate::app::record_plan::{Observation, RecordPlan};
use crate::app::session::{SessionContext, caller};
use crate::app::transcript_reader::{Awaited, ReadScope};
use crate::app::{brief, protect, throttle};
use crate::domain::event::{Denial, DenialReason, Event, EventData};
use crate::domain::verdict::{self, HoldReason, Moment, Verdict, near_limit};
use crate::transcript::tool_hash;

/// Decides whether the call may run. Budgets and breakers come first: what they stop stays stopped.
pub fn handle(ctx: &mut SessionContext, request: &ToolRequest) -> Handled {
    let mut verdict = budgets_and_breaker(ctx, request);
    if verdict == Verdict::Allow
        && let Some(input) = request.input.as_deref().filter(|_| !request.tool.is_empty())
        && let Some(reason) = protect::protects(ctx, &request.tool, input)
    {
        verdict = Verdict::DenyCall(HoldReason::Protected(reason));
    }
    let message = ctx.take_warnings();
    if verdict == Verdict::Allow {
        return Handled { answer: Answer { message, ..Answer::default() }, ..Handled::default() };
    }
    note_denial(ctx, &verdict, request);
    let quotes: Quotes = vec![request.quote()];
    Handled {
        answer: Answer { decision: decision(ctx, &verdict, &quotes), message, ..Answer::default() },
        ..Handled::default()
    }
}

fn budgets_and_breaker(ctx: &mut SessionContext, request: &ToolRequest) -> Verdict {
    let spawns = request.spawns.as_deref();
    let fresh = ctx.is_fresh(FRESH_MS);
    let (near, held) = {
        let (caller, states) = (caller(&ctx.source, &ctx.cache.models, spawns), ctx.known_states());
        (near_limit(states, &ctx.cache.sizes, &caller), verdict::is_held(states, &caller))
    };
    let circuit = ctx.config.breaker.enabled && ctx.cache.circuit(ctx.agent()).is_some();
    let slots = throttle::requested_slot(ctx, request);
    if fresh && !near && !held && !circuit && slots.is_empty() && ctx.cache.escalation.is_empty() {
        return Verdict::Allow;
    }
    let awaited = match &request.id {
        Some(id) if near || !fresh => Awaited::tools([id.as_str()]),
        _ => Awaited::Nothing,
    };
    // An agent that waits for another one calls no hooks: near a limit everybody looks at all files.
    let scope = if near || held { ReadScope::All } else { ReadScope::Caller };
    let observation = match &request.id {
        // A cache that was lost knows of no breaker.
        Some(id) if circuit || !fresh => Observation::Asks(call_id(id)),
        _ => Observation::Nothing,
    };
    let plan = RecordPlan { awaited, scope, observation, slots, ..RecordPlan::for_caller(false) };
    let (recorded, verdict) = record_and_judge(ctx, &plan, spawns, Moment::BeforeCall);
    if let Some(failure) = &recorded.failure {
        ctx.notices.tell(failure);
    }
    verdict
}

/// Keeps why a call is denied, with the numbers of the moment, for `fusebox explain`.
fn note_denial(ctx: &mut SessionContext, verdict: &Verdict, request: &ToolRequest) {
    let (why, stopped) = match verdict {
        Verdict::Deny { reason: why, .. } | Verdict::DenyCall(why) => (why, false),
        Verdict::Stop(why) => (why, true),
        Verdict::Allow | Verdict::WrapUp(_) | Verdict::Block(_) => return,
    };
    let reason = match why {
        HoldReason::Budget(state) => DenialReason::from_budget(state),
        HoldReason::Circuit(trip) | HoldReason::Probing(trip) => DenialReason::Circuit(trip.clone()),
        HoldReason::SlotDenied(crowded) => DenialReason::Throttle(*crowded),
        HoldReason::Protected(reason) => DenialReason::Protection { protected: brief::reaches_for(reason) },
    };
    let Some(id) = &request.id else { return };
    let denial = Denial { call: tool_hash(id), tool: request.tool.clone(), stopped, reason };
    let event = Event {
        id: 0,
        session: ctx.source.session.clone(),
        agent: ctx.agent().to_owned(),
        at: ctx.env.now,
        data: EventData::CallDenied(denial),
    };
    let noted = ctx.store.call(|store| store.record_event(&event));
    ctx.notices.swallow(noted);
}
