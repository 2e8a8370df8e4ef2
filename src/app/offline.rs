//! While the store is unreachable, the session's hooks count locally. The positions acknowledged by the store do not
//! advance, so it receives everything once it is reachable again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::record_plan::{ReadProgress, RecordPlan, SLICE_BYTES};
use super::session::SessionContext;
use super::transcript_reader::{Awaited, Positions, ReadScope, TranscriptDelta};
use super::unseen;
use crate::config::{Config, Stamp};
use crate::domain::budget::{Budget, BudgetState};
use crate::domain::message::{Message, MessageKey};
use crate::domain::time::Timestamp;
use crate::store::offline_counts::{FileDelta, KnownFile, OfflineCounts};
use crate::store::session_cache::SessionCache;
use crate::store::unseen::UnseenChange;
use crate::store::{BudgetKey, Session};
use crate::transcript::Fact;
use crate::transcript::cursor::Position;

/// The agent id under which estimates are counted. No agent has such an id.
const BESIDE_FILES: &str = "/";

/// What one hook counted without the store, based on the store's last answer.
#[derive(Debug)]
pub(super) struct HookCount {
    counted: OfflineCounts,
    /// The budgets, as of the store's last answer.
    answered_states: Vec<BudgetState>,
    /// How far the files had been read for that answer.
    answered_positions: Positions,
    /// Charges from this hook's input, not from a file. Not stored.
    extra: FileDelta,
    stamp: Stamp,
    /// The session and the configuration, for a cache without them: the store has never answered.
    session: Session,
    config: Config,
}

/// Counts what was added to the files since the last hook that did, without the store.
pub(super) fn count(
    ctx: &mut SessionContext,
    plan: &RecordPlan,
    awaited: &Awaited,
    progress: &mut ReadProgress,
    changes: &mut Vec<UnseenChange>,
) -> HookCount {
    let session = ctx.session();
    let answered_positions = ctx.cache.answered_positions().clone();
    let (epoch, sequence, stamp) = (ctx.cache.store_id.clone(), ctx.cache.sequence, ctx.stamp);
    let known = ctx.cache.offline_counts.take().filter(|known| known.continues(&epoch, sequence, stamp));
    let mut counted = known.unwrap_or_default();
    (counted.at, counted.stamp, counted.since) = (ctx.env.now, Some(stamp), (epoch, sequence));
    let mut awaited = awaited;
    loop {
        let mut positions = answered_positions.clone();
        let further = counted.files.iter();
        positions.extend(further.map(|(path, file)| (path.clone(), Box::new(file.position.clone()))));
        let mut delta = ctx.read_new(positions, plan.scope, awaited, progress.next_slice());
        awaited = &Awaited::Nothing;
        let is_last = progress.advance(&delta);
        ctx.cache.learn(&delta.facts);
        let answered_states = last_answers(&ctx.cache, &ctx.budget_keys(&session), ctx.env.now);
        if !counted.covers(&answered_states) {
            // There is a new budget: count everything again, for all of them.
            counted.files.clear();
            progress.restart();
            continue;
        }
        let estimates = unseen::settle(ctx, plan, &mut delta, is_last, changes);
        let mut by_file = messages_by_file(&mut delta);
        for (path, position) in delta.positions {
            let messages = by_file.remove(&path).unwrap_or_default();
            add_file(&mut counted, &answered_positions, &path, messages, *position, &answered_states);
        }
        if is_last {
            let mut extra = FileDelta::default();
            let facts = plan.extra_facts.iter().cloned().filter_map(into_message);
            extra.add(facts, Position::default(), &answered_states);
            // Not under the agent's own id: of several files with lines of one agent, only one counts.
            let beside = |message| Message { agent: Some(BESIDE_FILES.into()), ..message };
            extra.add(estimates.into_iter().map(beside), Position::default(), &answered_states);
            counted.update_states(&answered_states, &extra);
            // Another transcript may have been found.
            let (session, config) = (ctx.session(), ctx.config.clone());
            return HookCount { counted, answered_states, answered_positions, extra, stamp, session, config };
        }
    }
}

impl HookCount {
    /// The budgets according to this count.
    pub fn states(&self) -> &[BudgetState] {
        &self.counted.states
    }

