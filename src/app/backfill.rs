//! Reading on in other sessions: those that are not known to be complete, those that the store was not told of, and all of them
//! after a store was lost.

use super::open_store::StoreLocation;
use super::operation_ledger::OperationLedger;
use super::record::{self, Recorded};
use super::record_plan::RecordPlan;
use super::session::{Notices, SessionContext};
use super::store_access::{self, StoreAccess};
use super::{ancestry, presence, recovery, session_files};
use crate::agents;
use crate::config::Config;
use crate::platform::{Env, Stopwatch};
use crate::store::SessionRow;
use crate::store::cache_file::CacheFile;

/// How long a session must have ended before all of it is taken to be on disk.
const SETTLED_MS: i64 = 2_000;

/// Sessions that a hook reads on in at most.
const HOOK_SESSIONS: usize = 8;

/// Milliseconds that a hook spends on it at most.
const HOOK_MS: i64 = 400;

/// Bytes that a hook reads of each.
const HOOK_BYTES_EACH: u64 = 4 * 1024 * 1024;

/// Reads on, within bounds, in other sessions that are not known to be complete, or whose hooks could not tell the store. Done
/// at the start of a session: a killed session runs no more hooks, `/clear` writes its total after the last hook, and a store
/// that was out of reach all the while knows nothing of a session that is over.
pub fn read_on_others(ctx: &mut SessionContext) {
    let is_rebuilding = ctx.store.call(|store| store.is_rebuilding());
    if ctx.notices.swallow(is_rebuilding) == Some(true) {
        let mut said = rebuild(ctx.env, &ctx.config, Some(HOOK_MS), |_, _| ());
        ctx.notices.journal.append(&mut said.journal);
        ctx.notices.person.append(&mut said.person);
        return;
    }
    // Decisions are not tied to a session, so no session's hook would notice that one is missing.
    if ctx.store.is_shared() {
        let replayed = recovery::replay_decisions(ctx);
        ctx.notices.swallow(replayed);
    }
    let rows = ctx.store.call(|store| store.sessions());
    let Some(rows) = ctx.notices.swallow(rows) else { return };
    let own = &ctx.source.session;
    // A shared store lists those of other machines too, and does not know where any lie.
    let here = ctx.store.is_shared().then(|| agents::sessions(ctx.env));
    let is_here = |row: &SessionRow| {
        let id = &row.session.id;
        here.as_ref().is_none_or(|here| here.contains_key(id) || session_files::has_cache(ctx.env, id))
    };
    let owing = session_files::owing(ctx.env, &StoreLocation::new(&ctx.config));
    let is_owing = |row: &&SessionRow| owing.iter().any(|owing| owing.session.id == row.session.id);
    let incomplete = rows.iter().filter(|row| !is_owing(row) && !row.complete && is_here(row));
    let mut others: Vec<&SessionRow> =
        incomplete.chain(&owing).filter(|row| row.session.id != *own).collect();
    // Those that were not read for the longest time come first, so that each gets its turn.
    others.sort_by_cached_key(|row| (session_files::last_read(ctx.env, &row.session.id), row.last_seen));
    let started = Stopwatch::start();
    for row in others.into_iter().take(HOOK_SESSIONS) {
        let left = HOOK_MS - started.ms();
        if left < 0 {
            return;
        }
        let (mut other, _) = read_within(ctx.env, row, HOOK_BYTES_EACH, Some(left));
        ctx.notices.take_over(&mut other);
    }
}

/// Reads on in the sessions whose hooks could not tell the store at this location. For who asks for numbers: the store may not
/// even know them. Answers what went wrong on the way.
///
/// # Errors
/// The store is out of reach again.
pub fn read_on_owing(env: &Env, config: &Config) -> store_access::Result<Notices> {
    let mut notices = Notices::default();
    for row in session_files::owing(env, &StoreLocation::new(config)) {
        let (mut ctx, recorded) = read_on(env, &row, u64::MAX);
        notices.take_over(&mut ctx);
        match recorded.failure {
            Some(failure) if failure.is_out_of_reach() => return Err(failure),
            Some(failure) => notices.tell(&failure),
            None => {}
        }
    }
    Ok(notices)
}

/// Reads on in one session, and notes when nothing more can come. Answers the session, and what was found.
pub fn read_on<'a>(env: &'a Env, row: &SessionRow, max_bytes: u64) -> (SessionContext<'a>, Recorded) {
    let (mut ctx, recorded) = read_within(env, row, max_bytes, None);
    // A person waits for an answer, not for hooks.
    ctx.store.wake();
    (ctx, recorded)
}

/// The same, and begins nothing new after `max_ms` milliseconds.
fn read_within<'a>(
    env: &'a Env,
    row: &SessionRow,
    max_bytes: u64,
    max_ms: Option<i64>,
) -> (SessionContext<'a>, Recorded) {
    read_with(SessionContext::for_session(env, &row.session), row, max_bytes, max_ms)
}

