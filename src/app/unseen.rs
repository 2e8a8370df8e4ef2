//! Compares the responses that hooks are told of with what the transcripts show, and charges the missing ones as
//! estimates.
//!
//! A response is missing if its line is not there when its agent has made another one, or after two seconds. Before the
//! first charge, the hook waits for the line and looks for another file of the session.

use super::messages::notices;
use super::record_plan::RecordPlan;
use super::session::SessionContext;
use super::transcript_reader::{Awaited, MAX_WAIT_MS, POLL, ReadScope, TranscriptDelta};
use crate::agents;
use crate::domain::message::{Message, MessageKey};
use crate::domain::usage::Usage;
use crate::domain::verdict::ResponseSizes;
use crate::platform::Stopwatch;
use crate::prices::Prices;
use crate::store::repeated_ids::{Extent, HeardCalls};
use crate::store::session_cache::SessionCache;
use crate::store::unseen::{Charge, FIRST_RESPONSE, MAX_LAG_MS, Shown, UnseenChange, UnseenResponse};
use crate::transcript::{is_plain_id, text_hash, tool_hash};

/// What an event says about responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing.
    Nothing,
    /// A response of the caller ended, with the calls of these (hashed) ids.
    Calls(Vec<u64>),
    /// The caller's turn is stopped before this call (a hashed id): no event tells of the end of its response.
    Stopped(u64),
    /// The caller's turn ended, with this (hashed) text.
    Text(Option<u64>),
    /// The main agent's next turn begins.
    Prompt,
    /// The session ended.
    End,
}

impl Heard {
    /// A response with calls.
    pub fn calls(ids: &[String]) -> Self {
        // An empty id is on no line.
        Self::Calls(ids.iter().filter(|id| !id.is_empty()).map(|id| tool_hash(id)).collect())
    }

    /// The end of a turn.
    pub fn turn_end(ctx: &SessionContext, text: Option<&str>) -> Self {
        // The helper that compacts a conversation has no file: a boundary line counts for it.
        if ctx.source.is_client_helper() {
            return Self::Nothing;
        }
        Self::Text(text.filter(|text| !text.trim().is_empty()).map(text_hash))
    }
}

/// Compares what is known about responses with what was just read, in this hook's copy of the cache. Returns the
/// messages to record besides. `changes` receives what is to be applied to the shared cache.
pub(super) fn settle(
    ctx: &mut SessionContext,
    plan: &RecordPlan,
    delta: &mut TranscriptDelta,
    is_last: bool,
    changes: &mut Vec<UnseenChange>,
) -> Vec<Message> {
    if ctx.cache.unseen.is_empty() && plan.heard == Heard::Nothing {
        return Vec::new();
    }
    let seen = ctx.cache.unseen.seen(&delta.facts, &delta.positions);
    let mut change = UnseenChange { seen, ..UnseenChange::default() };
    ctx.cache.unseen.apply(&change);
    let mut heard = if is_last { heard_response(ctx, &plan.heard, delta, &mut change) } else { None };
    if is_last && delta.is_telling {
        let mut missing = overdue(ctx, plan, heard.as_ref());
        let is_new = missing.iter().any(|response| !ctx.cache.unseen.is_missing(&response.agent));
        // Another file may turn up later.
        let is_between_turns = matches!(plan.heard, Heard::Prompt | Heard::Text(_) | Heard::End);
        if is_new || (is_between_turns && ctx.cache.unseen.is_missing(ctx.agent())) {
            look_again(ctx, plan, delta, heard.as_ref(), &mut change, is_new);
            heard = heard.filter(|heard| !heard.is_shown(&delta.positions));
            missing = if delta.is_telling { overdue(ctx, plan, heard.as_ref()) } else { Vec::new() };
        }
        let is_late = |heard: &&UnseenResponse| {
            ctx.cache.unseen.is_missing(&heard.agent) || missing.iter().any(|late| late.agent == heard.agent)
        };
        let at_once = heard.iter().find(is_late).cloned();
        missing.extend(at_once);
        // Kept with them: responses get larger, and a store that lost its data gets these estimates again.
        let usage = estimated_usage(&ctx.cache);
        for response in &mut missing {
            let model = ctx.cache.models.get(&response.agent).or_else(|| ctx.cache.models.get(""));
            (response.usage, response.model) = (usage, model.cloned().unwrap_or_default());
        }
        change.missing = missing;
    }
    change.heard = heard;
    change.calls = if is_last { heard_calls(ctx, &plan.heard, delta) } else { None };
    ctx.cache.unseen.apply(&change);
    if !change.missing.is_empty() {
        note_missing(ctx, plan);
    }
    if ctx.cache.unseen.unsent().next().is_some() {
        // Before the store is told: if this hook is killed, the next one knows what may have been charged. And another
        // hook for the same event may have given the response its key.
        let mut cache = ctx.lock_cache();
        cache.unseen.apply(&change);
        cache.unseen.told |= ctx.cache.unseen.told;
        let (saved, written) = cache.save();
        ctx.cache.unseen = saved.unseen;
        if let Err(error) = written {
            ctx.notices.journal.push(format!("session cache: {error}"));
        }
    }
    changes.push(change);
    estimates(&ctx.cache, &ctx.config.prices)
}

