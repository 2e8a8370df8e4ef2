//! Verifies a shared store by counting again: anyone with the hooks' password can write to it.

use std::collections::BTreeSet;
use std::path::Path;

use wildmatch::WildMatch;

use super::store_access::{Result, StoreAccess};
use super::temporary_store::TemporaryStore;
use super::{backfill, process_tree, report, session_files};
use crate::agents;
use crate::config::Config;
use crate::domain::budget::{Scope, Unit};
use crate::domain::counter::Attribution;
use crate::domain::time::Timestamp;
use crate::domain::usage::Amount;
use crate::platform::Env;
use crate::store::{BudgetKey, SessionRow, SessionTotal};

/// Maximum bytes of transcripts to read, most recent first.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// With more sessions than this, budgets over all of them are not summed, because that blocks Redis.
const MAX_SESSIONS: usize = 500;

/// How far ahead a window without an end is counted, in milliseconds.
const LIFETIME_MS: i64 = 10 * 366 * 24 * 3600 * 1000;

/// How often a differing counter is read before it is reported, because hooks record meanwhile.
const ATTEMPTS: u32 = 3;

/// The result of counting again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Sessions counted from their transcripts.
    pub sessions: usize,
    /// Sessions of this machine that were skipped, because there was too much to read.
    pub left_out: usize,
    /// Where the store has less than the transcripts.
    pub undercounted: Vec<Difference>,
    /// Where the store has more. Transcripts may have been deleted.
    pub overcounted: Vec<Difference>,
    /// Budgets whose counter differs from the sum of its messages.
    pub counters: Vec<Difference>,
}

/// A count that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `session ID`, or a budget and its value.
    pub subject: String,
    /// The unit.
    pub unit: &'static str,
    /// Units in the store.
    pub stored: u64,
    /// Units counted again.
    pub counted: u64,
}

/// Counts this machine's sessions from their transcripts, and budgets from their messages. Also records what hooks have
/// not recorded yet.
///
/// # Errors
/// The store cannot be read.
pub fn verify(env: &Env, config: &Config, store: &mut StoreAccess) -> Result<Verification> {
    let rows = store.call(|store| store.sessions())?;
    let (chosen, left_out) = local_sessions(env, &rows);
    let mut found = Verification { left_out, ..Verification::default() };
    let Ok(temporary) = TemporaryStore::new(env) else { return Ok(found) };
    let parents: BTreeSet<&str> = rows.iter().filter_map(|row| row.session.parent.as_deref()).collect();
    // All before comparing: a fork's count depends on other sessions.
    let read: Vec<&(SessionRow, SessionRow)> =
        chosen.iter().filter(|(_, row)| temporary.read_session(row)).collect();
    let mut beside = temporary.access();
    for (known, row) in read {
        // A failure for one session does not affect the next.
        beside.retry_now();
        let id = &row.session.id;
        let Ok(Some(counted)) = beside.call(|store| store.session_total(id)) else { continue };
        backfill::catch_up(env, row, u64::MAX);
        let Some(stored) = store.call(|store| store.session_total(id))? else { continue };
        found.sessions += 1;
        let subject = || format!("session {id}");
        found.undercounted.extend(difference(
            subject(),
            &stored,
            &counted,
            Amount::saturating_minus(counted.amount, stored.amount),
        ));
        // A live session continues meanwhile, a parent is charged for its children, and estimates may not be in
        // transcripts.
        let is_settled = !process_tree::is_live(known, env.now) && !parents.contains(id.as_str());
        if is_settled && stored.estimated_messages == counted.estimated_messages {
            let more = Amount::saturating_minus(stored.amount, counted.amount);
            found.overcounted.extend(difference(subject(), &stored, &counted, more));
        }
    }
    let ids: BTreeSet<&str> = chosen.iter().map(|(_, row)| row.session.id.as_str()).collect();
    for key in budget_keys(config, store, &rows, |id| ids.contains(id), env.now)? {
        found.counters.extend(counter_difference(store, &key, env.now)?);
    }
    Ok(found)
}

