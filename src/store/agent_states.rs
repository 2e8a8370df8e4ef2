//! Circuit breakers and slots: read, updated with observations and written in the step that records a batch. Shared by
//! all stores, which only implement [`AgentStates`].

use super::{AgentObservation, CircuitRow, Result, SlotObservation, StoreError};
use crate::domain::breaker::circuit::{CircuitBreaker, Trip};
use crate::domain::breaker::history::CallHistory;
use crate::domain::event::{CircuitDecision, ConcurrencyChange, Event, EventData};
use crate::domain::throttle::{SlotDenied, Slots};
use crate::domain::time::Timestamp;

/// The breakers and slots of one session. Each has a name, a text, and bytes with the call history.
pub trait AgentStates {
    /// The session id.
    fn session(&self) -> &str;

    /// The state with this name.
    fn get(&mut self, name: &str) -> Result<Option<(String, Vec<u8>)>>;

    /// Writes a state.
    fn put(&mut self, name: &str, text: &str, calls: &[u8]) -> Result<()>;

    /// All states, by name.
    fn all(&mut self) -> Result<Vec<(String, String, Vec<u8>)>>;

    /// Records an event. `known`: it need not be reported.
    fn record_event(&mut self, event: &Event, known: bool) -> Result<()>;
}

/// The name of the slots.
const SLOTS: &str = "slots";

/// Prefix of the names of breakers.
const CIRCUIT_PREFIX: &str = "circuit ";

/// Applies observations of an agent. Returns its breaker, and whether there is news to report. A person's prompt resets
/// all breakers of the session; then the main agent's breaker is returned as it was before.
pub fn observe(
    states: &mut impl AgentStates,
    seen: &AgentObservation,
    now: Timestamp,
) -> Result<(Option<CircuitBreaker>, bool)> {
    if let Some(asked) = seen.prompt {
        let mut before = CircuitBreaker::default();
        for (agent, stored) in breakers(states)? {
            let mut breaker = stored.clone();
            if agent == seen.agent {
                before = stored;
            }
            if let Some(trip) = breaker.on_prompt(asked) {
                let event = new_event(states, &agent, EventData::CircuitClosed(trip), now);
                states.record_event(&event, true)?;
            }
            write_breaker(states, &agent, &breaker)?;
        }
        if asked > 0 && before == CircuitBreaker::default() {
            let mut breaker = CircuitBreaker::default();
            breaker.on_prompt(asked);
            write_breaker(states, seen.agent, &breaker)?;
        }
        return Ok((Some(before), false));
    }
    let Some((policy, input, same_texts)) = seen.calls else { return Ok((None, false)) };
    let stored = read_breaker(states, seen.agent)?.unwrap_or_default();
    let mut breaker = stored.clone();
    let changes = breaker.observe(input, policy, same_texts, now);
    let is_news = !changes.is_empty();
    for change in changes {
        let event = new_event(states, seen.agent, EventData::from_change(change), now);
        states.record_event(&event, false)?;
    }
    if breaker != stored {
        write_breaker(states, seen.agent, &breaker)?;
    }
    Ok((Some(breaker), is_news))
}

/// Applies observations of subagents, at `used` tokens. Returns why one may not start, and whether there is news to
/// report.
pub fn throttle(
    states: &mut impl AgentStates,
    observation: &SlotObservation,
    used: u64,
    now: Timestamp,
) -> Result<(Option<SlotDenied>, bool)> {
    let stored = slots(states)?;
    let mut slots = stored.clone();
    slots.expire(now, observation.client_since);
    let changed = slots.update_concurrency(&observation.limits, used);
    let mut denied = None;
    for event in observation.events {
        if let Err(why) = slots.observe(event, &observation.limits, used, now) {
            denied = Some(why);
        }
    }
    if let Some((from, to)) = changed {
        let change = ConcurrencyChange { from, to, usage_percent: observation.limits.usage_percent(used) };
        let data = if to < from {
            EventData::ConcurrencyThrottled(change)
        } else {
            EventData::ConcurrencyRestored(change)
        };
        let event = new_event(states, "", data, now);
        states.record_event(&event, false)?;
    }
    if slots != stored {
        states.put(SLOTS, &json(&slots)?, &[])?;
    }
    Ok((denied, changed.is_some()))
}

