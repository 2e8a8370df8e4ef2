//! Records facts in the ledger. The client totals of a session are stored, and applied again whenever something that
//! they cover changes.

use std::collections::{BTreeMap, BTreeSet};

use super::Result;
use super::ledger::{Ledger, LedgerRows};
use crate::domain::message::{ClientTotal, Message, MessageKey, UsageSource};
use crate::domain::settlement;
use crate::domain::time::Timestamp;
use crate::transcript::{self, Fact};

/// How many sessions a change is propagated to: a fork's totals cover what its parent's say about a compaction.
const MAX_SESSIONS: usize = 64;

impl<R: LedgerRows> Ledger<'_, R> {
    /// Records facts. `settles`: there are already totals that may cover them.
    pub fn record(&mut self, facts: &[Fact], mut settles: bool) -> Result<()> {
        let (mut earliest, mut compacts) = (None, false);
        for fact in facts {
            match fact {
                Fact::Message(message) => {
                    compacts |= message.source == UsageSource::Compaction || is_compaction_call(message);
                    // Known messages are merged as well, which restores lists that the store lost.
                    let at = self.merge(message)?;
                    earliest = Some(earliest.map_or(at, |e: Timestamp| e.min(at)));
                }
                Fact::Origin(origin) => self.rows.note_origin(&self.session, origin)?,
                Fact::Total(total) => {
                    self.rows.note_total(&self.session, total)?;
                    settles = true;
                    earliest = Some(Timestamp(i64::MIN));
                }
            }
        }
        if compacts {
            match_compactions(self)?;
        }
        match earliest {
            Some(at) if settles => settle(self, at),
            _ => settle_others(self),
        }
    }
}

fn is_compaction_call(message: &Message) -> bool {
    message.agent.as_deref().is_some_and(transcript::is_compaction)
}

/// Marks the session's compactions whose own calls are in its files: these calls are charged, not the estimates.
fn match_compactions<R: LedgerRows>(ledger: &mut Ledger<'_, R>) -> Result<()> {
    let (session, hash) = (ledger.session.clone(), ledger.session_hash());
    let own = ledger.rows.own_messages(&session)?;
    let calls: Vec<Timestamp> = own.iter().filter(|m| is_compaction_call(m)).map(|m| m.at).collect();
    let compactions = || own.iter().filter(|m| m.source == UsageSource::Compaction);
    let times: Vec<_> = compactions().map(|m| (m.at, m.key)).collect();
    let called = settlement::called_compactions(&times, &calls);
    for compaction in compactions() {
        let mut matched = compaction.clone();
        let is_new = match called.contains(&compaction.key) {
            true => matched.settled.insert(hash),
            false => matched.settled.remove(&hash),
        };
        if is_new {
            ledger.replace(&matched)?;
        }
    }
    Ok(())
}

/// Settles the ledger's session, if a total covers a message dated `changed_at` or later, and then the sessions whose
/// totals cover the changes.
fn settle<R: LedgerRows>(ledger: &mut Ledger<'_, R>, changed_at: Timestamp) -> Result<()> {
    let mut open = BTreeMap::from([(ledger.session.clone(), changed_at)]);
    // New data in these files is not in the files of forks, but is in their totals.
    let session = ledger.session.clone();
    open.extend(ledger.rows.forks_of(&session)?.into_iter().map(|fork| (fork, changed_at)));
    settle_all(ledger, open)
}

/// Settles the other sessions whose files contain messages changed here, if the ledger's session has no total.
fn settle_others<R: LedgerRows>(ledger: &mut Ledger<'_, R>) -> Result<()> {
    let (mut open, session) = (BTreeMap::new(), ledger.session.clone());
    add_holders(ledger, &session, &mut open)?;
    settle_all(ledger, open)
}

