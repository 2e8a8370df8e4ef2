//! Explains why a call was denied or let through, with the numbers at that time.

use serde::Serialize;

use super::backfill;
use super::status::BudgetStatus;
use super::store_access::{self, StoreAccess};
use crate::agents;
use crate::agents::event::call_id;
use crate::domain::budget::Unit;
use crate::domain::event::{DenialReason, EventData};
use crate::domain::time::Timestamp;
use crate::platform::Env;
use crate::store::SessionRow;
use crate::transcript::tool_hash;

/// What happened to a call, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The client's id of the call.
    pub call: String,
    /// The session.
    pub session: String,
    /// The subagent; empty for the main agent.
    pub agent: String,
    /// The tool.
    pub tool: String,
    /// When it was decided (RFC 3339, UTC).
    pub at: String,
    /// `denied`, `stopped` (denied, and the turn ended) or `let_through`.
    pub decision: &'static str,
    /// The reason, with the numbers at that time; `null`: nothing denied it.
    pub reason: Option<DenialReason>,
    /// The budgets at that time.
    pub budgets: Vec<BudgetStatus>,
    /// Number of the call since a person's last prompt; `null`: the breaker was reset since then, or dropped the call
    /// from its history.
    pub iteration: Option<u64>,
    /// The maximum number; `null`: no limit.
    pub max_iterations: Option<u32>,
}

/// Explains the call with this id. `None` if no known session made it.
///
/// # Errors
/// The store cannot be read.
pub fn explain_call(
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
        let call = LocatedCall { session: row, agent, tool: denial.tool, at };
        return explanation(env, id, &call, decision, Some(denial.reason)).map(Some);
    }
    let Some(call) = find_in_transcripts(rows, id) else { return Ok(None) };
    explanation(env, id, &call, "let_through", None).map(Some)
}

/// A call found in the store or in a transcript.
struct LocatedCall<'r> {
    session: &'r SessionRow,
    agent: String,
    tool: String,
    at: Timestamp,
}

/// Searches the transcripts, most recent session first.
fn find_in_transcripts<'r>(rows: &'r [SessionRow], id: &str) -> Option<LocatedCall<'r>> {
    rows.iter().find_map(|session| {
        let transcript = session.session.transcript.as_ref()?;
        let transcripts = agents::agent_of_transcript(transcript).transcripts()?;
        transcripts.files(transcript).into_iter().find_map(|file| {
            let found = transcripts.find_call(&file.path, id)?;
            Some(LocatedCall {
                session,
                agent: file.agent.unwrap_or_default(),
                tool: found.tool,
                at: found.at,
            })
        })
    })
}

fn explanation(
    env: &Env,
    id: &str,
    call: &LocatedCall,
    decision: &'static str,
    reason: Option<DenialReason>,
) -> store_access::Result<Explanation> {
    let (mut ctx, _) = backfill::catch_up(env, call.session, u64::MAX);
    let session = ctx.session();
    let mut budget_keys = ctx.budget_keys(&session);
    // What the client said at that time is not kept.
    budget_keys.retain(|key| key.budget.unit != Unit::Percent);
    let (states, circuits) = ctx.store.call(|store| {
        Ok((store.states_before(&budget_keys, call.at)?, store.circuits(Some(&session.id))?))
    })?;
    let breaker = circuits.into_iter().find(|row| row.agent == call.agent).map(|row| row.breaker);
    let iteration = breaker.and_then(|breaker| {
        let calls = breaker.history.calls();
        let position = calls.iter().rposition(|call| call.has_id(call_id(id)))?;
        breaker.iterations.checked_sub((calls.len() - 1 - position) as u64)
    });
    Ok(Explanation {
        call: id.to_owned(),
        session: session.id,
        agent: call.agent.clone(),
        tool: call.tool.clone(),
        at: call.at.to_rfc3339(),
        decision,
        reason,
        budgets: states.iter().map(BudgetStatus::from_state).collect(),
        iteration,
        max_iterations: ctx.config.breaker.limits.get("iterations"),
    })
}
