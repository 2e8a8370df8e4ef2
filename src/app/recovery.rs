//! Detects that a store lost data, and sends it what no transcript contains.

use super::installation::Installation;
use super::operation_ledger::OperationLedger;
use super::session::SessionContext;
use super::store_access;
use crate::platform::Env;
use crate::store::cache_file::CacheFile;
use crate::store::session_cache::{STALE, SessionCache};
use crate::store::{Applied, Store};

/// Maximum time that a hook spends on replaying operations, in milliseconds.
const HOOK_MS: i64 = 400;

/// Journal text: a shared store is back in an earlier state.
const WENT_BACK: &str = "the store went back in time (a copy was restored, or a lagging replica took over)";

/// Journal text: a shared store has a new id.
const EMPTIED: &str =
    "the store no longer knows this session (it was emptied, or renewed by another machine)";

/// Whether the store lost data of this session: it is not the store that the files were read for, or it went back in
/// time (a restored copy, a truncated log).
pub(super) fn lost_data(cache: &SessionCache, applied: &Applied) -> bool {
    !cache.store_id.is_empty()
        && (applied.store_id != cache.store_id
            || applied.sequence <= cache.sequence
            || applied.batch_sequence.is_behind(&cache.batch_sequence.next()))
}

/// Marks the store as incomplete, and makes this session start again.
///
/// # Errors
/// The store gave no answer; the next hook finds the mark.
pub(super) fn begin_recovery(ctx: &mut SessionContext, applied: &Applied) -> store_access::Result<()> {
    let known_as = ctx.cache.store_id.clone();
    // First, so that the next hook detects it if this process dies here: the store already has one batch more.
    let mut cache = ctx.lock_cache();
    if cache.store_id == known_as {
        cache.sequence = STALE;
    }
    ctx.save_cache(cache);
    let is_known = applied.store_id == known_as;
    let epoch = ctx.store.call(|store| mark_loss(store, &applied.store_id, is_known))?;
    // Losing the embedded store is this machine's own affair, and already known.
    if ctx.store.is_shared() {
        let what = if is_known { WENT_BACK } else { EMPTIED };
        ctx.notices.journal.push(format!("{what}: reading everything again from the transcripts"));
    }
    // Before the transcripts: an extended budget must not look exhausted.
    let replayed = replay_decisions(ctx);
    ctx.notices.log_failure(replayed);
    let mut cache = ctx.lock_cache();
    // If another hook detected it as well, the positions are already those of its second reading.
    if cache.lost.is_empty() {
        cache.lost = cache.positions.clone();
    }
    // Restarted, not removed: positions for the old store, known to a parallel hook, must not count as further ahead.
    cache.positions.values_mut().for_each(|position| position.restart());
    cache.unseen.resend();
    (cache.store_id, cache.sequence, cache.batch_sequence) =
        (epoch, applied.sequence, applied.batch_sequence.clone());
    ctx.save_cache(cache);
    Ok(())
}

/// Sends this machine's operations, and its time of installation, to a store that lacks them.
///
/// # Errors
/// The store gave no answer.
pub(super) fn replay_decisions(ctx: &mut SessionContext) -> store_access::Result<()> {
    let Some(dir) = ctx.env.state_dir() else { return Ok(()) };
    let (env, ledger) = (ctx.env, OperationLedger::new(&dir, &ctx.config));
    let replay = |store: &mut dyn Store| {
        send_installation(env, store);
        ledger.replay(store, Some(HOOK_MS))
    };
    ctx.store.call(replay).map(drop)
}

/// Marks the loss. `is_known`: the same store went back in time; otherwise it is a new one.
fn mark_loss(store: &mut dyn Store, epoch: &str, is_known: bool) -> crate::store::Result<String> {
    if is_known {
        return store.reset_store(epoch);
    }
    store.set_rebuilding(true)?;
    Ok(epoch.to_owned())
}

/// Checks whether the session caches know more than the store, and if so, marks the store to be refilled. Commands that
/// show numbers call this, because lists do not contain sessions that the store lost.
///
/// # Errors
/// The store cannot be used.
pub fn detect_loss(env: &Env, store: &mut dyn Store) -> crate::store::Result<()> {
    // Read the caches first, so that batches recorded meanwhile do not look like a loss.
    let of_session = |cache: &SessionCache| cache.session.transcript.is_some() && !cache.store_id.is_empty();
    let caches = CacheFile::all(&env.cache_dir()).into_iter().filter_map(|file| file.read());
    let caches = caches.filter(|cache| of_session(cache)).map(|cache| {
        let SessionCache { session, store_id: epoch, sequence, batch_sequence: own, .. } = *cache;
        (session.id, epoch, sequence, own)
    });
    let caches: Vec<_> = caches.collect();
    let epoch = store.store_id()?;
    // An emptied store may be missing from every cache.
    send_installation(env, store);
    let (sequences, owned) = (store.sequences()?, store.batch_sequences()?);
    for (id, known_as, sequence, own) in caches {
        let is_known = known_as == epoch;
        let is_behind = sequences.get(&id).is_none_or(|known| *known < sequence)
            || owned.get(&id).is_some_and(|known| known.is_behind(&own));
        if !is_known || is_behind {
            mark_loss(store, &epoch, is_known)?;
            break;
        }
    }
    Ok(())
}

/// Tells a store when Fusebox was installed here, unless it knows. What a session used before that is its history, and
/// raises its limit. Does nothing for a user who may only record.
pub fn send_installation(env: &Env, store: &mut dyn Store) {
    if store.installed_at().is_ok_and(|known| known.is_some()) {
        return;
    }
    if let Some(known) = env.state_dir().and_then(|dir| Installation::read(&dir)) {
        let _ = store.note_installation(known.installed_at);
    }
}
