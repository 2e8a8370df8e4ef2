//! Circuit breakers and slots: read, changed by what was seen, written, within the step that records it.

use rusqlite::{Connection, OptionalExtension, params};

use super::super::{CircuitRow, Observed, Result, StoreError, Throttled};
use super::events;
use crate::domain::breaker::circuit::{CircuitBreaker, Trip};
use crate::domain::breaker::history::CallHistory;
use crate::domain::event::{CircuitDecision, Event, Turn, What};
use crate::domain::message::MessageKey;
use crate::domain::throttle::{Crowded, Slots};
use crate::domain::time::Timestamp;

/// Takes in what was seen of an agent; answers its breaker, and whether there is news to tell. A person's prompt begins all
/// of the session's anew, and is answered with the main agent's as it stood before.
pub fn observe(
    db: &Connection,
    session: (i64, &str),
    seen: &Observed,
    now: Timestamp,
) -> Result<(Option<CircuitBreaker>, bool)> {
    let (number, id) = session;
    let event =
        |agent: &str, what| Event { id: 0, session: id.to_owned(), agent: agent.to_owned(), at: now, what };
    if let Some(asked) = seen.prompt {
        let mut before = CircuitBreaker::default();
        for row in rows(db, Some(number))? {
            let mut breaker = row.breaker.clone();
            if row.agent == seen.agent {
                before = row.breaker;
            }
            if let Some(trip) = breaker.prompted(asked) {
                events::add(db, &event(&row.agent, What::CircuitClosed(trip)), true)?;
            }
            write(db, number, &row.agent, &breaker)?;
        }
        if asked > 0 && before == CircuitBreaker::default() {
            let mut breaker = CircuitBreaker::default();
            breaker.prompted(asked);
            write(db, number, seen.agent, &breaker)?;
        }
        return Ok((Some(before), false));
    }
    let Some((policy, what, same_texts)) = seen.calls else { return Ok((None, false)) };
    let known = read(db, number, seen.agent)?.unwrap_or_default();
    let mut breaker = known.clone();
    let changes = breaker.observe(what, policy, same_texts, now);
    let is_news = !changes.is_empty();
    for change in changes {
        events::add(db, &event(seen.agent, What::of(change)), false)?;
    }
    if breaker != known {
        write(db, number, seen.agent, &breaker)?;
    }
    Ok((Some(breaker), is_news))
}

/// Takes in what was seen of subagents, at `used` tokens; answers why one may not start, and whether there is news to
/// tell.
pub fn throttle(
    db: &Connection,
    session: (i64, &str),
    throttled: &Throttled,
    used: u64,
    now: Timestamp,
) -> Result<(Option<Crowded>, bool)> {
    let (number, id) = session;
    let known = slots(db, number)?;
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
        let event = Event { id: 0, session: id.to_owned(), agent: String::new(), at: now, what };
        events::add(db, &event, false)?;
    }
    if slots != known {
        put(db, number, SLOTS, &json(&slots)?, &[])?;
    }
    Ok((crowded, turned.is_some()))
}

/// The slots of a session.
pub fn slots(db: &Connection, session: i64) -> Result<Slots> {
    let text = get(db, session, SLOTS)?.map(|(text, _)| text);
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// A person decides about the breakers of a session: of one agent, or of all. Answers those that it changed, with why they
/// had tripped.
pub fn decide(
    db: &Connection,
    session: (i64, &str),
    agent: Option<&str>,
    decision: CircuitDecision,
    (by, reason): (&str, &str),
    now: Timestamp,
) -> Result<Vec<(String, Option<Trip>)>> {
    let mut done = Vec::new();
    for row in
        rows(db, Some(session.0))?.into_iter().filter(|row| agent.is_none_or(|agent| row.agent == agent))
    {
        let mut breaker = row.breaker;
        let trip = match decision {
            CircuitDecision::Acknowledge => match breaker.acknowledge() {
                None => continue,
                trip => trip,
            },
            CircuitDecision::Reset => breaker.reset(),
        };
        write(db, session.0, &row.agent, &breaker)?;
        let (by, reason) = (by.to_owned(), reason.to_owned());
        let what = What::CircuitDecided { decision, by, reason, trip: trip.clone() };
        let event = Event { id: 0, session: session.1.to_owned(), agent: row.agent.clone(), at: now, what };
        events::add(db, &event, true)?;
        done.push((row.agent, trip));
    }
    Ok(done)
}

/// The breakers of a session; of all without one.
pub fn rows(db: &Connection, session: Option<i64>) -> Result<Vec<CircuitRow>> {
    let mut query = db.prepare(
        "SELECT s.session, c.name, c.standing, c.calls FROM standings c JOIN sessions s ON s.id = c.session \
         WHERE ?1 IS NULL OR c.session = ?1 ORDER BY s.last_seen DESC, s.id DESC, c.name",
    )?;
    let mut rows = query.query([session])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(1)?;
        let Some(agent) = name.strip_prefix(CIRCUIT) else { continue };
        let breaker = breaker(&row.get::<_, String>(2)?, row.get_ref(3)?.as_blob().unwrap_or_default());
        found.push(CircuitRow { session: row.get(0)?, agent: agent.to_owned(), breaker });
    }
    Ok(found)
}

/// The name of a session's slots.
const SLOTS: &str = "slots";

/// What the names of breakers begin with.
const CIRCUIT: &str = "circuit ";

fn read(db: &Connection, session: i64, agent: &str) -> Result<Option<CircuitBreaker>> {
    let known = get(db, session, &format!("{CIRCUIT}{agent}"))?;
    Ok(known.map(|(text, calls)| breaker(&text, &calls)))
}

/// What cannot be read begins anew: it is no reason to give up a store.
fn breaker(text: &str, calls: &[u8]) -> CircuitBreaker {
    let breaker: CircuitBreaker = serde_json::from_str(text).unwrap_or_default();
    breaker.with_history(CallHistory::from_bytes(calls))
}

fn write(db: &Connection, session: i64, agent: &str, breaker: &CircuitBreaker) -> Result<()> {
    put(db, session, &format!("{CIRCUIT}{agent}"), &json(breaker)?, &breaker.history.to_bytes())
}

fn get(db: &Connection, session: i64, name: &str) -> Result<Option<(String, Vec<u8>)>> {
    let mut query = db.prepare_cached("SELECT standing, calls FROM standings WHERE id=?")?;
    let row = query.query_row([id(session, name)], |r| {
        let standing = r.get_ref(0)?.as_str().unwrap_or_default().to_owned();
        Ok((standing, r.get_ref(1)?.as_blob().unwrap_or_default().to_vec()))
    });
    Ok(row.optional()?)
}

fn put(db: &Connection, session: i64, name: &str, standing: &str, calls: &[u8]) -> Result<()> {
    let id = id(session, name);
    // An update of a row that keeps its length writes the pages that change, and moves none.
    let mut update = db.prepare_cached("UPDATE standings SET standing=?,calls=? WHERE id=?")?;
    if update.execute(params![standing, calls, id])? == 0 {
        db.execute("INSERT INTO standings VALUES (?,?,?,?,?)", params![id, session, name, standing, calls])?;
    }
    Ok(())
}

fn id(session: i64, name: &str) -> i64 {
    MessageKey::of(&["standing", &session.to_string(), name]).short().cast_signed()
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| StoreError::Damaged(e.to_string()))
}