/// Reads all of a session from its start, although it was read before. Answers the session, and what was found.
pub(super) fn read_again<'a>(env: &'a Env, row: &SessionRow) -> (SessionContext<'a>, Recorded) {
    let mut ctx = SessionContext::for_session(env, &row.session);
    // Not removed: what a parallel hook knows must not count as further on.
    let mut cache = ctx.lock_cache();
    cache.positions.values_mut().for_each(|position| position.restart());
    ctx.save_cache(cache);
    // A session of which only the transcript is left is in no cache.
    if ctx.cache.session.id != row.session.id {
        ctx.cache.session = row.session.clone();
    }
    read_with(ctx, row, u64::MAX, None)
}

fn read_with<'a>(
    mut ctx: SessionContext<'a>,
    row: &SessionRow,
    max_bytes: u64,
    max_ms: Option<i64>,
) -> (SessionContext<'a>, Recorded) {
    ctx.store.wake();
    // Of a session of another machine there is nothing to be read here; a batch of it would only look as if its own machine
    // had recorded one.
    if ctx.store.is_shared() && ctx.source.transcript.is_none() {
        let recorded = look_on(&mut ctx);
        return (ctx, recorded);
    }
    let row = &presence::as_seen(&ctx.cache, row);
    if let Err(failure) = presence::tell(&mut ctx, row) {
        ctx.notices.note(&failure);
        let recorded = Recorded { failure: Some(failure), ..Recorded::default() };
        return (ctx, recorded);
    }
    // Asked before reading: what a client writes that still runs may come after it.
    let over = match row.ended {
        Some(ended) => ctx.env.now.millis_since(ended) > SETTLED_MS,
        None => !ancestry::is_live(row, ctx.env.now),
    };
    let plan = RecordPlan { max_bytes, max_ms, seen: Some(row.last_seen), ..RecordPlan::for_session(false) };
    let recorded = record::record_and_keep(&mut ctx, &plan);
    if over && !row.complete && recorded.is_stored() && recorded.complete {
        let noted = ctx.store.call(|store| store.mark_complete(&row.session.id, row.last_seen));
        ctx.notices.swallow(noted);
    }
    (ctx, recorded)
}

/// Where a session's budgets stand, by what others recorded.
fn look_on(ctx: &mut SessionContext) -> Recorded {
    let (watches, now) = (ctx.watches(&ctx.session()), ctx.env.now);
    match ctx.store.call(|store| store.states(&watches, now)) {
        Ok(states) => Recorded { states, complete: true, ..Recorded::default() },
        Err(error) => Recorded { failure: Some(error), ..Recorded::default() },
    }
}

/// Fills a store that lost what it knew: every session that a cache or a transcript names is read from its start.
/// `progress` is told the number of sessions done and in all. With `for_ms` it ends early; what is done by then is only
/// looked at the next time. The store counts as filled (as far as this machine can) once everything was read and recorded.
/// Answers what went wrong on the way.
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
    let Some(epoch) = notices.swallow(epoch) else { return notices };
    // Before the transcripts: a budget that was extended must not look used up.
    let ledger = env.state_dir().map(|dir| OperationLedger::of(&dir, config));
    let replayed = store.call(|store| {
        recovery::tell_installation(env, store);
        ledger.map(|ledger| ledger.replay(store, for_ms)).transpose()
    });
    let replayed = notices.swallow(replayed);
    let mut filled = replayed.is_some_and(|replayed| replayed.is_none_or(|replayed| replayed.complete));
    store.close();
    let transcripts = session_files::transcripts(env);
    for (done, (session, transcript)) in transcripts.iter().enumerate() {
        progress(done, transcripts.len());
        if for_ms.is_some_and(|ms| started.ms() > ms) {
            return notices;
        }
        let cache = CacheFile::for_session(&env.cache_dir(), session).read().unwrap_or_default();
        if cache.store_id == epoch && session_files::is_read(&cache, transcript) {
            continue;
        }
        let row = session_files::row_of(env, session, transcript);
        let max_bytes = for_ms.map_or(u64::MAX, |_| HOOK_BYTES_EACH);
        let left = for_ms.map(|ms| ms - started.ms());
        let (mut ctx, recorded) = read_within(env, &row, max_bytes, left);
        notices.take_over(&mut ctx);
        filled &= recorded.is_stored() && recorded.complete;
    }
    progress(transcripts.len(), transcripts.len());
    // It may have been lost once more meanwhile.
    store.wake();
    if filled && store.call(|store| store.store_id()).is_ok_and(|now| now == epoch) {
        let noted = store.call(|store| store.set_rebuilding(false));
        notices.swallow(noted);
    }
    notices
}