fn settle_all<R: LedgerRows>(
    ledger: &mut Ledger<'_, R>,
    mut open: BTreeMap<R::Session, Timestamp>,
) -> Result<()> {
    for _ in 0..MAX_SESSIONS {
        let Some((session, at)) = open.pop_first() else { break };
        ledger.for_session(session.clone(), |ledger| settle_session(ledger, at))?;
        add_holders(ledger, &session, &mut open)?;
    }
    Ok(())
}

/// Adds the other sessions whose totals may cover the changes.
fn add_holders<R: LedgerRows>(
    ledger: &mut Ledger<'_, R>,
    session: &R::Session,
    open: &mut BTreeMap<R::Session, Timestamp>,
) -> Result<()> {
    for (message, at) in ledger.take_shared() {
        for other in ledger.rows.settling_holders(&message, session)? {
            let earliest = open.entry(other).or_insert(at);
            *earliest = at.min(*earliest);
        }
    }
    Ok(())
}

fn settle_session<R: LedgerRows>(ledger: &mut Ledger<'_, R>, changed_at: Timestamp) -> Result<()> {
    let session = ledger.session.clone();
    let totals = ledger.rows.totals(&session)?;
    if totals.iter().all(|t| t.until.is_some_and(|until| changed_at >= until)) {
        return Ok(());
    }
    let models: BTreeSet<&str> = totals.iter().map(|t| t.model.as_str()).collect();
    let all = ledger.rows.own_messages(&session)?;
    // Its unlisted usage has no line that could say so.
    let held = all.iter().any(|m| m.held);
    for model in models {
        let of_model: Vec<ClientTotal> = totals.iter().filter(|t| t.model == model).cloned().collect();
        let mut own: Vec<Message> = all.iter().filter(|m| m.total_model() == model).cloned().collect();
        let runs: BTreeSet<MessageKey> = of_model.iter().map(settlement::run_key).collect();
        for run in runs {
            if own.iter().all(|m| m.key != run) {
                own.extend(ledger.message(&run)?);
            }
        }
        let in_origins = origin_messages(ledger, model, &own)?;
        let mut settled = settlement::settle(ledger.session_hash(), &of_model, own.clone(), &in_origins);
        // The message named after a run belongs to every session with a total of the run, changed or not.
        for message in settled.iter_mut().filter(|m| m.source == UsageSource::Unlisted || !own.contains(m)) {
            message.held |= held && message.source == UsageSource::Unlisted;
            ledger.replace(message)?;
        }
    }
    Ok(())
}

/// Messages of the origins (mainly of their subagents) that a fork's total covers but its own files lack. A fork starts
/// with the last total of its origin, so these are the messages that this total covers, up to the start of the fork.
fn origin_messages<R: LedgerRows>(
    ledger: &mut Ledger<'_, R>,
    model: &str,
    own: &[Message],
) -> Result<Vec<Message>> {
    let session = ledger.session.clone();
    let mut seen: BTreeSet<MessageKey> = own.iter().map(|m| m.key).collect();
    let mut in_origins = Vec::new();
    for origin in ledger.rows.origins_of(&session)? {
        let mut theirs = ledger.rows.own_messages(&origin)?;
        theirs.retain(|m| m.total_model() == model);
        let common: BTreeSet<MessageKey> = theirs.iter().map(|m| m.key).collect();
        let begin = own.iter().filter(|m| !common.contains(&m.key)).map(|m| m.at).min();
        let begin = begin.unwrap_or(Timestamp(i64::MAX));
        let written = ledger.rows.totals(&origin)?.into_iter().filter(|t| t.model == model && t.at < begin);
        let Some(base) = written.max_by_key(|t| (t.usage.total(), t.at)) else { continue };
        let covered = |m: &Message| m.at < begin && base.until.is_none_or(|until| m.at < until);
        let missing = theirs.into_iter().filter(|m| covered(m) && m.source != UsageSource::Unlisted);
        in_origins.extend(missing.filter(|m| seen.insert(m.key)));
    }
    Ok(in_origins)
}
