//! Records the presence of a session: its client and its parent session.

use super::session::SessionContext;
use super::{process_tree, store_access};
use crate::store::session_cache::{SessionCache, UnreportedSession};
use crate::store::{self, Session, SessionRow, Store};

/// The maximum number of ancestors of a session.
const MAX_ANCESTORS: usize = 16;

/// Records the calling client if it changed: the session was resumed, and its SessionStart was interrupted or could not
/// reach the store. Detected at no cost if the variable with the client's id names the parent process.
pub(super) fn note_client_change(ctx: &mut SessionContext) {
    let calls = ctx.source.client.named_client_pid(ctx.env);
    let known = ctx.cache.session.client.map(|client| client.pid);
    if calls.is_some_and(|pid: u32| known != Some(pid) && pid == std::os::unix::process::parent_id()) {
        record_presence(ctx, false);
    }
}

/// Records that the session is running, with its client, or that it `ended`. If the store does not answer, the
/// session's cache keeps it, and a later hook tries again.
pub(super) fn record_presence(ctx: &mut SessionContext, ended: bool) {
    let mut session = ctx.session();
    session.transcript = ctx.source.transcript.clone().or(session.transcript);
    let now = ctx.env.now;
    if !ended && let Some(client) = process_tree::calling_client(ctx.env, ctx.source.client) {
        session.client = Some(client);
        let found =
            ctx.store.call(|store| Ok(process_tree::parent_session(client, &session.id, &mut Some(store))));
        session.parent = match ctx.notices.log_failure(found) {
            // What was found without the store does not count any more.
            Some(found) if ctx.cache.unreported.is_some() => found,
            Some(found) => found.or(session.parent),
            None => process_tree::parent_session(client, &session.id, &mut None).or(session.parent),
        };
    }
    let ancestors = ctx.store.call(|store| {
        store.touch_session(&session, now, ended)?;
        ancestor_sessions(&session.id, store)
    });
    let ancestors = ctx.notices.log_failure(ancestors);
    let mut cache = ctx.lock_cache();
    cache.ended = ended.then_some(now);
    match ancestors {
        Some(ancestors) => {
            (cache.session, cache.ancestors) = (session, ancestors);
            cache.unreported = None;
        }
        None => {
            let before = cache
                .unreported
                .take()
                .unwrap_or(UnreportedSession { since: now, ..UnreportedSession::default() });
            let client = session.client.or(before.client);
            cache.unreported = Some(UnreportedSession { client, parent: session.parent.clone(), ..before });
            if cache.session.id != session.id {
                // The client tells later hooks whether the store knows the session.
                cache.session = Session { client: None, ..session };
            }
        }
    }
    ctx.save_cache(cache);
}

/// The session with changes that have not reached the store yet.
pub(super) fn with_unsent_changes(cache: &SessionCache, row: &SessionRow) -> SessionRow {
    let Some(unreported) = &cache.unreported else { return row.clone() };
    let parent = unreported.parent.clone().or_else(|| row.session.parent.clone());
    let client = unreported.client.or(row.session.client);
    SessionRow {
        session: Session { client, parent, ..row.session.clone() },
        last_seen: cache.ended.map_or(row.last_seen, |ended| ended.max(row.last_seen)),
        ended: cache.ended,
        complete: false,
    }
}

/// Sends the store what it lacks about a session that another process catches up on. `row`: the session as last seen.
///
/// # Errors
/// The store gave no answer; the cache keeps the data.
pub(super) fn send_presence(ctx: &mut SessionContext, row: &SessionRow) -> store_access::Result<()> {
    let Some(unreported) = ctx.cache.unreported.clone() else { return Ok(()) };
    let SessionRow { session: Session { client, parent, .. }, last_seen, ended, .. } = row.clone();
    let session = Session { client, parent, ..ctx.session() };
    let ancestors = ctx.store.call(|store| {
        let known = store.session(&session.id)?;
        // The session may have continued on another machine.
        let went_on = known.zip(ended).is_some_and(|(known, ended)| ended < known.last_seen);
        if !went_on {
            store.touch_session(&session, ended.unwrap_or(last_seen), ended.is_some())?;
        }
        ancestor_sessions(&session.id, store)
    })?;
    let mut cache = ctx.lock_cache();
    // Keep what its own hooks have recorded since.
    if cache.unreported.as_ref() == Some(&unreported) && cache.ended == ended {
        cache.unreported = None;
        (cache.session, cache.ancestors) = (session, ancestors);
    }
    ctx.save_cache(cache);
    Ok(())
}

/// The sessions that a session was started in, innermost first.
fn ancestor_sessions(session: &str, store: &mut dyn Store) -> store::Result<Vec<String>> {
    let mut line: Vec<String> = Vec::new();
    let mut next = store.session(session)?.and_then(|row| row.session.parent);
    while let Some(id) = next.filter(|id| line.len() < MAX_ANCESTORS && id != session && !line.contains(id)) {
        next = store.session(&id)?.and_then(|row| row.session.parent);
        line.push(id);
    }
    Ok(line)
}
