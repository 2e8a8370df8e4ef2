//! Catches up on other sessions: those that are incomplete, those with data that never reached the store, and, after a
//! store was lost, all of them.

use super::open_store::StoreLocation;
use super::operation_ledger::OperationLedger;
use super::record::{self, Recorded};
use super::record_plan::RecordPlan;
use super::session::{Notices, SessionContext};
use super::store_access::{self, StoreAccess};
use super::{presence, process_tree, recovery, session_files};
use crate::agents;
use crate::config::Config;
use crate::platform::{Env, Stopwatch};
use crate::store::SessionRow;
use crate::store::cache_file::CacheFile;

/// How long after its end a session is assumed to be completely on disk, in milliseconds.
const SETTLED_MS: i64 = 2_000;

/// How many other sessions one hook catches up on.
const MAX_HOOK_SESSIONS: usize = 8;

/// Time that a hook spends on catching up, in milliseconds.
const HOOK_MS: i64 = 400;

/// Bytes that a hook reads per session.
const HOOK_BYTES_EACH: u64 = 4 * 1024 * 1024;

/// Catches up, within limits, on other sessions that are incomplete or have data that never reached the store. Called
/// at the start of a session: a killed session runs no more hooks, `/clear` writes its total after the last hook, and a
/// store that was unreachable until a session ended does not know that session.
pub fn catch_up_others(ctx: &mut SessionContext) {
    let is_rebuilding = ctx.store.call(|store| store.is_rebuilding());
    if ctx.notices.log_failure(is_rebuilding) == Some(true) {
        let mut said = rebuild(ctx.env, &ctx.config, Some(HOOK_MS), |_, _| ());
        ctx.notices.journal.append(&mut said.journal);
        ctx.notices.person.append(&mut said.person);
        return;
    }
    // Decisions belong to no session, so no session's hook would notice a missing one.
    if ctx.store.is_shared() {
        let replayed = recovery::replay_decisions(ctx);
        ctx.notices.log_failure(replayed);
    }
    let rows = ctx.store.call(|store| store.sessions());
    let Some(rows) = ctx.notices.log_failure(rows) else { return };
    let own = &ctx.source.session;
    // A shared store also lists sessions of other machines, and does not know where their files are.
    let here = ctx.store.is_shared().then(|| agents::transcripts_by_session(ctx.env));
    let is_here = |row: &SessionRow| {
        let id = &row.session.id;
        here.as_ref().is_none_or(|here| here.contains_key(id) || session_files::has_cache(ctx.env, id))
    };
    let unsent = session_files::unsent(ctx.env, &StoreLocation::new(&ctx.config));
    let is_unsent = |row: &&SessionRow| unsent.iter().any(|unsent| unsent.session.id == row.session.id);
    let incomplete = rows.iter().filter(|row| !is_unsent(row) && !row.complete && is_here(row));
    let mut others: Vec<&SessionRow> =
        incomplete.chain(&unsent).filter(|row| row.session.id != *own).collect();
    // Those not read for the longest time come first, so that each gets its turn.
    others.sort_by_cached_key(|row| (session_files::last_recorded(ctx.env, &row.session.id), row.last_seen));
    let started = Stopwatch::start();
    for row in others.into_iter().take(MAX_HOOK_SESSIONS) {
        let left = HOOK_MS - started.ms();
        if left < 0 {
            return;
        }
        let (mut other, _) = catch_up_within(ctx.env, row, HOOK_BYTES_EACH, Some(left));
        ctx.notices.append_from(&mut other);
    }
}

/// Catches up on the sessions with data that never reached this store. Commands that show numbers call this, because
/// the store may not know these sessions at all. Returns what went wrong.
///
/// # Errors
/// The store is unreachable again.
pub fn catch_up_unsent(env: &Env, config: &Config) -> store_access::Result<Notices> {
    let mut notices = Notices::default();
    for row in session_files::unsent(env, &StoreLocation::new(config)) {
        let (mut ctx, recorded) = catch_up(env, &row, u64::MAX);
        notices.append_from(&mut ctx);
        match recorded.failure {
            Some(failure) if failure.is_out_of_reach() => return Err(failure),
            Some(failure) => notices.warn_person(&failure),
            None => {}
        }
    }
    Ok(notices)
}

/// Catches up on one session, and marks it complete if nothing more can come.
pub fn catch_up<'a>(env: &'a Env, row: &SessionRow, max_bytes: u64) -> (SessionContext<'a>, Recorded) {
    let (mut ctx, recorded) = catch_up_within(env, row, max_bytes, None);
    // A person is waiting, not a hook.
    ctx.store.retry_now();
    (ctx, recorded)
}

/// Like [`catch_up`], but starts nothing new after `max_ms` milliseconds.
fn catch_up_within<'a>(
    env: &'a Env,
    row: &SessionRow,
    max_bytes: u64,
    max_ms: Option<i64>,
) -> (SessionContext<'a>, Recorded) {
    record_session(SessionContext::for_session(env, &row.session), row, max_bytes, max_ms)
}