/// The budgets of some sessions, and those over all sessions unless the store has too many.
///
/// # Errors
/// The store cannot be read.
pub fn budget_keys(
    config: &Config,
    store: &mut StoreAccess,
    rows: &[SessionRow],
    is_meant: impl Fn(&str) -> bool,
    now: Timestamp,
) -> Result<Vec<BudgetKey>> {
    let states = report::budget_states(config, store, rows, true, now)?;
    let mut all: Vec<BudgetKey> =
        states.into_iter().map(|state| BudgetKey { budget: state.budget, value: state.value }).collect();
    // A session's value may not have been seen in the window yet, but its counter can exist.
    let meant: Vec<Attribution> =
        rows.iter().filter(|row| is_meant(&row.session.id)).map(|row| row.session.attribution()).collect();
    for budget in &config.budgets {
        let glob = WildMatch::new(&budget.matches);
        let values: BTreeSet<String> = match budget.scope {
            Scope::Model | Scope::AgentType => {
                store.call(|store| store.values(budget.scope, Timestamp(i64::MIN)))?.into_iter().collect()
            }
            scope => meant.iter().filter_map(|home| home.value(scope).map(str::to_owned)).collect(),
        };
        let new = values.into_iter().filter(|value| !value.is_empty() && glob.matches(value));
        let new = new.map(|value| BudgetKey { budget: budget.clone(), value });
        let new: Vec<BudgetKey> = new.filter(|key| !all.contains(key)).collect();
        all.extend(new);
    }
    all.retain(|key| match key.budget.scope {
        // Nothing is counted for it.
        _ if key.budget.unit == Unit::Percent => false,
        Scope::Session => is_meant(&key.value),
        _ => rows.len() <= MAX_SESSIONS,
    });
    Ok(all)
}

/// The stored sessions with transcripts on this machine, each as described by the store and by this machine, and the
/// number of skipped ones.
fn local_sessions(env: &Env, rows: &[SessionRow]) -> (Vec<(SessionRow, SessionRow)>, usize) {
    let transcripts = session_files::transcripts(env);
    let of = |row: &SessionRow| {
        let transcript = transcripts.get(&row.session.id).filter(|path| path.is_file())?;
        Some((
            row.clone(),
            session_files::session_row(env, &row.session.id, transcript),
            transcript_bytes(transcript),
        ))
    };
    let mut all: Vec<_> = rows.iter().filter_map(of).collect();
    all.sort_by_key(|(_, row, _)| std::cmp::Reverse(row.last_seen));
    let (there, mut bytes) = (all.len(), 0_u64);
    let fits = |(_, _, size): &(SessionRow, SessionRow, u64)| {
        bytes = bytes.saturating_add(*size);
        bytes <= MAX_BYTES
    };
    let chosen: Vec<_> = all.into_iter().take_while(fits).map(|(known, row, _)| (known, row)).collect();
    let left_out = there - chosen.len();
    (chosen, left_out)
}

fn transcript_bytes(transcript: &Path) -> u64 {
    let files = agents::transcript_files(transcript);
    files.iter().map(|file| std::fs::metadata(&file.path).map_or(0, |meta| meta.len())).sum()
}

fn difference(
    subject: String,
    stored: &SessionTotal,
    counted: &SessionTotal,
    by: Amount,
) -> Option<Difference> {
    let (unit, of): (_, fn(&Amount) -> u64) = match by {
        Amount { requests: 0, tool_calls: 0, .. } if by.usage.total() == 0 => return None,
        _ if by.usage.total() > 0 => ("tokens", |amount| amount.usage.total()),
        Amount { requests: 0, .. } => ("tool calls", |amount| amount.tool_calls),
        _ => ("requests", |amount| amount.requests),
    };
    Some(Difference { subject, unit, stored: of(&stored.amount), counted: of(&counted.amount) })
}

/// The difference between a budget's counter and the sum of its messages, if any.
fn counter_difference(
    store: &mut StoreAccess,
    key: &BudgetKey,
    now: Timestamp,
) -> Result<Option<Difference>> {
    let end = key.budget.window_at(now).end.unwrap_or(now.plus_millis(LIFETIME_MS));
    let moment = Timestamp(end.0 - 1);
    let budget_keys = std::slice::from_ref(key);
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let kept = store.call(|store| store.states(budget_keys, now))?.pop();
        let summed = store.call(|store| store.states_before(budget_keys, moment))?.pop();
        let (Some(kept), Some(summed)) = (kept, summed) else { return Ok(None) };
        if (kept.used, kept.history) == (summed.used, summed.history) {
            return Ok(None);
        }
        last = Some(Difference {
            subject: format!("budget {} of {}", key.budget.name, key.value),
            unit: key.budget.unit.noun(),
            stored: kept.used,
            counted: summed.used,
        });
    }
    Ok(last)
}
