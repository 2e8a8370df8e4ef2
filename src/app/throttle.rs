//! Throttling: what a hook tells the store of subagents.

use std::path::Path;

use super::ancestry;
use super::session::SessionContext;
use crate::agents;
use crate::agents::event::ToolRequest;
use crate::config::Config;
use crate::domain::budget::{Budget, Mode, OnLimit, Scope, StoreDown, TokenClasses, Unit};
use crate::domain::throttle::{SlotEvent, ThrottleLimits};
use crate::domain::time::Timestamp;
use crate::domain::window::WindowRule;
use crate::store::{BudgetKey, Session, SlotObservation};
use crate::transcript::{AgentNote, tool_hash};

/// What to tell the store of subagents; `None`: they are not throttled.
pub(super) fn throttled<'e>(
    config: &Config,
    session: &Session,
    events: &'e [SlotEvent],
    now: Timestamp,
) -> Option<SlotObservation<'e>> {
    let policy = config.throttle?;
    let client_since = session.client.and_then(|client| ancestry::since(client, now));
    let meter = BudgetKey { budget: meter(&policy), value: session.id.clone() };
    Some(SlotObservation { limits: policy, events, client_since, meter })
}

/// That the call asks for a subagent, where it does.
pub(super) fn requested_slot(ctx: &SessionContext, request: &ToolRequest) -> Vec<SlotEvent> {
    let id = request.id.as_ref().filter(|_| request.spawns.is_some() && ctx.config.throttle.is_some());
    let Some(id) = id else { return Vec::new() };
    let depth = caller_note(ctx).map_or(0, |note| note.depth.unwrap_or(1)) + 1;
    vec![SlotEvent::Requested { call: tool_hash(id), depth }]
}

/// That the calling subagent is at work, where one calls.
pub(super) fn alive(ctx: &SessionContext) -> Vec<SlotEvent> {
    let Some(agent) = ctx.source.agent.clone().filter(|_| ctx.config.throttle.is_some()) else {
        return Vec::new();
    };
    let call = caller_note(ctx).and_then(|note| note.tool_use_id).map(|id| tool_hash(&id));
    vec![SlotEvent::AgentActive { agent, call }]
}

/// What the client noted about the calling subagent; empty where it noted nothing.
fn caller_note(ctx: &SessionContext) -> Option<AgentNote> {
    let agent = ctx.source.agent.as_ref()?;
    let note = |transcript: &Path| {
        let transcripts = agents::transcripts_of(transcript, ctx.source.client)?;
        transcripts.note_of(&transcripts.file_of(transcript, agent)?)
    };
    Some(ctx.transcript().and_then(note).unwrap_or_default())
}

/// The count of a session's fresh tokens that the hard limit is measured against. No budget: it neither warns nor blocks.
fn meter(policy: &ThrottleLimits) -> Budget {
    Budget {
        name: "[throttle]".to_owned(),
        scope: Scope::Session,
        matches: "*".to_owned(),
        unit: Unit::Tokens,
        count: TokenClasses::FRESH,
        limit: policy.hard_limit_tokens,
        hard_limit: None,
        window: WindowRule::LIFETIME,
        thresholds: Vec::new(),
        on_limit: OnLimit::Warn,
        wrap_up: 0,
        mode: Mode::Shadow,
        store_down: StoreDown::Local,
    }
}
