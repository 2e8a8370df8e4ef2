//! A person's decisions about circuit breakers: acknowledge, reset.

use super::operate::Refusal;
use super::store_access::StoreAccess;
use crate::domain::breaker::circuit::Trip;
use crate::domain::event::CircuitDecision;
use crate::platform::Env;

/// A breaker that was acknowledged or reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedCircuit {
    /// The subagent; empty for the main agent.
    pub agent: String,
    /// Why it had tripped, if it had.
    pub trip: Option<Trip>,
}

/// A person (`by`) decides about the breakers of one agent, or about all open ones of a session, with a reason.
///
/// # Errors
/// None is open (to acknowledge), there is no reason, or the store cannot be written.
pub fn decide_circuit(
    env: &Env,
    store: &mut StoreAccess,
    session: &str,
    agent: Option<&str>,
    decision: CircuitDecision,
    (by, reason): (&str, &str),
) -> Result<Vec<ChangedCircuit>, Refusal> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Refusal::NoReason);
    }
    let done = store.call(|store| store.decide_circuit(session, agent, decision, (by, reason), env.now))?;
    if done.is_empty() {
        let of = agent.map_or_else(String::new, |agent| match agent {
            "" => " for the main agent".to_owned(),
            agent => format!(" for agent {agent}"),
        });
        return Err(Refusal::NotOpen { session: session.to_owned(), of });
    }
    Ok(done.into_iter().map(|(agent, trip)| ChangedCircuit { agent, trip }).collect())
}