/// Reads a whole session again from its start.
pub(super) fn reread<'a>(env: &'a Env, row: &SessionRow) -> (SessionContext<'a>, Recorded) {
    let mut ctx = SessionContext::for_session(env, &row.session);
    // Restarted, not removed: positions known to a parallel hook must not count as further ahead.
    let mut cache = ctx.lock_cache();
    cache.positions.values_mut().for_each(|position| position.restart());
    ctx.save_cache(cache);
    // A session with only a transcript has no cache.
    if ctx.cache.session.id != row.session.id {
        ctx.cache.session = row.session.clone();
    }
    record_session(ctx, row, u64::MAX, None)
}

fn record_session<'a>(
    mut ctx: SessionContext<'a>,
    row: &SessionRow,
    max_bytes: u64,
    max_ms: Option<i64>,
) -> (SessionContext<'a>, Recorded) {
    ctx.store.retry_now();
    // Files of another machine's session cannot be read here. A batch would only look as if its own machine had
    // recorded one.
    if ctx.store.is_shared() && ctx.source.transcript.is_none() {
        let recorded = states_from_store(&mut ctx);
        return (ctx, recorded);
    }
    let row = &presence::with_unsent_changes(&ctx.cache, row);
    if let Err(failure) = presence::send_presence(&mut ctx, row) {
        ctx.notices.log(&failure);
        let recorded = Recorded { failure: Some(failure), ..Recorded::default() };
        return (ctx, recorded);
    }
    // Checked before reading: a running client may write more afterwards.
    let over = match row.ended {
        Some(ended) => ctx.env.now.millis_since(ended) > SETTLED_MS,
        None => !process_tree::is_live(row, ctx.env.now),
    };
    let plan =
        RecordPlan { max_bytes, max_ms, seen_at: Some(row.last_seen), ..RecordPlan::for_session(false) };
    let recorded = record::record_and_cache(&mut ctx, &plan);
    if over && !row.complete && recorded.is_stored() && recorded.complete {
        let noted = ctx.store.call(|store| store.mark_complete(&row.session.id, row.last_seen));
        ctx.notices.log_failure(noted);
    }
    (ctx, recorded)
}

/// The states of a session's budgets, as recorded by other machines.
fn states_from_store(ctx: &mut SessionContext) -> Recorded {
    let (budget_keys, now) = (ctx.budget_keys(&ctx.session()), ctx.env.now);
    match ctx.store.call(|store| store.states(&budget_keys, now)) {
        Ok(states) => Recorded { states, complete: true, ..Recorded::default() },
        Err(error) => Recorded { failure: Some(error), ..Recorded::default() },
    }
}

/// Refills a store that lost its data: reads every session with a cache or transcript from its start. `progress`
/// receives the number of sessions done and the total. With `for_ms` it may stop early, and the next run continues. The
/// store counts as refilled by this machine once everything was read and recorded. Returns what went wrong.
pub fn rebuild(
    env: &Env,
    config: &Config,
    for_ms: Option<i64>,
    mut progress: impl FnMut(usize, usize),
) -> Notices {
    let started = Stopwatch::start();
    let mut notices = Notices::default();
    let mut store = StoreAccess::for_command(env, config);
    let epoch = store.call(|store| store.store_id());
    let Some(epoch) = notices.log_failure(epoch) else { return notices };
    // Before the transcripts: an extended budget must not look exhausted.
    let ledger = env.state_dir().map(|dir| OperationLedger::new(&dir, config));
    let replayed = store.call(|store| {
        recovery::send_installation(env, store);
        ledger.map(|ledger| ledger.replay(store, for_ms)).transpose()
    });
    let replayed = notices.log_failure(replayed);
    let mut filled = replayed.is_some_and(|replayed| replayed.is_none_or(|replayed| replayed.complete));
    store.close();
    let transcripts = session_files::transcripts(env);
    for (done, (session, transcript)) in transcripts.iter().enumerate() {
        progress(done, transcripts.len());
        if for_ms.is_some_and(|ms| started.ms() > ms) {
            return notices;
        }
        let cache = CacheFile::for_session(&env.cache_dir(), session).read().unwrap_or_default();
        if cache.store_id == epoch && session_files::is_fully_read(&cache, transcript) {
            continue;
        }
        let row = session_files::session_row(env, session, transcript);
        let max_bytes = for_ms.map_or(u64::MAX, |_| HOOK_BYTES_EACH);
        let left = for_ms.map(|ms| ms - started.ms());
        let (mut ctx, recorded) = catch_up_within(env, &row, max_bytes, left);
        notices.append_from(&mut ctx);
        filled &= recorded.is_stored() && recorded.complete;
    }
    progress(transcripts.len(), transcripts.len());
    // The store may have been lost again meanwhile.
    store.retry_now();
    if filled && store.call(|store| store.store_id()).is_ok_and(|now| now == epoch) {
        let noted = store.call(|store| store.set_rebuilding(false));
        notices.log_failure(noted);
    }
    notices
}
