//! Notes that a session is there: its client, and the session that it was started in.

use super::session::SessionContext;
use super::{ancestry, store_access};
use crate::store::session_cache::{SessionCache, UnreportedSession};
use crate::store::{self, Session, SessionRow, Store};

/// How many sessions are followed from one to the one that it was started in.
const MAX_ANCESTORS: usize = 16;

/// Notes the client that calls, where it is not the one that is known: the session was resumed, and its SessionStart
/// did not get that far, or found no store. Told by the variable that names it, where that is the parent, which costs nothing.
pub(super) fn note_client_change(ctx: &mut SessionContext) {
    let calls = ctx.source.client.named_client(ctx.env);
    let known = ctx.cache.session.client.map(|client| client.pid);
    if calls.is_some_and(|pid: u32| known != Some(pid) && pid == std::os::unix::process::parent_id()) {
        note(ctx, false);
    }
}

/// Notes that the session is there, with its client. `ended`: that it ends. Where the store does not answer, the session's cache
/// remembers it: the next hook tries again, or somebody else's.
pub(super) fn note(ctx: &mut SessionContext, ended: bool) {
    let mut session = ctx.session();
    session.transcript = ctx.source.transcript.clone().or(session.transcript);
    let now = ctx.env.now;
    if !ended && let Some(client) = ancestry::client(ctx.env, ctx.source.client) {
        session.client = Some(client);
        let known = session.parent.clone();
        let parent = ctx.store.call(|store| Ok(ancestry::parent(client, &session.id, store)));
        let inherited = || ancestry::inherited_parent(client, &session.id);
        session.parent = ctx.notices.swallow(parent).unwrap_or_else(inherited).or(known);
    }
    let ancestors = ctx.store.call(|store| {
        store.touch_session(&session, now, ended)?;
        line_of(&session.id, store)
    });
    let ancestors = ctx.notices.swallow(ancestors);
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
                // By its client it is noticed that the store knows it.
                cache.session = Session { client: None, ..session };
            }
        }
    }
    ctx.save_cache(cache);
}

/// The session as it was seen last, where that is more than the store was told.
pub(super) fn as_seen(cache: &SessionCache, row: &SessionRow) -> SessionRow {
    let Some(untold) = &cache.unreported else { return row.clone() };
    let parent = untold.parent.clone().or_else(|| row.session.parent.clone());
    let client = untold.client.or(row.session.client);
    SessionRow {
        session: Session { client, parent, ..row.session.clone() },
        last_seen: cache.ended.map_or(row.last_seen, |ended| ended.max(row.last_seen)),
        ended: cache.ended,
        complete: false,
    }
}

/// Tells the store what it was not told of a session that somebody else reads on in. `row`: the session as it was seen.
///
/// # Errors
/// The store gave no answer; the cache remembers it.
pub(super) fn tell(ctx: &mut SessionContext, row: &SessionRow) -> store_access::Result<()> {
    let Some(untold) = ctx.cache.unreported.clone() else { return Ok(()) };
    let SessionRow { session: Session { client, parent, .. }, last_seen, ended, .. } = row.clone();
    let session = Session { client, parent, ..ctx.session() };
    let ancestors = ctx.store.call(|store| {
        let known = store.session(&session.id)?;
        // On another machine it may have gone on.
        let went_on = known.zip(ended).is_some_and(|(known, ended)| ended < known.last_seen);
        if !went_on {
            store.touch_session(&session, ended.unwrap_or(last_seen), ended.is_some())?;
        }
        line_of(&session.id, store)
    })?;
    let mut cache = ctx.lock_cache();
    // Not what its own hooks have seen since.
    if cache.unreported.as_ref() == Some(&untold) && cache.ended == ended {
        cache.unreported = None;
        (cache.session, cache.ancestors) = (session, ancestors);
    }
    ctx.save_cache(cache);
    Ok(())
}

/// The sessions that a session was started in, innermost first.
fn line_of(session: &str, store: &mut dyn Store) -> store::Result<Vec<String>> {
    let mut line: Vec<String> = Vec::new();
    let mut next = store.session(session)?.and_then(|row| row.session.parent);
    while let Some(id) = next.filter(|id| line.len() < MAX_ANCESTORS && id != session && !line.contains(id)) {
        next = store.session(&id)?.and_then(|row| row.session.parent);
        line.push(id);
    }
    Ok(line)
}