/// The slots of a session.
pub fn slots(states: &mut impl AgentStates) -> Result<Slots> {
    let text = states.get(SLOTS)?.map(|(text, _)| text);
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// A person decides about the breakers of one agent, or of all agents of a session. Returns those that changed, and why
/// they had tripped.
pub fn decide(
    states: &mut impl AgentStates,
    agent: Option<&str>,
    decision: CircuitDecision,
    (by, reason): (&str, &str),
    now: Timestamp,
) -> Result<Vec<(String, Option<Trip>)>> {
    let mut done = Vec::new();
    for (of_agent, mut breaker) in breakers(states)? {
        if agent.is_some_and(|agent| of_agent != agent) {
            continue;
        }
        let trip = match decision {
            CircuitDecision::Acknowledge => match breaker.acknowledge() {
                None => continue,
                trip => trip,
            },
            CircuitDecision::Reset => breaker.reset(),
        };
        write_breaker(states, &of_agent, &breaker)?;
        let (by, reason) = (by.to_owned(), reason.to_owned());
        let data = EventData::CircuitDecided { decision, by, reason, trip: trip.clone() };
        let event = new_event(states, &of_agent, data, now);
        states.record_event(&event, true)?;
        done.push((of_agent, trip));
    }
    Ok(done)
}

/// The breakers of a session, by agent.
pub fn breakers(states: &mut impl AgentStates) -> Result<Vec<(String, CircuitBreaker)>> {
    let all = states.all()?.into_iter();
    Ok(all
        .filter_map(|(name, text, calls)| {
            Some((agent_of_name(&name)?.to_owned(), parse_breaker(&text, &calls)))
        })
        .collect())
}

/// The agent of the breaker with this name.
pub fn agent_of_name(name: &str) -> Option<&str> {
    name.strip_prefix(CIRCUIT_PREFIX)
}

/// The breakers among the states of a session, given as name, text and bytes.
pub fn circuit_rows(session: &str, kept: impl Iterator<Item = (String, String, Vec<u8>)>) -> Vec<CircuitRow> {
    let row = |(name, text, calls): (String, String, Vec<u8>)| {
        let agent = agent_of_name(&name)?.to_owned();
        Some(CircuitRow { session: session.to_owned(), agent, breaker: parse_breaker(&text, &calls) })
    };
    kept.filter_map(row).collect()
}

/// Parses a stored breaker. An unreadable one is reset; that does not make the store corrupt.
pub fn parse_breaker(text: &str, calls: &[u8]) -> CircuitBreaker {
    let breaker: CircuitBreaker = serde_json::from_str(text).unwrap_or_default();
    breaker.with_history(CallHistory::from_bytes(calls))
}

fn new_event(states: &impl AgentStates, agent: &str, data: EventData, at: Timestamp) -> Event {
    Event { id: 0, session: states.session().to_owned(), agent: agent.to_owned(), at, data }
}

fn read_breaker(states: &mut impl AgentStates, agent: &str) -> Result<Option<CircuitBreaker>> {
    Ok(states.get(&format!("{CIRCUIT_PREFIX}{agent}"))?.map(|(text, calls)| parse_breaker(&text, &calls)))
}

fn write_breaker(states: &mut impl AgentStates, agent: &str, breaker: &CircuitBreaker) -> Result<()> {
    states.put(&format!("{CIRCUIT_PREFIX}{agent}"), &json(breaker)?, &breaker.history.to_bytes())
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| StoreError::Damaged(e.to_string()))
}
