//! Throttling: what a hook sends to the store about subagents.

use super::process_tree;
use super::session::SessionContext;
use crate::agents::event::ToolRequest;
use crate::config::Config;
use crate::domain::budget::{Budget, Mode, OnLimit, Scope, StoreDown, TokenClasses, Unit};
use crate::domain::throttle::{SlotEvent, ThrottleLimits};
use crate::domain::time::Timestamp;
use crate::domain::window::WindowRule;
use crate::store::{BudgetKey, Session, SlotObservation};
use crate::transcript::tool_hash;

/// The input for throttling; `None` if subagents are not throttled.
pub(super) fn throttle_input<'e>(
    config: &Config,
    session: &Session,
    events: &'e [SlotEvent],
    now: Timestamp,
) -> Option<SlotObservation<'e>> {
    let policy = config.throttle?;
    let client_since = session.client.and_then(|client| process_tree::agents_started_after(client, now));
    let meter = BudgetKey { budget: token_meter(&policy), value: session.id.clone() };
    Some(SlotObservation { limits: policy, events, client_since, meter })
}

/// The slot event of a call that requests a subagent.
pub(super) fn requested_slot(ctx: &SessionContext, request: &ToolRequest) -> Vec<SlotEvent> {
    let id = request.id.as_ref().filter(|_| request.spawns.is_some() && ctx.config.throttle.is_some());
    let Some(id) = id else { return Vec::new() };
    let depth = ctx.caller_note().map_or(0, |note| note.depth.unwrap_or(1)) + 1;
    vec![SlotEvent::Requested { call: tool_hash(id), depth }]
}

/// The slot event for an active calling subagent.
pub(super) fn alive_slot(ctx: &SessionContext) -> Vec<SlotEvent> {
    let Some(agent) = ctx.source.agent.clone().filter(|_| ctx.config.throttle.is_some()) else {
        return Vec::new();
    };
    let note = ctx.caller_note().unwrap_or_default();
    // With a note that names no call, none of the session's calls started it: a teammate, or an agent of a workflow.
    let own = || note.agent_type.is_some().then(|| tool_hash(&agent));
    let call = note.tool_use_id.as_deref().map(tool_hash).or_else(own);
    vec![SlotEvent::AgentActive { agent, call }]
}

/// Counts a session's fresh tokens against the hard limit. Not a configured budget: it neither warns nor blocks.
fn token_meter(policy: &ThrottleLimits) -> Budget {
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
        plan: None,
    }
}
