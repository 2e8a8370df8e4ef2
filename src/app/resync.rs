//! Reading everything of this machine again, whether anything seems to be missing or not: for who doubts the store.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::guard::Guard;
use super::operate::Refusal;
use super::operation_ledger::OperationLedger;
use super::rebuild;
use super::recount;
use super::report;
use super::store_status::StoreStatus;
use crate::domain::budget::Unit;
use crate::store::Store;

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Resynced {
    /// Sessions whose transcripts are on this machine.
    pub sessions: usize,
    /// Those of them that could not be read and recorded to their ends, and why.
    pub incomplete: BTreeMap<String, String>,
    /// Model responses that count in them.
    pub requests: u64,
    /// Those of them that the store did not know.
    pub requests_added: u64,
    /// Decisions in this machine's ledger.
    pub operations: usize,
    /// Those of them that the store did not know.
    pub operations_added: usize,
    /// Those of them that the store does not let this user record.
    pub operations_denied: usize,
    /// Budgets whose count is another one now.
    pub budgets: Vec<ChangedBudget>,
    /// The store.
    pub store: StoreStatus,
}

/// A budget whose count was not what the transcripts say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedBudget {
    /// Its name.
    pub name: String,
    /// The value of its scope.
    pub value: String,
    /// What it counts.
    pub unit: Unit,
    /// Units before.
    pub before: u64,
    /// Units after.
    pub after: u64,
}

/// What a store says, to be compared.
struct Counted {
    requests: u64,
    budgets: BTreeMap<(String, String), (Unit, u64)>,
}

/// Reads every transcript of this machine from its start, and tells the store again what was decided here. `progress` is
/// told the number of sessions done and in all.
///
/// # Errors
/// The store cannot be read or written, or the ledger cannot be read.
pub fn resync(guard: &mut Guard, mut progress: impl FnMut(usize, usize)) -> Result<Resynced, Refusal> {
    let (env, config) = (guard.env, guard.config.clone());
    let transcripts = rebuild::transcripts(env);
    let ids: BTreeSet<String> = transcripts.keys().cloned().collect();
    let epoch = ask(guard, |store| store.epoch())?;
    let before = counted(guard, &ids)?;
    ask(guard, |store| {
        rebuild::tell_installation(env, store);
        Ok(())
    })?;
    // First, for a budget that was extended must not look used up.
    let ledger = env.state_dir().map(|dir| OperationLedger::of(&dir, &config));
    let replayed = match ledger {
        Some(ledger) => ask(guard, |store| ledger.replay(store, None))?,
        None => Default::default(),
    };
    let mut incomplete = BTreeMap::new();
    for (done, (session, transcript)) in transcripts.iter().enumerate() {
        progress(done, transcripts.len());
        let row = rebuild::row_of(env, session, transcript);
        let (of_session, metered) = rebuild::read_again(env, &row);
        if !(metered.stored && metered.complete) {
            let why = of_session.notes.last().cloned();
            incomplete.insert(session.clone(), why.unwrap_or_else(|| "its end was not reached".into()));
        }
    }
    progress(transcripts.len(), transcripts.len());
    // It may have been lost meanwhile.
    if incomplete.is_empty() && ask(guard, |store| store.epoch())? == epoch {
        ask(guard, |store| store.set_rebuilding(false))?;
    }
    // Counters can be wrong by themselves, where others write them too.
    let rows = ask(guard, |store| store.sessions())?;
    let (watches, now) = (recount::watches(guard, &rows, |id| ids.contains(id))?, guard.env.now);
    ask(guard, |store| store.count_anew(&watches, now))?;
    let after = counted(guard, &ids)?;
    let changed = |((name, value), (unit, after)): (&(String, String), &(Unit, u64))| {
        let before = before.budgets.get(&(name.clone(), value.clone())).map_or(0, |(_, used)| *used);
        let (name, value, unit, after) = (name.clone(), value.clone(), *unit, *after);
        (before != after).then_some(ChangedBudget { name, value, unit, before, after })
    };
    Ok(Resynced {
        sessions: transcripts.len(),
        incomplete,
        requests: after.requests,
        requests_added: after.requests.saturating_sub(before.requests),
        operations: replayed.known,
        operations_added: replayed.added,
        operations_denied: replayed.denied,
        budgets: after.budgets.iter().filter_map(changed).collect(),
        store: StoreStatus::of(guard)?,
    })
}

fn ask<T>(
    guard: &mut Guard,
    work: impl FnOnce(&mut dyn Store) -> crate::store::Result<T>,
) -> Result<T, Refusal> {
    let noted = guard.notes.len();
    guard.with_store(work).ok_or_else(|| Refusal::Store(guard.notes[noted..].join("; ")))
}

/// What counts in these sessions, and in all budgets.
fn counted(guard: &mut Guard, sessions: &BTreeSet<String>) -> Result<Counted, Refusal> {
    let rows = ask(guard, |store| store.sessions())?;
    let requests = ask(guard, |store| {
        let mut requests = 0;
        for id in sessions {
            requests += store.session_total(id)?.map_or(0, |total| total.amount.requests);
        }
        Ok(requests)
    })?;
    let states = report::budgets(guard, &rows, true)?;
    let of = |state: crate::domain::budget::BudgetState| {
        ((state.budget.name, state.value), (state.budget.unit, state.used))
    };
    Ok(Counted { requests, budgets: states.into_iter().map(of).collect() })
}
