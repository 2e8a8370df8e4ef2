//! One event: read → record → judge → answer. A file per kind of event; what they share is here.
//!
//! A handler reads and records ([`record`](super::record)), and lets [`judge`] decide. [`answer`] turns the verdict
//! into the answer's texts.

mod after_batch;
mod after_tool;
mod before_tool;
mod lifecycle;
mod prompt;
mod prompt_command;
mod turn_end;

use super::brief;
use super::record::{Recorded, record};
use super::record_plan::{Observation, RecordPlan};
use super::session::{self, SessionContext};
use crate::agents::answer::{Answer, Decision};
use crate::agents::event::EventKind;
use crate::domain::alert::BudgetAlert;
use crate::domain::event::{Event, EventData};
use crate::domain::verdict::{self, BreakerState, HoldReason, Moment, Snapshot, Verdict};
use crate::store::cache_file::LockedCache;
use crate::store::session_cache::SessionCache;

/// How old the cache's answer may be before the store is asked.
pub const FRESH_MS: i64 = 60_000;

/// What one event came to.
#[derive(Clone, Debug, Default)]
pub struct Handled {
    /// The answer to the client.
    pub answer: Answer,
    /// Alerts that the answer shows: to be confirmed once it is written.
    pub alerts: Vec<BudgetAlert>,
    /// Events that it tells: likewise.
    pub events: Vec<Event>,
}

/// Excerpts of the inputs of calls, by the calls' signatures: for the answer to the client only.
type Quotes = Vec<(String, String)>;

/// Handles one event of a session.
pub fn handle(ctx: &mut SessionContext, event: EventKind) -> Handled {
    if !ctx.config.enabled {
        return Handled::default();
    }
    match event {
        EventKind::BeforeTool(request) => before_tool::handle(ctx, &request),
        EventKind::AfterTool { call, slot } => after_tool::handle(ctx, call, slot),
        EventKind::AfterLoneTool { charge, call } => after_tool::handle_lone(ctx, charge, call),
        EventKind::AfterBatch { ids, calls, spawning } => after_batch::handle(ctx, &ids, calls, spawning),
        EventKind::Prompt { prompt, may_command } => prompt::handle(ctx, &prompt, may_command),
        EventKind::SessionStart { model } => lifecycle::session_start(ctx, model),
        EventKind::ModelSwitched { model } => lifecycle::model_switched(ctx, model),
        EventKind::TurnEnd { last_text } => turn_end::handle(ctx, last_text.as_deref()),
        EventKind::Compacted => lifecycle::compacted(ctx),
        EventKind::SessionEnd => lifecycle::session_end(ctx),
    }
}

/// Judges by what was recorded and kept in the locked cache, moves the escalation that the session's hooks share, and saves
/// the cache. `spawns`: the type of subagent that the call would start.
fn judge(
    ctx: &mut SessionContext,
    mut locked: LockedCache,
    recorded: &Recorded,
    observation: &Observation,
    spawns: Option<&str>,
    moment: Moment,
) -> Verdict {
    let policy = ctx.config.breaker;
    let asks = match observation {
        Observation::Asks(call) => Some(*call),
        _ => None,
    };
    let cache: &mut SessionCache = &mut locked;
    let SessionCache { escalation: ladder, models, circuits, .. } = cache;
    let caller = session::caller(&ctx.source, models, spawns);
    let breaker = circuits.get(caller.agent).filter(|_| policy.enabled).map(|known| BreakerState {
        phase: &known.breaker.phase,
        epoch: known.breaker.epoch,
        admits: known.breaker.admits(asks),
        wrap_up: policy.wrap_up,
    });
    let by_person = matches!(observation, Observation::Prompt(_));
    let snapshot = Snapshot { states: &recorded.states, breaker, slot_denied: recorded.crowded, by_person };
    let verdict = verdict::judge(&snapshot, ladder, &caller, moment);
    let is_saved = ctx.save_cache(locked);
    match verdict {
        // No later hook would know that the agent was told, and it would be told again and again.
        Verdict::Deny { reason: why, .. } | Verdict::WrapUp(why) if !is_saved => Verdict::Stop(why),
        verdict => verdict,
    }
}

/// Records what the event says, and judges.
fn record_and_judge(
    ctx: &mut SessionContext,
    plan: &RecordPlan,
    spawns: Option<&str>,
    moment: Moment,
) -> (Recorded, Verdict) {
    let mut recorded = record(ctx, plan);
    let mut cache = ctx.lock_cache();
    recorded.keep(ctx, &mut cache);
    let verdict = judge(ctx, cache, &recorded, &plan.observation, spawns, moment);
    (recorded, verdict)
}

/// The decision that a verdict comes to, in words.
fn decision(ctx: &SessionContext, verdict: &Verdict, quotes: &Quotes) -> Decision {
    match verdict {
        Verdict::Allow | Verdict::WrapUp(_) => Decision::Allow,
        Verdict::Deny { reason: why, left } => Decision::Deny { reason: brief::denial(why, *left, quotes) },
        Verdict::DenyCall(why) => Decision::Deny { reason: brief::call_denial(why, quotes) },
        Verdict::Stop(why) => Decision::Stop {
            for_person: brief::stop(why, ctx.source.client.is_attended(ctx.env), quotes),
            for_agent: brief::stop(why, false, quotes),
        },
        Verdict::Block(why) => {
            Decision::Block { reason: brief::stop(why, ctx.source.client.is_attended(ctx.env), quotes) }
        }
    }
}

/// The answer to an event that may speak: the decision, alerts, notices, what the breaker did.
fn answer(ctx: &mut SessionContext, recorded: Recorded, verdict: &Verdict, quotes: &Quotes) -> Handled {
    let mut answer = Answer { decision: decision(ctx, verdict, quotes), ..Answer::default() };
    for line in brief::alert_lines(&recorded.alerts) {
        answer.context.push(line.clone());
        answer.message.push(line);
    }
    if let Some(failure) = &recorded.failure {
        ctx.notices.tell(failure);
    }
    answer.message.append(&mut ctx.take_warnings());
    for event in &recorded.events {
        let Some(line) = brief::event_line(event, quotes) else { continue };
        // An agent that is told to close its work is told why.
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
        answer.context.push(brief::wrap_up(why, quotes));
    }
    Handled { answer, alerts: recorded.alerts, events: recorded.events }
}
