//! Why a call was denied or let through, with the numbers of that moment.

use serde::Serialize;

use super::backfill;
use super::status::BudgetStatus;
use super::store_access::{self, StoreAccess};
use crate::agents;
use crate::agents::event::call_id;
use crate::domain::event::{DenialReason, EventData};
use crate::domain::time::Timestamp;
use crate::platform::Env;
use crate::store::SessionRow;
use crate::transcript::tool_hash;

/// What became of a call, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The client's id of it.
    pub call: String,
    /// The session.
    pub session: String,
    /// The subagent; empty: the main agent.
    pub agent: String,
    /// The tool.
    pub tool: String,
    /// When (RFC 3339, UTC).
    pub at: String,
    /// `denied`, `stopped` (denied, and the turn ended) or `let_through`.
    pub decision: &'static str,
    /// Why, with the numbers of that moment; `null`: nothing stood against it.
    pub reason: Option<DenialReason>,
    /// The budgets as they stood at that moment.
    pub budgets: Vec<BudgetStatus>,
    /// Which call it was since a person's last prompt; `null`: the breaker was begun anew since, or has seen more calls than
    /// it keeps.
    pub iteration: Option<u64>,
    /// The highest that may be; `null`: no limit.
    pub max_iterations: Option<u32>,
}

/// What became of the call with this id. `None`: no known session made it.
///
/// # Errors
/// The store cannot be read.
pub fn call(
    env: &Env,
    store: &mut StoreAccess,
    rows: &[SessionRow],
    id: &str,
) -> store_access::Result<Option<Explanation>> {
    let events = store.call(|store| store.events(None, Some(tool_hash(id))))?;
    let denied = events.into_iter().rev().find_map(|event| match event.data {
        EventData::CallDenied(denial) => Some((event.session, event.agent, event.at, denial)),
        _ => None,
    });
    if let Some((session, agent, at, denial)) = denied {
        let Some(row) = rows.iter().find(|row| row.session.id == session) else { return Ok(None) };
        let decision = if denial.stopped { "stopped" } else { "denied" };
        let made = Made { session: row, agent, tool: denial.tool, at };
        return explain(env, id, &made, decision, Some(denial.reason)).map(Some);
    }
    let Some(made) = find(rows, id) else { return Ok(None) };
    explain(env, id, &made, "let_through", None).map(Some)
}

/// A call that was made.
struct Made<'r> {
    session: &'r SessionRow,
    agent: String,
    tool: String,
    at: Timestamp,
}

/// Looks for it in the transcripts, of the session seen last first.
fn find<'r>(rows: &'r [SessionRow], id: &str) -> Option<Made<'r>> {
    rows.iter().find_map(|session| {
        let transcript = session.session.transcript.as_ref()?;
        let transcripts = agents::of_transcript(transcript).transcripts()?;
        transcripts.files(transcript).into_iter().find_map(|file| {
            let found = transcripts.call(&file.path, id)?;
            Some(Made { session, agent: file.agent.unwrap_or_default(), tool: found.tool, at: found.at })
        })
    })
}

fn explain(
    env: &Env,
    id: &str,
    made: &Made,
    decision: &'static str,
    reason: Option<DenialReason>,
) -> store_access::Result<Explanation> {
    let (mut ctx, _) = backfill::read_on(env, made.session, u64::MAX);
    let session = ctx.session();
    let watches = ctx.watches(&session);
    let (states, circuits) = ctx
        .store
        .call(|store| Ok((store.states_before(&watches, made.at)?, store.circuits(Some(&session.id))?)))?;
    let breaker = circuits.into_iter().find(|row| row.agent == made.agent).map(|row| row.breaker);
    let iteration = breaker.and_then(|breaker| {
        let calls = breaker.history.calls();
        let place = calls.iter().position(|call| call.id == call_id(id))?;
        breaker.iterations.checked_sub((calls.len() - 1 - place) as u64)
    });
    Ok(Explanation {
        call: id.to_owned(),
        session: session.id,
        agent: made.agent.clone(),
        tool: made.tool.clone(),
        at: made.at.to_rfc3339(),
        decision,
        reason,
        budgets: states.iter().map(BudgetStatus::of).collect(),
        iteration,
        max_iterations: ctx.config.breaker.limits.get("iterations"),
    })
}
