//! Throttling: what a hook tells the store of subagents.

use super::ancestry;
use super::guard::Guard;
use crate::domain::budget::{Budget, Classes, Mode, OnLimit, Scope, StoreDown, Unit};
use crate::domain::throttle::{SlotEvent, Throttling};
use crate::domain::window::WindowRule;
use crate::store::{Session, Throttled, Watch};
use crate::transcript::files;
use crate::transcript::line::tool_hash;

impl Guard<'_> {
    /// What to tell the store of subagents; `None`: they are not throttled.
    pub(super) fn throttled<'e>(&self, session: &Session, events: &'e [SlotEvent]) -> Option<Throttled<'e>> {
        let policy = self.config.throttle?;
        let client_since = session.client.and_then(|client| ancestry::since(client, self.env.now));
        let meter = Watch { budget: meter(&policy), value: session.id.clone() };
        Some(Throttled { policy, events, client_since, meter })
    }

    /// That the call with this id asks for a subagent, where it does.
    pub(super) fn asked_slot(&self, tool_use_id: Option<&str>) -> Vec<SlotEvent> {
        let (Some(_), Some(id)) = (&self.call.spawns, tool_use_id.filter(|_| self.config.throttle.is_some()))
        else {
            return Vec::new();
        };
        let depth = self.caller_meta().map_or(0, |meta| meta.depth.unwrap_or(1)) + 1;
        vec![SlotEvent::Asked { call: tool_hash(id), depth }]
    }

    /// That the calling subagent is at work, where one calls.
    pub(super) fn alive(&self) -> Vec<SlotEvent> {
        let Some(agent) = self.call.agent.clone().filter(|_| self.config.throttle.is_some()) else {
            return Vec::new();
        };
        let call = self.caller_meta().and_then(|meta| meta.tool_use_id).map(|id| tool_hash(&id));
        vec![SlotEvent::Alive { agent, call }]
    }

    /// What the client noted of the calling subagent; of one that it noted nothing of, nothing is known but that it is one.
    fn caller_meta(&self) -> Option<files::AgentMeta> {
        let agent = self.call.agent.as_ref()?;
        let transcript = self.call.transcript.as_ref().or(self.cache.session.transcript.as_ref());
        let file = transcript.and_then(|transcript| files::of_agent(transcript, agent));
        Some(file.and_then(|file| files::agent_meta(&file)).unwrap_or_default())
    }
}

/// The count of a session's fresh tokens that the hard limit is measured against. No budget: it neither warns nor blocks.
fn meter(policy: &Throttling) -> Budget {
    Budget {
        name: "[throttle]".to_owned(),
        scope: Scope::Session,
        matches: "*".to_owned(),
        unit: Unit::Tokens,
        count: Classes::FRESH,
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
