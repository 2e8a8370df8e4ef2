//! Circuit breakers and slots: read, changed by what was seen, kept, within the step that records it. The same for every
//! store: a store only finds and keeps [`Standings`].

use super::{CircuitRow, Observed, Result, StoreError, Throttled};
use crate::domain::breaker::circuit::{CircuitBreaker, Trip};
use crate::domain::breaker::history::CallHistory;
use crate::domain::event::{CircuitDecision, Event, Turn, What};
use crate::domain::throttle::{Crowded, Slots};
use crate::domain::time::Timestamp;

/// What is kept of one session besides its messages, by name: a text and some bytes.
pub trait Standings {
    /// The session's id.
    fn session(&self) -> &str;

    /// What is kept under a name.
    fn get(&mut self, name: &str) -> Result<Option<(String, Vec<u8>)>>;

    /// Keeps it.
    fn put(&mut self, name: &str, standing: &str, calls: &[u8]) -> Result<()>;

    /// Everything, by name.
    fn all(&mut self) -> Result<Vec<(String, String, Vec<u8>)>>;

    /// Keeps an event. `known`: nobody has to be told.
    fn note(&mut self, event: &Event, known: bool) -> Result<()>;
}

/// The name of a session's slots.
const SLOTS: &str = "slots";

/// What the names of breakers begin with.
const CIRCUIT: &str = "circuit ";

/// Takes in what was seen of an agent; answers its breaker, and whether there is news to tell. A person's prompt begins all
/// of the session's anew, and is answered with the main agent's as it stood before.
pub fn observe(
    of: &mut impl Standings,
    seen: &Observed,
    now: Timestamp,
) -> Result<(Option<CircuitBreaker>, bool)> {
    if let Some(asked) = seen.prompt {
        let mut before = CircuitBreaker::default();
        for (agent, known) in breakers(of)? {
            let mut breaker = known.clone();
            if agent == seen.agent {
                before = known;
            }
            if let Some(trip) = breaker.prompted(asked) {
                let event = event(of, &agent, What::CircuitClosed(trip), now);
                of.note(&event, true)?;
            }
            write(of, &agent, &breaker)?;
        }
        if asked > 0 && before == CircuitBreaker::default() {
            let mut breaker = CircuitBreaker::default();
            breaker.prompted(asked);
            write(of, seen.agent, &breaker)?;
        }
        return Ok((Some(before), false));
    }
    let Some((policy, what, same_texts)) = seen.calls else { return Ok((None, false)) };
    let known = read(of, seen.agent)?.unwrap_or_default();
    let mut breaker = known.clone();
    let changes = breaker.observe(what, policy, same_texts, now);
    let is_news = !changes.is_empty();
    for change in changes {
        let event = event(of, seen.agent, What::of(change), now);
        of.note(&event, false)?;
    }
    if breaker != known {
        write(of, seen.agent, &breaker)?;
    }
    Ok((Some(breaker), is_news))
}

/// Takes in what was seen of subagents, at `used` tokens; answers why one may not start, and whether there is news to
/// tell.
pub fn throttle(
    of: &mut impl Standings,
    throttled: &Throttled,
    used: u64,
    now: Timestamp,
) -> Result<(Option<Crowded>, bool)> {
    let known = slots(of)?;
    let mut slots = known.clone();
    slots.expire(now, throttled.client_since);
    let turned = slots.turn(&throttled.policy, used);
    let mut crowded = None;
    for event in throttled.events {
        if let Err(why) = slots.observe(event, &throttled.policy, used, now) {
            crowded = Some(why);
        }
    }
    if let Some((from, to)) = turned {
        let turn = Turn { from, to, usage_percent: throttled.policy.usage_percent(used) };
        let what = if to < from { What::ConcurrencyThrottled(turn) } else { What::ConcurrencyRestored(turn) };
        let event = event(of, "", what, now);
        of.note(&event, false)?;
    }
    if slots != known {
        of.put(SLOTS, &json(&slots)?, &[])?;
    }
    Ok((crowded, turned.is_some()))
}

/// The slots of a session.
pub fn slots(of: &mut impl Standings) -> Result<Slots> {
    let text = of.get(SLOTS)?.map(|(text, _)| text);
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// A person decides about the breakers of a session: of one agent, or of all. Answers those that it changed, with why they
/// had tripped.
pub fn decide(
    of: &mut impl Standings,
    agent: Option<&str>,
    decision: CircuitDecision,
    (by, reason): (&str, &str),
    now: Timestamp,
) -> Result<Vec<(String, Option<Trip>)>> {
    let mut done = Vec::new();
    for (of_agent, mut breaker) in breakers(of)? {
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
        write(of, &of_agent, &breaker)?;
        let (by, reason) = (by.to_owned(), reason.to_owned());
        let what = What::CircuitDecided { decision, by, reason, trip: trip.clone() };
        let event = event(of, &of_agent, what, now);
        of.note(&event, true)?;
        done.push((of_agent, trip));
    }
    Ok(done)
}

/// The breakers of a session, by agent.
pub fn breakers(of: &mut impl Standings) -> Result<Vec<(String, CircuitBreaker)>> {
    let all = of.all()?.into_iter();
    Ok(all
        .filter_map(|(name, text, calls)| Some((agent_of(&name)?.to_owned(), breaker(&text, &calls))))
        .collect())
}

/// The agent whose breaker is kept under this name.
pub fn agent_of(name: &str) -> Option<&str> {
    name.strip_prefix(CIRCUIT)
}

/// The breakers among what is kept of a session: name, text and bytes of each.
pub fn circuits(session: &str, kept: impl Iterator<Item = (String, String, Vec<u8>)>) -> Vec<CircuitRow> {
    let row = |(name, text, calls): (String, String, Vec<u8>)| {
        let agent = agent_of(&name)?.to_owned();
        Some(CircuitRow { session: session.to_owned(), agent, breaker: breaker(&text, &calls) })
    };
    kept.filter_map(row).collect()
}

/// A breaker as it is kept. What cannot be read begins anew: it is no reason to give up a store.
pub fn breaker(text: &str, calls: &[u8]) -> CircuitBreaker {
    let breaker: CircuitBreaker = serde_json::from_str(text).unwrap_or_default();
    breaker.with_history(CallHistory::from_bytes(calls))
}

fn event(of: &impl Standings, agent: &str, what: What, at: Timestamp) -> Event {
    Event { id: 0, session: of.session().to_owned(), agent: agent.to_owned(), at, what }
}

fn read(of: &mut impl Standings, agent: &str) -> Result<Option<CircuitBreaker>> {
    Ok(of.get(&format!("{CIRCUIT}{agent}"))?.map(|(text, calls)| breaker(&text, &calls)))
}

fn write(of: &mut impl Standings, agent: &str, breaker: &CircuitBreaker) -> Result<()> {
    of.put(&format!("{CIRCUIT}{agent}"), &json(breaker)?, &breaker.history.to_bytes())
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| StoreError::Damaged(e.to_string()))
}
