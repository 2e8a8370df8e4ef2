//! Before a tool call: allows or denies it. Answered from the session's cache while no limit is near; the store is
//! asked before any denial.

use std::collections::BTreeSet;

use super::{FRESH_MS, HandlerOutput, decision, record_and_judge};
use crate::agents::answer::Answer;
use crate::agents::event::{ToolRequest, call_id};
use crate::app::messages::{Excerpts, verdicts};
use crate::app::record::record_and_cache;
use crate::app::record_plan::{Observation, RecordPlan};
use crate::app::session::{SessionContext, caller};
use crate::app::transcript_reader::{Awaited, ReadScope};
use crate::app::unseen::Heard;
use crate::app::{platform_calls, protect, throttle};
use crate::domain::event::{Denial, DenialReason, Event, EventData};
use crate::domain::message::UsageSource;
use crate::domain::verdict::{self, HoldReason, Moment, Verdict, near_limit};
use crate::transcript::{Fact, tool_hash};

/// Bytes that are read to find out whether other hooks record; some lines, such as a tool's result, are long. If more
/// are unread, none does.
const UNREAD_BYTES: u64 = 1024 * 1024;

/// Decides whether the call may run. Budgets and breakers come first: a stop by them takes precedence.
pub fn handle(ctx: &mut SessionContext, request: &ToolRequest) -> HandlerOutput {
    if let Some(text) = &request.schedules {
        // It comes back as a prompt that is no person's.
        let mut cache = ctx.lock_cache();
        if cache.scheduled.note(text) {
            ctx.save_cache(cache);
        }
    }
    let mut verdict = judge_budgets_and_breaker(ctx, request);
    if verdict == Verdict::Allow
        && let Some(input) = request.input.as_deref().filter(|_| !request.tool.is_empty())
        && let Some(reason) = protect::protection_reason(ctx, &request.tool, input)
    {
        verdict = Verdict::DenyCall(HoldReason::Protected(reason));
    }
    if verdict == Verdict::Allow
        && let Some(reason) = platform_calls::reserve(ctx, request)
    {
        verdict = Verdict::DenyCall(reason);
    }
    let message = ctx.take_warnings();
    if verdict == Verdict::Allow {
        return HandlerOutput { answer: Answer { message, ..Answer::default() }, ..HandlerOutput::default() };
    }
    if let (Verdict::Stop(_), Some(id)) = (&verdict, &request.id) {
        let heard = Heard::Stopped(tool_hash(id));
        record_and_cache(ctx, &RecordPlan { heard, ..RecordPlan::for_caller(false) });
    }
    record_denial(ctx, &verdict, request);
    let excerpts = Excerpts::from_iter([request.signed_excerpt()]);
    HandlerOutput {
        answer: Answer { decision: decision(ctx, &verdict, &excerpts), message, ..Answer::default() },
        ..HandlerOutput::default()
    }
}

fn judge_budgets_and_breaker(ctx: &mut SessionContext, request: &ToolRequest) -> Verdict {
    let spawns = request.spawns.as_deref();
    let fresh = ctx.is_fresh(FRESH_MS) && !has_unrecorded(ctx, request);
    let (near, held) = {
        let (caller, states) = (caller(&ctx.source, &ctx.cache.models, spawns), ctx.known_states());
        (near_limit(states, &ctx.cache.sizes, &caller), verdict::is_held(states, &caller))
    };
    let circuit = ctx.config.breaker.enabled && ctx.cache.circuit(ctx.agent()).is_some();
    let slot_events = throttle::requested_slot(ctx, request);
    if fresh && !near && !held && !circuit && slot_events.is_empty() && ctx.cache.escalation.is_empty() {
        return Verdict::Allow;
    }
    let awaited = match &request.id {
        Some(id) if near || !fresh => Awaited::tools([id.as_str()]),
        _ => Awaited::Nothing,
    };
    // An agent that waits for another one calls no hooks, so near a limit every agent's hook reads all files.
    let scope = if near || held { ReadScope::All } else { ReadScope::Caller };
    let observation = match &request.id {
        // If the cache was lost, the breaker is unknown.
        Some(id) if circuit || !fresh => Observation::Asks(call_id(id)),
        _ => Observation::Nothing,
    };
    let calls = request.id.iter().map(|id| call_id(id)).collect();
    let plan =
        RecordPlan { awaited, scope, observation, calls, slot_events, ..RecordPlan::for_caller(false) };
    let (recorded, verdict) = record_and_judge(ctx, &plan, spawns, Moment::BeforeCall);
    if let Some(failure) = &recorded.failure {
        ctx.notices.warn_person(failure);
    }
    verdict
}

/// Whether the hooks after tool calls do not record: the caller's transcript has responses that none of them recorded.
/// One unrecorded response, besides that of the call, is usual: the client had not yet written it when they ran.
fn has_unrecorded(ctx: &mut SessionContext, request: &ToolRequest) -> bool {
    let positions = ctx.cache.positions.clone();
    let delta = ctx.read_new(positions, ReadScope::Caller, &Awaited::Nothing, UNREAD_BYTES);
    let own = request.id.as_deref().map(tool_hash);
    let (mut responses, mut current) = (BTreeSet::new(), None);
    for fact in &delta.facts {
        let Fact::Message(message) = fact else { continue };
        if message.source != UsageSource::Response || message.superseded || message.agent != ctx.source.agent
        {
            continue;
        }
        responses.insert(message.key);
        current = current.or(own.filter(|own| message.tools.contains(own)).map(|_| message.key));
    }
    current.map(|current| responses.remove(&current));
    !delta.complete || responses.len() > 1
}

/// Records why a call is denied, with the current numbers, for `fusebox explain`.
fn record_denial(ctx: &mut SessionContext, verdict: &Verdict, request: &ToolRequest) {
    let (why, stopped) = match verdict {
        Verdict::Deny { reason: why, .. } | Verdict::DenyCall(why) => (why, false),
        Verdict::Stop(why) => (why, true),
        Verdict::Allow | Verdict::WrapUp(_) | Verdict::Block(_) => return,
    };
    let reason = match why {
        HoldReason::Budget(state) => DenialReason::from_budget(state),
        HoldReason::Quota(refusal) => DenialReason::from_budget(&refusal.state),
        // There is no store to record it in.
        HoldReason::StoreDown(_) => return,
        HoldReason::Circuit(trip) | HoldReason::Probing(trip) => DenialReason::Circuit(trip.clone()),
        HoldReason::SlotDenied(slot_denied) => DenialReason::Throttle(*slot_denied),
        HoldReason::Protected(reason) => {
            DenialReason::Protection { protected: verdicts::protected_effect(reason) }
        }
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
    ctx.notices.log_failure(noted);
}
