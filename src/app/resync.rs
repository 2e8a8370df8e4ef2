//! Reads every transcript of this machine again, whether or not anything seems to be missing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::operation_ledger::OperationLedger;
use super::store_access::{Result, StoreAccess};
use super::store_status::StoreStatus;
use super::{backfill, recovery, report, session_files, verify};
use crate::config::Config;
use crate::domain::budget::Unit;
use crate::domain::time::Timestamp;
use crate::platform::Env;

/// The result of a resync.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResyncReport {
    /// Sessions whose transcripts are on this machine.
    pub sessions: usize,
    /// Sessions that could not be completely read and recorded, and why.
    pub incomplete: BTreeMap<String, String>,
    /// Model responses in these sessions.
    pub requests: u64,
    /// Those that the store did not know.
    pub requests_added: u64,
    /// Decisions in this machine's ledger.
    pub operations: usize,
    /// Those that the store did not know.
    pub operations_added: usize,
    /// Those that the store's user may not record.
    pub operations_denied: usize,
    /// Budgets with a changed count.
    pub budgets: Vec<ChangedBudget>,
    /// The store.
    pub store: StoreStatus,
}

/// A budget whose count did not match the transcripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedBudget {
    /// Its name.
    pub name: String,
    /// The scope value.
    pub value: String,
    /// What it counts.
    pub unit: Unit,
    /// Units before.
    pub before: u64,
    /// Units after.
    pub after: u64,
}

/// What the store has counted, for comparison.
struct StoredCounts {
    requests: u64,
    budgets: BTreeMap<(String, String), (Unit, u64)>,
}

/// Reads every transcript of this machine from its start, and replays this machine's ledger. `progress` receives the
/// number of sessions done and the total.
///
/// # Errors
/// The store cannot be read or written, or the ledger cannot be read.
pub fn resync(
    env: &Env,
    config: &Config,
    store: &mut StoreAccess,
    mut progress: impl FnMut(usize, usize),
) -> Result<ResyncReport> {
    let now = env.now;
    let transcripts = session_files::transcripts(env);
    let ids: BTreeSet<String> = transcripts.keys().cloned().collect();
    let epoch = store.call(|store| store.store_id())?;
    let before = stored_counts(config, store, &ids, now)?;
    // Before the transcripts: an extended budget must not look exhausted.
    let ledger = env.state_dir().map(|dir| OperationLedger::new(&dir, config));
    let replayed = store.call(|store| {
        recovery::send_installation(env, store);
        ledger.map(|ledger| ledger.replay(store, None)).transpose()
    })?;
    let replayed = replayed.unwrap_or_default();
    let mut incomplete = BTreeMap::new();
    for (done, (session, transcript)) in transcripts.iter().enumerate() {
        progress(done, transcripts.len());
        let row = session_files::session_row(env, session, transcript);
        let (mut ctx, recorded) = backfill::reread(env, &row);
        if !(recorded.is_stored() && recorded.complete) {
            let why = recorded.failure.map(|error| error.to_string()).or_else(|| ctx.take_journal().pop());
            incomplete.insert(
                session.clone(),
                why.unwrap_or_else(|| "the end of the transcript was not reached".into()),
            );
        }
    }
    progress(transcripts.len(), transcripts.len());
    // The store may have been lost meanwhile.
    if incomplete.is_empty() && store.call(|store| store.store_id())? == epoch {
        store.call(|store| store.set_rebuilding(false))?;
    }
    // Counters can be wrong by themselves if others write to them.
    let rows = store.call(|store| store.sessions())?;
    let budget_keys = verify::budget_keys(config, store, &rows, |id| ids.contains(id), now)?;
    store.call(|store| store.recount(&budget_keys, now))?;
    let after = stored_counts(config, store, &ids, now)?;
    let changed = |((name, value), (unit, after)): (&(String, String), &(Unit, u64))| {
        let before = before.budgets.get(&(name.clone(), value.clone())).map_or(0, |(_, used)| *used);
        let (name, value, unit, after) = (name.clone(), value.clone(), *unit, *after);
        (before != after).then_some(ChangedBudget { name, value, unit, before, after })
    };
    Ok(ResyncReport {
        sessions: transcripts.len(),
        incomplete,
        requests: after.requests,
        requests_added: after.requests.saturating_sub(before.requests),
        operations: replayed.known,
        operations_added: replayed.added,
        operations_denied: replayed.denied,
        budgets: after.budgets.iter().filter_map(changed).collect(),
        store: StoreStatus::read(store, now)?,
    })
}

/// The requests of these sessions, and the usage of all budgets.
fn stored_counts(
    config: &Config,
    store: &mut StoreAccess,
    sessions: &BTreeSet<String>,
    now: Timestamp,
) -> Result<StoredCounts> {
    let rows = store.call(|store| store.sessions())?;
    let requests = store.call(|store| {
        let mut requests = 0;
        for id in sessions {
            requests += store.session_total(id)?.map_or(0, |total| total.amount.requests);
        }
        Ok(requests)
    })?;
    let states = report::budget_states(config, store, &rows, true, now)?;
    let of = |state: crate::domain::budget::BudgetState| {
        ((state.budget.name, state.value), (state.budget.unit, state.used))
    };
    Ok(StoredCounts { requests, budgets: states.into_iter().map(of).collect() })
}