/// The messages that the store has not acknowledged: estimates, and revoked ones.
pub(super) fn estimates(cache: &SessionCache, prices: &Prices) -> Vec<Message> {
    let priced = |response: &UnseenResponse| {
        let mut message = response.estimate();
        prices.price(&mut message, None);
        message
    };
    cache.unseen.unsent().map(priced).collect()
}

/// What a response is charged that no file shows: as much as the largest one so far.
fn estimated_usage(cache: &SessionCache) -> Usage {
    Some(cache.sizes.largest).filter(|usage| usage.total() > 0).unwrap_or(FIRST_RESPONSE)
}

/// The response that an event told of, unless a file shows it.
fn heard_response(
    ctx: &SessionContext,
    heard: &Heard,
    delta: &TranscriptDelta,
    change: &mut UnseenChange,
) -> Option<UnseenResponse> {
    let (calls, text) = match heard {
        Heard::Calls(calls) if !calls.is_empty() => (calls.clone(), None),
        Heard::Stopped(call) => (vec![*call], None),
        Heard::Text(Some(text)) => (Vec::new(), Some(*text)),
        _ => return None,
    };
    // A protocol without transcripts has its charges in its events.
    ctx.source.client.transcripts()?;
    let (source, now) = (&ctx.source, ctx.env.now);
    let agent_type = match source.agent {
        None => "main",
        Some(_) => source.agent_type.as_deref().unwrap_or_default(),
    };
    let mut parts = vec!["unseen".to_owned(), source.session.clone(), ctx.agent().to_owned()];
    parts.extend(calls.iter().map(u64::to_string));
    // The same text can end two turns.
    parts.extend(text.map(|text| format!("text {text} {}", now.0)));
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let own = delta.positions.values().filter(|position| position.agent == source.agent);
    let mut response = UnseenResponse {
        key: MessageKey::from_parts(&parts),
        agent: ctx.agent().to_owned(),
        agent_type: agent_type.to_owned(),
        at: now,
        after: text.and_then(|_| own.filter_map(|position| position.last_message_at).max()),
        calls,
        text,
        was_stopped: matches!(heard, Heard::Stopped(_)),
        repeats: None,
        usage: Usage::default(),
        model: String::new(),
        charge: Charge::Awaited,
    };
    let unseen = &ctx.cache.unseen;
    if let Some(progress) = response.shown_at(&delta.positions) {
        let shown = response.text.map(|text| Shown { text, at: now, progress });
        match unseen.last_shown(&response.agent).zip(shown) {
            Some((last, shown)) if (last.text, last.progress) == (shown.text, progress) => {
                // The same event again.
                if now.millis_since(last.at).abs() < MAX_LAG_MS {
                    return None;
                }
                response.repeats = Some(progress);
            }
            _ => {
                change.shown = shown.map(|shown| (response.agent, shown));
                return None;
            }
        }
    }
    let response = unseen.known(&response).cloned().unwrap_or(response);
    (!response.is_shown(&delta.positions)).then_some(response)
}

/// The calls that an event told of, with how far the files are.
fn heard_calls(ctx: &SessionContext, heard: &Heard, delta: &TranscriptDelta) -> Option<HeardCalls> {
    let Heard::Calls(ids) = heard else { return None };
    ctx.source.client.transcripts()?;
    // Each agent has ids of its own.
    let of_agent = |id: &u64| MessageKey::from_parts(&[ctx.agent(), &id.to_string()]).short();
    (delta.complete && !ids.is_empty()).then(|| HeardCalls {
        ids: ids.iter().map(of_agent).collect(),
        at: ctx.env.now,
        extent: Extent::of(&delta.positions),
    })
}

