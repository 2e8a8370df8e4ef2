//! Handles one event: read → record → judge → answer. Each kind of event has a file; shared code is here.
//!
//! A handler reads and records ([`record`](super::record)), and calls `judge` to decide. `answer` turns the verdict
//! into texts.

mod after_batch;
mod after_tool;
mod before_tool;
mod lifecycle;
mod prompt;
mod prompt_command;
mod turn_end;

use super::human_check;
use super::messages::{Excerpts, notices, verdicts};
use super::record::{Recorded, record};
use super::record_plan::{Observation, RecordPlan};
use super::session::{self, SessionContext};
use super::transcript_reader::position_of;
use crate::agents::answer::{Answer, Decision};
use crate::agents::event::EventKind;
use crate::domain::alert::BudgetAlert;
use crate::domain::escalation::Calls;
use crate::domain::event::{Event, EventData};
use crate::domain::verdict::{self, BreakerState, HoldReason, Moment, Snapshot, Verdict};
use crate::store::cache_file::LockedCache;
use crate::store::session_cache::SessionCache;

/// The maximum age of a cached answer of the store, in milliseconds.
pub const FRESH_MS: i64 = 60_000;

/// The result of a handler.
#[derive(Clone, Debug, Default)]
pub struct HandlerOutput {
    /// The answer to the client.
    pub answer: Answer,
    /// Alerts in the answer, to confirm once it is written.
    pub alerts: Vec<BudgetAlert>,
    /// Events in the answer, to confirm once it is written.
    pub events: Vec<Event>,
}

/// Handles one event of a session.
pub fn handle(ctx: &mut SessionContext, event: EventKind) -> HandlerOutput {
    if !ctx.config.enabled {
        return HandlerOutput::default();
    }
    match event {
        EventKind::BeforeTool(request) => before_tool::handle(ctx, &request),
        EventKind::AfterTool { call, slot } => after_tool::handle(ctx, call, slot),
        EventKind::AfterSingleTool { charge, call } => after_tool::handle_single(ctx, charge, call),
        EventKind::AfterBatch { ids, calls, spawning, refused } => {
            after_batch::handle(ctx, &ids, calls, spawning, &refused)
        }
        EventKind::Prompt { prompt, may_command } => prompt::handle(ctx, &prompt, may_command),
        EventKind::SessionStart { model, continues } => lifecycle::session_start(ctx, model, continues),
        EventKind::ModelSwitched { model } => lifecycle::model_switched(ctx, model),
        EventKind::TurnEnd { last_text } => turn_end::handle(ctx, last_text.as_deref()),
        EventKind::BeforeCompaction => lifecycle::before_compaction(ctx),
        EventKind::Compacted => lifecycle::compacted(ctx),
        EventKind::SessionEnd => lifecycle::session_end(ctx),
    }
}

/// Decides from the recorded data in the locked cache, updates the session's escalation, and saves the cache. `spawns`:
/// the type of subagent that the call would start.
fn judge(
    ctx: &mut SessionContext,
    mut locked: LockedCache,
    recorded: &Recorded,
    plan: &RecordPlan,
    spawns: Option<&str>,
    moment: Moment,
) -> Verdict {
    let policy = ctx.config.breaker;
    let asks = match plan.observation {
        Observation::Asks(call) => Some(call),
        _ => None,
    };
    let cache: &mut SessionCache = &mut locked;
    let SessionCache { escalation, models, circuits, positions, .. } = cache;
    let read = position_of(positions, ctx.source.agent.as_ref());
    let unread = || Calls { ids: plan.calls.clone(), ..Calls::default() };
    let calls = read.map_or_else(unread, |position| position.calls(&plan.calls));
    let calls = &Calls { at: ctx.env.now, ..calls };
    let caller = session::caller(&ctx.source, models, spawns);
    let breaker = circuits.get(caller.agent).filter(|_| policy.enabled).map(|known| BreakerState {
        phase: &known.breaker.phase,
        epoch: known.breaker.epoch,
        admits: known.breaker.admits(asks),
        wrap_up: policy.wrap_up,
    });
    let by_person = matches!(plan.observation, Observation::Prompt(_));
    let slot_denied = recorded.slot_denied;
    let snapshot = Snapshot { states: &recorded.states, breaker, slot_denied, by_person, calls };
    let verdict = verdict::judge(&snapshot, escalation, &caller, moment);
    let is_saved = ctx.save_cache(locked);
    match verdict {
        // Unsaved, later hooks would not know that the agent was told, and would tell it again and again.
        Verdict::Deny { reason: why, .. } | Verdict::WrapUp(why) if !is_saved => Verdict::Stop(why),
        verdict => verdict,
    }
}

/// Records the event, and decides.
fn record_and_judge(
    ctx: &mut SessionContext,
    plan: &RecordPlan,
    spawns: Option<&str>,
    moment: Moment,
) -> (Recorded, Verdict) {
    let mut recorded = record(ctx, plan);
    let mut cache = ctx.lock_cache();
    recorded.update_cache(ctx, &mut cache);
    let verdict = judge(ctx, cache, &recorded, plan, spawns, moment);
    (recorded, verdict)
}

/// The decision for a verdict, with its text.
fn decision(ctx: &SessionContext, verdict: &Verdict, excerpts: &Excerpts) -> Decision {
    match verdict {
        Verdict::Allow | Verdict::WrapUp(_) => Decision::Allow,
        Verdict::Deny { reason: why, left } => {
            Decision::Deny { reason: verdicts::denial(why, *left, excerpts) }
        }
        Verdict::DenyCall(why) => Decision::Deny { reason: verdicts::call_denial(why, excerpts) },
        Verdict::Stop(why) => Decision::Stop {
            for_person: verdicts::stop_reason(why, is_lifted_by_prompt(ctx, why), excerpts),
            for_agent: verdicts::stop_reason(why, false, excerpts),
        },
        Verdict::Block(why) => {
            Decision::Block { reason: verdicts::stop_reason(why, is_lifted_by_prompt(ctx, why), excerpts) }
        }
    }
}

/// Whether a person at the session's terminal can lift a stop with a prompt: any prompt, or a command.
fn is_lifted_by_prompt(ctx: &SessionContext, why: &HoldReason) -> bool {
    match why {
        HoldReason::Circuit(_) => ctx.source.client.is_attended(ctx.env),
        _ => human_check::suggests_commands(ctx),
    }
}

/// The answer to an event: the decision, alerts, notices and events.
fn answer(
    ctx: &mut SessionContext,
    recorded: Recorded,
    verdict: &Verdict,
    excerpts: &Excerpts,
) -> HandlerOutput {
    let mut answer = Answer { decision: decision(ctx, verdict, excerpts), ..Answer::default() };
    for line in notices::alert_lines(&recorded.alerts, &recorded.states) {
        answer.context.push(line.clone());
        answer.message.push(line);
    }
    if let Some(failure) = &recorded.failure {
        ctx.notices.warn_person(failure);
    }
    answer.message.append(&mut ctx.take_warnings());
    for event in &recorded.events {
        let Some(line) = notices::event_line(event, excerpts) else { continue };
        // The wrap-up request already contains the reason.
        let is_said = matches!(
            (verdict, &event.data),
            (Verdict::WrapUp(HoldReason::Circuit(_)), EventData::CircuitOpened(_))
        );
        if !is_said {
            answer.context.push(line.clone());
        }
        answer.message.push(line);
    }
    if let Verdict::WrapUp(why) = verdict {
        answer.context.push(verdicts::wrap_up_request(why, excerpts));
    }
    HandlerOutput { answer, alerts: recorded.alerts, events: recorded.events }
}
