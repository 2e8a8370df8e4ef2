//! Notes that a session is there: its client, and the session that it was started in.

use super::ancestry;
use super::session::SessionContext;

/// How many sessions are followed from one to the one that it was started in.
const MAX_ANCESTORS: usize = 16;

/// Notes the client that calls, where it is not the one that is known: the session was resumed, and its SessionStart
/// did not get that far, or found no store. Told by `CLAUDE_PID` where that is the parent, which costs nothing.
pub(super) fn note_client_change(ctx: &mut SessionContext) {
    let calls = ctx.env.var("CLAUDE_PID").and_then(|pid| pid.parse().ok());
    let known = ctx.cache.session.client.map(|client| client.pid);
    if calls.is_some_and(|pid: u32| known != Some(pid) && pid == std::os::unix::process::parent_id()) {
        note(ctx, false);
    }
}

/// Notes that the session is there, with its client. `ended`: that it ends. Where the store does not answer, the next hook
/// tries again.
pub(super) fn note(ctx: &mut SessionContext, ended: bool) {
    let mut session = ctx.session();
    session.transcript = ctx.source.transcript.clone().or(session.transcript);
    let now = ctx.env.now;
    if !ended && let Some(client) = ancestry::client(ctx.env) {
        session.client = Some(client);
        let known = session.parent.clone();
        let parent = ctx.store.call(|store| Ok(ancestry::parent(client, &session.id, store)));
        session.parent = ctx.notices.swallow(parent).flatten().or(known);
    }
    let ancestors = ctx.store.call(|store| {
        store.see(&session, now, ended)?;
        let mut line: Vec<String> = Vec::new();
        let mut next = store.session(&session.id)?.and_then(|row| row.session.parent);
        while let Some(id) =
            next.filter(|id| line.len() < MAX_ANCESTORS && *id != session.id && !line.contains(id))
        {
            next = store.session(&id)?.and_then(|row| row.session.parent);
            line.push(id);
        }
        Ok(line)
    });
    let Some(ancestors) = ctx.notices.swallow(ancestors) else { return };
    let mut cache = ctx.lock_cache();
    (cache.session, cache.ancestors) = (session, ancestors);
    ctx.save_cache(cache);
}