/// The responses that should be in a file by now. `heard`: the one that just ended.
fn overdue(ctx: &SessionContext, plan: &RecordPlan, heard: Option<&UnseenResponse>) -> Vec<UnseenResponse> {
    let agent = ctx.agent();
    let is_past = |response: &UnseenResponse| match plan.heard {
        Heard::Nothing => false,
        Heard::End => true,
        _ => response.agent == agent && heard.is_none_or(|heard| heard.key != response.key),
    };
    let is_read = |response: &UnseenResponse| plan.scope == ReadScope::All || response.agent == agent;
    let is_current = |response: &UnseenResponse| heard.is_some_and(|heard| heard.key == response.key);
    ctx.cache.unseen.overdue(ctx.env.now, is_past, |response| is_read(response) && !is_current(response))
}

/// Looks for another file of the session. `waits`: nothing is known to be missing yet, so this waits for the lines.
fn look_again(
    ctx: &mut SessionContext,
    plan: &RecordPlan,
    delta: &mut TranscriptDelta,
    heard: Option<&UnseenResponse>,
    change: &mut UnseenChange,
    waits: bool,
) {
    let session = &ctx.source.session;
    let found = if is_plain_id(session) { agents::find_transcripts(ctx.env, session) } else { Vec::new() };
    let read = ctx.transcript_reader().transcripts;
    let others = found.into_iter().filter(|path| !read.contains(&Some(path.as_path())));
    // A file can have a position, and not be read any more: the cache was lost.
    let other = others.min_by_key(|path| delta.positions.contains_key(path));
    if other.is_none() && !waits {
        return;
    }
    if let Some(other) = other {
        if !delta.positions.contains_key(&other) {
            ctx.notices.journal.push(format!("{}: another transcript of the session", other.display()));
        }
        ctx.cache.session.transcript = Some(other);
    }
    // Do not hold the store open while waiting.
    ctx.store.close();
    let started = Stopwatch::start();
    loop {
        let found =
            ctx.read_new(delta.positions.clone(), ReadScope::All, &Awaited::Nothing, plan.slice_bytes);
        ctx.cache.learn(&found.facts);
        let seen = ctx.cache.unseen.seen(&found.facts, &found.positions);
        let shown = UnseenChange { seen, ..UnseenChange::default() };
        ctx.cache.unseen.apply(&shown);
        change.seen.extend(shown.seen);
        delta.facts.extend(found.facts);
        delta.parts.extend(found.parts);
        (delta.positions, delta.complete) = (found.positions, found.complete);
        delta.is_telling = found.is_telling;
        delta.bytes += found.bytes;
        if !waits || overdue(ctx, plan, heard).is_empty() || started.ms() >= MAX_WAIT_MS {
            return;
        }
        std::thread::sleep(POLL);
    }
}

/// Some responses are missing: tells the person once.
fn note_missing(ctx: &mut SessionContext, plan: &RecordPlan) {
    let usage = estimated_usage(&ctx.cache);
    let sizes = ResponseSizes { last_context: usage.total(), ..ResponseSizes::default() };
    // Otherwise nothing would ever be known about sizes, and every hook would be near a limit.
    ctx.cache.sizes = ctx.cache.sizes.merge(sizes);
    if ctx.cache.unseen.told {
        return;
    }
    let what = match ctx.source.transcript.as_deref() {
        None => "the client names no transcript".to_owned(),
        Some(path) if !path.exists() => format!("{} does not exist", path.display()),
        Some(path) if !path.is_file() => format!("{} is not a regular file", path.display()),
        Some(path) => format!("{} or a file of its subagents lacks responses", path.display()),
    };
    ctx.notices.journal.push(format!("incomplete transcript: {what}"));
    if plan.claim_alerts {
        // Saved before it is printed. If this hook is killed in between, the journal and `status` still say it; saved
        // afterwards, parallel hooks would all say it.
        ctx.notices.person.push(notices::incomplete(&what));
        ctx.cache.unseen.told = true;
    }
}
