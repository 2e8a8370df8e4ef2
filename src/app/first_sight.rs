//! Notes how long a session's files are when Fusebox first sees the session.
//!
//! Only what they hold then can be history: lines that are appended later carry whatever date their writer chose.

use super::session::SessionContext;
use super::store_access::Unavailable;
use super::transcript_reader::Positions;

/// Notes the lengths in the session's cache, before anything is read. A session that the store already knows was seen
/// before, and its cache was lost: none of its files counts as held then (the store remembers what was). Returns why
/// the store could not say so: nothing is noted then, and a later hook asks again.
pub fn note(ctx: &mut SessionContext) -> Option<Unavailable> {
    if is_noted(&ctx.cache.positions) {
        return None;
    }
    let first = ctx.transcript_reader().first_positions();
    if first.is_empty() {
        return None;
    }
    let id = &ctx.source.session;
    let total = match ctx.store.call(|store| store.session_total(id)) {
        Ok(total) => total,
        Err(error) => return Some(error),
    };
    let is_known = total.is_some_and(|total| total.amount.requests > 0);
    let mut cache = ctx.lock_cache();
    // A parallel hook that was first knows better.
    if is_noted(&cache.positions) {
        ctx.cache.positions.clone_from(&cache.positions);
        return None;
    }
    for (path, mut position) in first {
        position.held = position.held.filter(|_| !is_known).or(Some(0));
        cache.positions.insert(path, position);
    }
    ctx.cache.positions.clone_from(&cache.positions);
    if let (_, Err(error)) = cache.save() {
        ctx.notices.journal.push(format!("session cache: {error}"));
    }
    None
}

fn is_noted(positions: &Positions) -> bool {
    positions.values().any(|position| position.held.is_some() || position.is_opened())
}
