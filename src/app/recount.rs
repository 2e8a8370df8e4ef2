//! Counting anew, beside a shared store: hooks' users write it, and whoever has their password can write anything there.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use wildmatch::WildMatch;

use super::scratch::Scratch;
use super::store_access::{Result, StoreAccess};
use super::{ancestry, backfill, report, session_files};
use crate::agents;
use crate::config::Config;
use crate::domain::budget::Scope;
use crate::domain::counter::Attribution;
use crate::domain::time::Timestamp;
use crate::domain::usage::Amount;
use crate::platform::Env;
use crate::store::{BudgetKey, SessionRow, SessionTotal};

/// Bytes of transcripts that are read at most, those written last first.
const MOST_BYTES: u64 = 512 * 1024 * 1024;

/// Sessions that a store may know at most for budgets over all of them to be added up: Redis does nothing else meanwhile.
const MOST_SESSIONS: usize = 500;

/// Milliseconds after which a lifetime is taken to be over.
const LIFETIME_MS: i64 = 10 * 366 * 24 * 3600 * 1000;

/// How often a counter that differs is looked at: hooks record meanwhile.
const LOOKS: u32 = 3;

/// What was counted anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recount {
    /// Sessions that were counted by their transcripts.
    pub sessions: usize,
    /// Sessions of this machine that were not: there was too much to read.
    pub left_out: usize,
    /// What the store says less of than the transcripts.
    pub less: Vec<Difference>,
    /// What it says more of: transcripts can be deleted, too.
    pub more: Vec<Difference>,
    /// Budgets whose counter is not the sum of their messages.
    pub counters: Vec<Difference>,
}

/// Something that does not agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What: `session ID`, or a budget and its value.
    pub what: String,
    /// What is counted.
    pub unit: &'static str,
    /// Units in the store.
    pub stored: u64,
    /// Units by counting anew.
    pub counted: u64,
}

/// Counts the sessions of this machine by their transcripts, and budgets by their messages. Records on the way what hooks
/// have not recorded yet.
///
/// # Errors
/// The store cannot be read.
pub fn recount(env: &Env, config: &Config, store: &mut StoreAccess) -> Result<Recount> {
    let rows = store.call(|store| store.sessions())?;
    let (chosen, left_out) = here(env, &rows);
    let mut found = Recount { left_out, ..Recount::default() };
    let Ok(scratch) = Scratch::new(env) else { return Ok(found) };
    let parents: BTreeSet<&str> = rows.iter().filter_map(|row| row.session.parent.as_deref()).collect();
    // All first: what a fork counts depends on what the others hold.
    let read: Vec<&(SessionRow, SessionRow)> = chosen.iter().filter(|(_, row)| scratch.read(row)).collect();
    let mut beside = scratch.store();
    for (known, row) in read {
        // A failure of one session says nothing about the next.
        beside.wake();
        let id = &row.session.id;
        let Ok(Some(counted)) = beside.call(|store| store.session_total(id)) else { continue };
        backfill::read_on(env, row, u64::MAX);
        let Some(stored) = store.call(|store| store.session_total(id))? else { continue };
        found.sessions += 1;
        let what = || format!("session {id}");
        found.less.extend(difference(
            what(),
            &stored,
            &counted,
            Amount::saturating_minus(counted.amount, stored.amount),
        ));
        // A live one goes on meanwhile; a parent bears what its children bring; estimates need not stand in transcripts.
        let is_settled = !ancestry::is_live(known, env.now) && !parents.contains(id.as_str());
        if is_settled && stored.estimated_messages == counted.estimated_messages {
            let more = Amount::saturating_minus(stored.amount, counted.amount);
            found.more.extend(difference(what(), &stored, &counted, more));
        }
    }
    let ids: BTreeSet<&str> = chosen.iter().map(|(_, row)| row.session.id.as_str()).collect();
    for watch in watches(config, store, &rows, |id| ids.contains(id), env.now)? {
        found.counters.extend(of_counter(store, &watch, env.now)?);
    }
    Ok(found)
}

