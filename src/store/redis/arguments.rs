//! A step as `transact.lua` reads it.
//!
//! An argument costs a server as much as a hundred bytes of one. So numbers stand in one of fixed width, the `head`,
//! and what few steps need is one text, of JSON, that the others leave unread. The order is: head, machine, session, that
//! text, when the session was seen; what is taken for given; the wanted counters; what is written.

use std::collections::BTreeMap;

use redis::ToRedisArgs;
use serde::Serialize;

use super::plan::{Alerting, COUNT, Command, Content, Found, Frame, Place, Plan, SCORE, Wanted};
use crate::store::{Result, StoreError};

/// What few steps need. Times that become part of a text again are texts: Lua's numbers lose digits there.
#[derive(Serialize)]
struct Rare<'p> {
    now: i64,
    claim_end: String,
    latest_claim: i64,
    /// Of each wanted counter.
    may_begin: Vec<bool>,
    moves: Vec<Move<'p>>,
    /// Whether some of them are of counters that are not wanted.
    moves_others: bool,
    alerting: Vec<Thresholds<'p>>,
    /// Whether one of them may be crossed, though all counters are as expected.
    may_cross: bool,
    /// Places whose alerts can be shown now.
    shows: BTreeMap<&'p str, bool>,
    events: &'p [(String, String, bool)],
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'p str>,
    commands: &'p [Command],
}

#[derive(Serialize)]
struct Move<'p> {
    /// Which of the wanted counters it is of; else its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    counter: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'p str>,
    start: String,
    at: i64,
    may_begin: bool,
    change: String,
}

#[derive(Serialize)]
struct Thresholds<'p> {
    counter: usize,
    which: String,
    place: &'p str,
    may_cross: bool,
    /// Units, ascending.
    thresholds: String,
    /// By units: what is there once one was raised, and the alert.
    alerts: BTreeMap<String, &'p (String, String)>,
}

impl<'p> Thresholds<'p> {
    fn of(budget: &'p Alerting) -> Self {
        let units: Vec<String> = budget.bounds.iter().map(|bound| bound.units.to_string()).collect();
        let near = budget.bounds.iter().filter_map(|b| Some((b.units.to_string(), b.alert.as_ref()?)));
        Self {
            counter: budget.counter + 1,
            which: budget.which.digits(),
            place: &budget.place,
            may_cross: budget.may_cross,
            thresholds: units.join(","),
            alerts: near.collect(),
        }
    }
}

/// What a place is, in the order in which the script looks at what is taken for given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A record that is not there.
    Absent,
    /// One that is.
    Present,
    /// A field of a hash, which holds something.
    Field,
    /// One that does not.
    Blank,
    /// A score.
    Score,
    /// What a wanted counter holds.
    Count,
}

impl Kind {
    /// What this place is, as far as is known.
    pub(super) fn of((place, value): &(Place, Option<Content>)) -> Self {
        match (place.1.as_str(), value) {
            ("", None) => Self::Absent,
            ("", Some(_)) => Self::Present,
            (field, _) if field.starts_with(SCORE) => Self::Score,
            (field, _) if field.starts_with(COUNT) => Self::Count,
            (_, Some(_)) => Self::Field,
            (_, None) => Self::Blank,
        }
    }
}

/// Words that are written one by one.
struct Words<'w>(&'w mut Vec<Vec<u8>>);

impl Words<'_> {
    fn arg(&mut self, word: impl ToRedisArgs) -> &mut Self {
        word.write_redis_args(self.0);
        self
    }
}

impl Plan {
    /// What stands at these places is taken for given.
    pub fn take_for_given(&mut self, found: Found) {
        self.given = found.into_iter().collect();
        // As the script answers.
        self.given.sort_by_key(Kind::of);
    }

