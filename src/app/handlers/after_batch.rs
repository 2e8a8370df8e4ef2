//! After all tool calls of a response: the last check before the next request. Near a limit, waits for the line of the
//! response.

use super::{FRESH_MS, HandlerOutput, answer, judge};
use crate::agents::event::{FinishedCall, call_id};
use crate::app::messages::Excerpts;
use crate::app::platform_calls::{self, CallEnd};
use crate::app::record::record;
use crate::app::record_plan::{Observation, RecordPlan};
use crate::app::session::{SessionContext, caller};
use crate::app::throttle::alive_slot;
use crate::app::transcript_reader::{Awaited, ReadScope};
use crate::app::unseen::Heard;
use crate::domain::throttle::SlotEvent;
use crate::domain::verdict::{Moment, near_limit};

/// All calls of a response ended. `spawning`: hashes of the ids of those that start subagents; `refused`: the ids of
/// those that never ran.
pub fn handle(
    ctx: &mut SessionContext,
    ids: &[String],
    calls: Vec<FinishedCall>,
    spawning: Vec<u64>,
    refused: &[String],
) -> HandlerOutput {
    // Those with an event of their own are settled already.
    let end = |id| if refused.contains(id) { CallEnd::NeverRan } else { CallEnd::Ran };
    platform_calls::settle(ctx, ids.iter().map(|id| (call_id(id), end(id))));
    let near = near_limit(ctx.known_states(), &ctx.cache.sizes, &ctx.caller());
    let waits = near || !ctx.cache.escalation.is_empty() || !ctx.is_fresh(FRESH_MS);
    let lines = Awaited::tools(ids.iter().map(String::as_str));
    // The main agent's batch may include subagents.
    let scope = if near || ctx.source.agent.is_none() { ReadScope::All } else { ReadScope::Caller };
    let mut slot_events = alive_slot(ctx);
    if !spawning.is_empty() {
        slot_events.push(SlotEvent::ResponseEnded { calls: spawning });
    }
    let excerpts: Excerpts = calls.iter().map(FinishedCall::signed_excerpt).collect();
    let calls = calls.into_iter().map(|call| call.named).collect();
    let mut plan = RecordPlan {
        awaited: if waits { lines.clone() } else { Awaited::Nothing },
        scope,
        observation: Observation::Response(calls),
        heard: Heard::calls(ids),
        calls: ids.iter().map(|id| call_id(id)).collect(),
        slot_events,
        ..RecordPlan::for_caller(true)
    };
    let mut recorded = record(ctx, &plan);
    let mut cache = ctx.lock_cache();
    recorded.update_cache(ctx, &mut cache);
    // The cache may have been two responses old: if the client rejects the calls, this is the only hook.
    let is_near = near_limit(&recorded.states, &cache.sizes, &caller(&ctx.source, &cache.models, None));
    if is_near && !waits {
        ctx.save_cache(cache);
        // Do not hold the store open while waiting.
        ctx.store.close();
        plan = RecordPlan { awaited: lines, scope: ReadScope::All, ..plan };
        let earlier = std::mem::replace(&mut recorded, record(ctx, &plan));
        recorded.alerts.splice(..0, earlier.alerts);
        recorded.events.splice(..0, earlier.events);
        cache = ctx.lock_cache();
        recorded.update_cache(ctx, &mut cache);
    }
    let verdict = judge(ctx, cache, &recorded, &plan, None, Moment::AfterBatch);
    answer(ctx, recorded, &verdict, &excerpts)
}