/// The budgets of some sessions; and those over all sessions, where the store does not know too many.
///
/// # Errors
/// The store cannot be read.
pub fn watches(
    config: &Config,
    store: &mut StoreAccess,
    rows: &[SessionRow],
    is_meant: impl Fn(&str) -> bool,
    now: Timestamp,
) -> Result<Vec<BudgetKey>> {
    let states = report::budgets(config, store, rows, true, now)?;
    let mut all: Vec<BudgetKey> =
        states.into_iter().map(|state| BudgetKey { budget: state.budget, value: state.value }).collect();
    // What a session is charged to may not have been seen in the window yet: a counter can be there all the same.
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
        let new: Vec<BudgetKey> = new.filter(|watch| !all.contains(watch)).collect();
        all.extend(new);
    }
    all.retain(|watch| match watch.budget.scope {
        Scope::Session => is_meant(&watch.value),
        _ => rows.len() <= MOST_SESSIONS,
    });
    Ok(all)
}

/// The sessions that the store knows and whose transcripts are here: as the store says, and as this machine does. And how
/// many more there are.
fn here(env: &Env, rows: &[SessionRow]) -> (Vec<(SessionRow, SessionRow)>, usize) {
    let transcripts = session_files::transcripts(env);
    let of = |row: &SessionRow| {
        let transcript = transcripts.get(&row.session.id).filter(|path| path.is_file())?;
        Some((row.clone(), session_files::row_of(env, &row.session.id, transcript), size(transcript)))
    };
    let mut all: Vec<_> = rows.iter().filter_map(of).collect();
    all.sort_by_key(|(_, row, _)| std::cmp::Reverse(row.last_seen));
    let (there, mut bytes) = (all.len(), 0_u64);
    let fits = |(_, _, size): &(SessionRow, SessionRow, u64)| {
        bytes = bytes.saturating_add(*size);
        bytes <= MOST_BYTES
    };
    let chosen: Vec<_> = all.into_iter().take_while(fits).map(|(known, row, _)| (known, row)).collect();
    let left_out = there - chosen.len();
    (chosen, left_out)
}

fn size(transcript: &Path) -> u64 {
    let files = agents::files(transcript);
    files.iter().map(|file| std::fs::metadata(&file.path).map_or(0, |meta| meta.len())).sum()
}

fn difference(what: String, stored: &SessionTotal, counted: &SessionTotal, by: Amount) -> Option<Difference> {
    let (unit, of): (_, fn(&Amount) -> u64) = match by {
        Amount { requests: 0, tool_calls: 0, .. } if by.usage.total() == 0 => return None,
        _ if by.usage.total() > 0 => ("tokens", |amount| amount.usage.total()),
        Amount { requests: 0, .. } => ("tool calls", |amount| amount.tool_calls),
        _ => ("requests", |amount| amount.requests),
    };
    Some(Difference { what, unit, stored: of(&stored.amount), counted: of(&counted.amount) })
}

/// A budget's counter, where it is not the sum of its messages.
fn of_counter(store: &mut StoreAccess, watch: &BudgetKey, now: Timestamp) -> Result<Option<Difference>> {
    let end = watch.budget.window.at(now).end.unwrap_or(now.plus_millis(LIFETIME_MS));
    let moment = Timestamp(end.0 - 1);
    let watches = std::slice::from_ref(watch);
    let mut last = None;
    for _ in 0..LOOKS {
        let kept = store.call(|store| store.states(watches, now))?.pop();
        let summed = store.call(|store| store.states_before(watches, moment))?.pop();
        let (Some(kept), Some(summed)) = (kept, summed) else { return Ok(None) };
        if (kept.used, kept.history) == (summed.used, summed.history) {
            return Ok(None);
        }
        last = Some(Difference {
            what: format!("budget {} of {}", watch.budget.name, watch.value),
            unit: watch.budget.unit.noun(),
            stored: kept.used,
            counted: summed.used,
        });
    }
    Ok(last)
}