    /// Merges the count with those of the session's other hooks, and returns the resulting budgets. If the store has
    /// answered meanwhile, the count is dropped: the next hook starts from that answer.
    pub fn update_cache(self, cache: &mut SessionCache) -> Vec<BudgetState> {
        let Self { mut counted, answered_states, answered_positions, extra, stamp, session, config } = self;
        if cache.session.id.is_empty() {
            // Without its client, so that a hook that can reach the store reports it.
            cache.session = Session { client: None, ..session };
        } else {
            cache.session.transcript = session.transcript;
        }
        let (epoch, sequence) = (&cache.store_id, cache.sequence);
        if counted.continues(epoch, sequence, stamp) && *cache.answered_positions() == answered_positions {
            let other = cache.offline_counts.take().filter(|other| other.continues(epoch, sequence, stamp));
            other.into_iter().for_each(|other| counted.merge(other));
            counted.update_states(&answered_states, &extra);
            cache.offline_counts = Some(counted.clone());
            if cache.stamp.is_none() {
                // For processes that catch up on this session. Its own hooks compare the stamp of an answer.
                cache.config = Some(config);
            }
        }
        counted.states
    }
}

/// Adds the messages of a file.
fn add_file(
    counted: &mut OfflineCounts,
    answered_positions: &Positions,
    path: &Path,
    messages: Vec<Message>,
    position: Position,
    states: &[BudgetState],
) {
    let answered = answered_positions.get(path);
    if answered.map(Box::as_ref) == Some(&position) {
        return;
    }
    let file = counted.files.entry(path.to_owned()).or_default();
    if file.position.starts != position.starts || file.position == Position::default() {
        // Start where the store's answer ends; or it is another file, which starts with what was answered.
        *file = FileDelta::new(known_part(answered.map(Box::as_ref), &position));
    }
    file.add(messages, position, states);
}

/// The part of a file, read up to `position`, that the store already had.
fn known_part(answered: Option<&Position>, position: &Position) -> KnownFile {
    answered.map_or_else(KnownFile::default, |known| match known.starts == position.starts {
        true => KnownFile { message: known.last_message, until: None },
        false => KnownFile { message: None, until: known.last_message_at },
    })
}

/// The messages of a session that the store has not acknowledged, read from its transcripts. Nothing is stored.
pub(super) fn unacknowledged(ctx: &mut SessionContext) -> BTreeMap<MessageKey, Message> {
    let answered_positions = ctx.cache.answered_positions().clone();
    let (mut positions, mut messages) = (answered_positions.clone(), BTreeMap::<MessageKey, Message>::new());
    loop {
        let mut delta = ctx.read_new(positions, ReadScope::All, &Awaited::Nothing, SLICE_BYTES);
        ctx.cache.learn(&delta.facts);
        for (path, found) in messages_by_file(&mut delta) {
            let Some(position) = delta.positions.get(&path) else { continue };
            let known = known_part(answered_positions.get(&path).map(Box::as_ref), position);
            for message in found.into_iter().filter(|message| !known.includes(message)) {
                let merged = match messages.remove(&message.key) {
                    Some(known) => known.merge(&message),
                    None => message,
                };
                messages.insert(merged.key, merged);
            }
        }
        if delta.complete || delta.bytes == 0 {
            let estimates = unseen::estimates(&ctx.cache, &ctx.config.prices);
            messages.extend(estimates.into_iter().map(|message| (message.key, message)));
            return messages;
        }
        positions = delta.positions;
    }
}

/// The watched budgets in the store's last answer, under the current configuration.
fn last_answers(cache: &SessionCache, budget_keys: &[BudgetKey], now: Timestamp) -> Vec<BudgetState> {
    let fresh = |key: &BudgetKey| BudgetState::new(&key.budget, &key.value, key.budget.window_at(now));
    budget_keys.iter().map(|key| last_answer(cache, key, now).unwrap_or_else(|| fresh(key))).collect()
}

/// A budget in the store's last answer, under the current configuration; `None` if there is none.
pub(super) fn last_answer(cache: &SessionCache, key: &BudgetKey, now: Timestamp) -> Option<BudgetState> {
    let (budget, value) = (&key.budget, &key.value);
    let counts = |b: &Budget| (b.scope, b.unit, b.count, b.window.clone());
    let known = cache.states.iter().find(|s| s.budget.name == budget.name && s.value == *value)?;
    // If its window is over, the cached counts are for an earlier one.
    (counts(&known.budget) == counts(budget)).then(|| known.renewed(budget, now))
}

/// The messages of a delta, by file.
fn messages_by_file(delta: &mut TranscriptDelta) -> BTreeMap<PathBuf, Vec<Message>> {
    let mut messages = BTreeMap::<PathBuf, Vec<Message>>::new();
    let mut facts = std::mem::take(&mut delta.facts).into_iter();
    for (path, count) in std::mem::take(&mut delta.parts) {
        messages.entry(path).or_default().extend(facts.by_ref().take(count).filter_map(into_message));
    }
    messages
}

fn into_message(fact: Fact) -> Option<Message> {
    match fact {
        Fact::Message(message) => Some(message),
        _ => None,
    }
}
