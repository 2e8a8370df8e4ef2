//! The circuit breakers of a page.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::choice::{Choice, FEW_ROWS, Pager};
use super::text::{Clock, When, Who, shortened};
use super::visitor::HOME;
use crate::app::messages;
use crate::app::snapshot::{CircuitEntry, Snapshot, circuit_id};
use crate::domain::breaker::circuit::Phase;
use crate::store::CircuitRow;

/// A row of the table.
pub struct CircuitLine {
    /// Names the breaker.
    pub id: String,
    /// Its session.
    pub who: Who,
    /// `main`, or the subagent's id.
    pub agent: String,
    /// The same in full.
    pub agent_full: String,
    /// The class of its dot: `closed`, `open` or `half_open`.
    pub class: &'static str,
    /// Its state in words.
    pub state: &'static str,
    /// Calls since a person's last prompt, and their maximum.
    pub iterations: String,
    /// How often the last call came, or what the rule that tripped counted.
    pub duplicates: u32,
    /// Why it tripped; empty if it is closed.
    pub reason: String,
    /// The signature of the call that it tripped on; empty if it is closed.
    pub signature: String,
    /// When it tripped.
    pub tripped: Option<When>,
    /// The session has ended.
    pub is_ended: bool,
    /// Where to acknowledge it, if it is open.
    pub acknowledge: Option<String>,
    /// Where to reset it.
    pub reset: String,
}

/// The state of a breaker in words.
pub fn state(phase: &Phase) -> &'static str {
    match phase {
        Phase::Closed => "Closed",
        Phase::Open { .. } => "Open",
        Phase::HalfOpen { .. } => "Half-open",
    }
}

/// The breakers of the page that the reader chose: of live sessions first, and among them the open ones first.
pub fn chosen<'s>(snapshot: &'s Snapshot, choice: &Choice) -> (Vec<&'s CircuitEntry>, Pager) {
    let link = |page| choice.with(|new| new.circuits = page);
    match choice.ended {
        true => Pager::select(snapshot.circuits_urgent_first(), FEW_ROWS, choice.circuits, link),
        false => Pager::select(snapshot.live_circuits(), FEW_ROWS, choice.circuits, link),
    }
}

impl CircuitLine {
    /// The row of a breaker on the page at `back`.
    pub fn new(row: &CircuitRow, is_live: bool, snapshot: &Snapshot, clock: &Clock, back: &str) -> Self {
        let id = circuit_id(&row.session, &row.agent);
        let phase = &row.breaker.phase;
        let trip = phase.trip();
        let link = |action: &str| {
            let back = utf8_percent_encode(back, NON_ALPHANUMERIC);
            format!("{HOME}/circuit/{id}/{action}?back={back}")
        };
        let agent = if row.agent.is_empty() { "main" } else { &row.agent };
        Self {
            who: Who::session(&row.session, snapshot),
            agent: shortened(agent, 18),
            agent_full: agent.to_owned(),
            class: phase.name(),
            state: state(phase),
            iterations: messages::iterations(row.breaker.iterations, &snapshot.config.breaker),
            duplicates: trip.map_or_else(|| row.breaker.history.repeats_of_last(), |trip| trip.count),
            reason: trip.map(messages::trip_reason).unwrap_or_default(),
            signature: trip.map(|trip| trip.signature.clone()).unwrap_or_default(),
            tripped: trip.map(|trip| When::new(clock, trip.at)),
            is_ended: !is_live,
            acknowledge: matches!(phase, Phase::Open { .. }).then(|| link("acknowledge")),
            reset: link("reset"),
            id,
        }
    }
}