    /// Writes it as the script reads it, word by word.
    pub fn write(&self, frame: &Frame, call: &mut Vec<Vec<u8>>) -> Result<()> {
        let rare = self.rare(frame);
        let is_rare =
            rare.moves_others || rare.may_cross || !self.events.is_empty() || !self.commands.is_empty();
        let rare = serde_json::to_string(&rare).map_err(|error| StoreError::Damaged(error.to_string()))?;
        let mut call = Words(call);
        call.arg(self.head(frame, is_rare)).arg(&frame.machine).arg(&frame.session).arg(rare);
        call.arg(self.seen.unwrap_or_default());
        // All records are read at once.
        let of = |kind| self.given.iter().filter(move |given| Kind::of(given) == kind);
        for ((key, _), _) in of(Kind::Absent).chain(of(Kind::Present)) {
            call.arg(key);
        }
        for (_, value) in of(Kind::Present) {
            call.arg(value);
        }
        for ((key, field), value) in of(Kind::Field).chain(of(Kind::Blank)) {
            call.arg(key).arg(field).arg(value);
        }
        for ((key, field), value) in of(Kind::Score) {
            call.arg(key).arg(&field[SCORE.len()..]).arg(value.as_deref().unwrap_or_default());
        }
        let mut given = BTreeMap::new();
        for ((key, field), value) in of(Kind::Count) {
            let since = &field[COUNT.len()..];
            let is_it =
                |(_, wanted): &(usize, &Wanted)| wanted.key == *key && wanted.since.to_string() == since;
            let Some((number, _)) = self.wanted.iter().enumerate().find(is_it) else {
                return Err(StoreError::Damaged(format!("{key}: taken for given, and not wanted")));
            };
            call.arg(number + 1);
            given.insert(number, value.as_deref().unwrap_or_default());
        }
        for (number, wanted) in self.wanted.iter().enumerate() {
            let (before, after) =
                wanted.expected.map_or_else(Default::default, |(b, a)| (b.to_string(), a.to_string()));
            let before = given.get(&number).copied().unwrap_or(before.as_bytes());
            call.arg(&wanted.key).arg(wanted.since).arg(before).arg(after);
        }
        for (key, score, member) in &self.listed {
            call.arg(key).arg(*score).arg(member);
        }
        for (key, record) in &self.records {
            call.arg(key).arg(record);
        }
        for (key, field, value) in &self.changed {
            call.arg(key).arg(field).arg(value);
        }
        Ok(())
    }

    /// Flags, then how many there are of each.
    fn head(&self, frame: &Frame, is_rare: bool) -> Vec<u8> {
        let mut head = Vec::with_capacity(64);
        head.extend(word(usize::try_from(frame.ttl).unwrap_or_default()));
        let claims = [!self.claim_alerts.is_empty(), self.claim_events.is_some()];
        head.extend([frame.refreshes, self.seen.is_some(), claims[0], claims[1], is_rare].map(u8::from));
        for kind in [Kind::Absent, Kind::Present, Kind::Field, Kind::Blank, Kind::Score, Kind::Count] {
            head.extend(word(self.given.iter().filter(|given| Kind::of(given) == kind).count()));
        }
        let is_first = |number: usize| {
            let of = |at: usize| (&self.wanted[at].key, self.wanted[at].since);
            (0..number).all(|earlier| of(earlier) != of(number))
        };
        let distinct = (0..self.wanted.len()).filter(|number| is_first(*number)).count();
        let written = [self.listed.len(), self.records.len(), self.changed.len()];
        for count in [self.wanted.len(), distinct].into_iter().chain(written) {
            head.extend(word(count));
        }
        head
    }

    fn rare(&self, frame: &Frame) -> Rare<'_> {
        let moves = self.moves.iter().map(|(key, moved, change, may_begin)| {
            let counter = self.wanted.iter().position(|w| w.key == *key && w.since == moved.start);
            Move {
                counter: counter.map(|number| number + 1),
                key: Some(key.as_str()).filter(|_| counter.is_none()),
                start: moved.start.to_string(),
                at: moved.at,
                may_begin: *may_begin,
                change: change.to_string(),
            }
        });
        let moves: Vec<Move<'_>> = moves.collect();
        Rare {
            now: frame.now,
            claim_end: frame.claim.0.to_string(),
            latest_claim: frame.claim.1,
            may_begin: self.wanted.iter().map(|wanted| wanted.may_begin).collect(),
            moves_others: moves.iter().any(|moved| moved.counter.is_none()),
            moves,
            alerting: self.alerting.iter().map(Thresholds::of).collect(),
            may_cross: self.alerting.iter().any(|budget| budget.may_cross),
            shows: self.claim_alerts.iter().map(|place| (place.as_str(), true)).collect(),
            events: &self.events,
            agent: self.claim_events.as_deref(),
            commands: &self.commands,
        }
    }
}

/// A number of the head.
fn word(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_as_wide_as_the_script_reads_it() {
        let script = include_str!("transact.lua");
        let (_, rest) = script.split_once("struct.unpack('>").unwrap();
        let (format, _) = rest.split_once('\'').unwrap();
        let width = 4 * format.matches("I4").count() + format.matches('B').count();
        let (session, machine) = (String::new(), String::new());
        let frame = Frame { now: 0, ttl: 1, refreshes: false, claim: (0, 0), machine, session };
        assert_eq!(Plan::default().head(&frame, false).len(), width, "{format}");
    }
}
