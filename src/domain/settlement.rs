//! Settles a session with the client's own totals: finds the usage that is on no line, and the estimates it replaces.
//!
//! Recomputed from all totals whenever a total, or a message that one covers, changes. The result depends only on what
//! is recorded, not on the order.

use std::collections::BTreeSet;

use super::message::{ClientTotal, Message, MessageKey, UsageSource};
use super::time::Timestamp;
use super::usage::Usage;

/// How long before its boundary a compaction's call may have begun to answer, in milliseconds.
const COMPACTION_MS: i64 = 5 * 60 * 1000;

/// Returns `own`, the messages of one model in one session's files, adjusted to the session's totals for that model.
/// Usage beyond the lines goes to the last compaction that a total covers; without one, to a message named after the
/// run. Earlier compactions keep what an earlier total gave them, or as much of their estimate as the total allows.
///
/// * `session`: the session's number in [`Message::exact`].
/// * `own`: includes the messages named after the runs, if known, from any session.
/// * `elsewhere`: messages that the totals include but that are only in other sessions' files. A fork's total includes
///   its parent's subagents.
pub fn settle(
    session: u64,
    totals: &[ClientTotal],
    own: Vec<Message>,
    elsewhere: &[Message],
) -> Vec<Message> {
    let mut totals: Vec<&ClientTotal> = totals.iter().collect();
    totals.sort_by_key(|t| (t.at, t.usage.total(), t.run));
    let mut messages = own;
    for message in &mut messages {
        message.exact.remove(&session);
        message.share.remove(&session);
        if matches!(message.source, UsageSource::Response | UsageSource::Unseen) {
            message.settled.remove(&session);
        }
    }
    for total in &totals {
        let unlisted = unlisted_message(total);
        match messages.iter_mut().find(|m| m.key == unlisted.key) {
            Some(known) => known.at = known.at.min(unlisted.at),
            None => messages.push(unlisted),
        }
    }
    messages.sort_by_key(|m| (m.at, m.key));
    for total in totals {
        settle_one(session, total, &mut messages, elsewhere);
    }
    messages
}

fn settle_one(session: u64, total: &ClientTotal, messages: &mut [Message], elsewhere: &[Message]) {
    let run = run_key(total);
    let covers = |m: &Message| match m.source {
        // No line of it tells on which side of the total it is. A total can stay the last line of a file for long while
        // responses go by, so only the date before it is sure.
        UsageSource::Unseen => m.at <= total.at,
        _ => total.until.is_none_or(|until| m.at < until) || m.key == run,
    };
    let sum = |usages: &mut dyn Iterator<Item = Usage>| usages.fold(Usage::default(), Usage::plus);
    let others = sum(&mut elsewhere.iter().filter(|m| covers(m)).map(listed_usage));
    let mut covered: Vec<&mut Message> =
        messages.iter_mut().filter(|m| covers(m) && !m.is_superseded()).collect();
    let responses = covered.iter().filter(|m| matches!(m.source, UsageSource::Response | UsageSource::Part));
    let listed = sum(&mut responses.map(|m| m.recorded)).plus(others);
    // Some clients do not split the cache writes by lifetime: the lines do.
    let mut counted = total.usage;
    if counted.cache_write_1h == 0 {
        counted.cache_write_1h = listed.cache_write_1h.min(counted.cache_write_5m);
        counted.cache_write_5m -= counted.cache_write_1h;
    }
    // A total smaller than the lines (a run that lost its earlier total) says nothing.
    if !counted.covers(listed) {
        return;
    }
    for response in covered.iter_mut().filter(|m| m.is_cut() || m.source == UsageSource::Unseen) {
        response.settled.insert(session);
    }
    let mut rest = counted.saturating_minus(listed);
    let last = covered.iter().filter(|m| m.source == UsageSource::Compaction).map(|m| m.key).next_back();
    for earlier in covered.iter_mut().filter(|m| m.source == UsageSource::Compaction || m.key == run) {
        if earlier.key == last.unwrap_or(run) {
            continue;
        }
        if earlier.source == UsageSource::Compaction && earlier.exact.is_empty() {
            earlier.share.entry(session).or_insert(earlier.recorded.min(rest));
        }
        rest = rest.saturating_minus(earlier.usage());
    }
    if let Some(last) = covered.into_iter().find(|m| m.key == last.unwrap_or(run)) {
        last.exact.insert(session, rest);
    }
}

/// The tokens on a message's lines. For a compaction, which has none, its charge.
fn listed_usage(message: &Message) -> Usage {
    match message.source {
        UsageSource::Unseen => Usage::default(),
        UsageSource::Response | UsageSource::Part if !message.is_superseded() => message.recorded,
        _ => message.usage(),
    }
}

/// Of `compactions` (keys and times), those whose own calls are among `calls`: each call belongs to the first boundary
/// after it, if that follows soon.
pub fn called_compactions(
    compactions: &[(Timestamp, MessageKey)],
    calls: &[Timestamp],
) -> BTreeSet<MessageKey> {
    let boundary = |call: &Timestamp| {
        let next = compactions.iter().filter(|(at, _)| at >= call).min()?;
        (next.0.millis_since(*call) <= COMPACTION_MS).then_some(next.1)
    };
    calls.iter().filter_map(boundary).collect()
}

/// Identifies a run and a model.
pub fn run_key(total: &ClientTotal) -> MessageKey {
    MessageKey::from_parts(&["run", &total.run.to_string(), &total.model])
}

/// The message that takes usage on no line if there was no compaction. Every session with a total of the run has it,
/// even if empty: a fork continues its parent's run and finds the rest of its parent's total there.
fn unlisted_message(total: &ClientTotal) -> Message {
    let mut unlisted = Message::new(run_key(total), UsageSource::Unlisted, total.at);
    unlisted.model.clone_from(&total.model);
    unlisted.stopped = true;
    unlisted
}
