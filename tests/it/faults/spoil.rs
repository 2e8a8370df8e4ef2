//! Records of the server are lost, damaged, or replaced by false ones, as by somebody with the hooks' password; and
//! repaired.
//!
//! Not covered: plausible lies. A message that claims more than any transcript here could be another machine's, and a
//! session charged to somebody else stays so.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::world::World;
use crate::redis::bytes;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// The Redis type of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RecordType {
    Text,
    Hash,
    Ranked,
    Set,
}

/// Records that numbers depend on, with their weights.
const KINDS: [(u64, (&str, RecordType)); 15] = [
    (8, ("message:", RecordType::Text)),
    (5, ("messages:", RecordType::Ranked)),
    (3, ("session:", RecordType::Text)),
    (4, ("live:", RecordType::Hash)),
    (2, ("sessions", RecordType::Ranked)),
    (6, ("counter:", RecordType::Hash)),
    (2, ("families", RecordType::Text)),
    (1, ("values", RecordType::Ranked)),
    (2, ("totals:", RecordType::Text)),
    (1, ("forks:", RecordType::Set)),
    (1, ("origins:", RecordType::Set)),
    (1, ("settles:", RecordType::Text)),
    (1, ("standings:", RecordType::Hash)),
    (1, ("machines", RecordType::Ranked)),
    (2, ("unchecked:", RecordType::Hash)),
];

impl RecordType {
    /// The possible damages of a record of this kind, with their weights.
    fn damages(self, kind: &str) -> &'static [(u64, &'static str)] {
        match (self, kind) {
            (_, "message:") => &[
                (2, "lost"),
                (1, "x"),
                (1, "empty"),
                (1, "half"),
                (1, "no UTF-8"),
                (1, "a list"),
                (1, "of another shape"),
                (1, "another one's"),
                (2, "other counts"),
                (2, "less"),
            ],
            (Self::Text, _) => &[
                (3, "lost"),
                (1, "x"),
                (1, "empty"),
                (1, "half"),
                (1, "no UTF-8"),
                (1, "a list"),
                (1, "of another shape"),
                (1, "another one's"),
            ],
            (_, "counter:") => {
                &[(2, "lost"), (2, "a part lost"), (1, "x"), (1, "empty"), (1, "1,2"), (4, "other counts")]
            }
            (_, "live:") => &[(2, "lost"), (2, "a part lost"), (2, "x"), (1, "empty"), (3, "another number")],
            (Self::Hash, _) => &[(2, "lost"), (1, "a part lost"), (1, "x"), (1, "empty"), (1, "a list")],
            (_, "messages:") => &[
                (3, "lost"),
                (3, "a part lost"),
                (1, "a message more that is not there"),
                (1, "another session's message more"),
                (1, "another date"),
            ],
            (Self::Ranked | Self::Set, _) => &[(1, "lost"), (1, "a part lost")],
        }
    }
}

impl World {
    /// Damages some records.
    pub fn spoil(&mut self) {
        if self.failing || !self.shared.as_ref().is_some_and(|shared| shared.faults.may_spoil) {
            return;
        }
        for _ in 0..self.random.within(1, 4) {
            let (kind, kept) = self.random.weighted(&KINDS);
            let fate = self.random.weighted(kept.damages(kind));
            let pattern = if kind.ends_with(':') { format!("d:{kind}*") } else { format!("d:{kind}") };
            let keys = self.shared.as_ref().unwrap().keys(&pattern);
            if keys.is_empty() || is_spared(&format!("{kind} {fate}")) {
                continue;
            }
            let key = self.random.pick(&keys).clone();
            let part = match kept {
                RecordType::Text => self.spoil_text(&key, fate, &keys),
                RecordType::Hash => self.spoil_hash(&key, fate),
                RecordType::Ranked | RecordType::Set => self.spoil_list(&key, fate, kept),
            };
            if let Some(part) = part {
                self.note(format!("{key} {part}: {fate}"));
                self.mark_doubtful();
            }
        }
    }

    fn ask_server(&self, words: &[&str]) -> String {
        self.shared.as_ref().unwrap().server.text(words)
    }

    fn lines(&self, words: &[&str]) -> Vec<String> {
        let mut lines: Vec<String> = self.ask_server(words).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Damages a record. Returns the damaged part, or `None` if there is none.
    fn spoil_text(&mut self, key: &str, fate: &str, keys: &[String]) -> Option<String> {
        let known = bytes(&self.shared.as_ref().unwrap().server.command(&["GET", key]));
        let new = match fate {
            "lost" => {
                self.ask_server(&["DEL", key]);
                return Some(String::new());
            }
            "half" => known[..known.len() / 2].to_vec(),
            "no UTF-8" => [&known[..known.len() / 2], b"\xff\xfe", &known[known.len() / 2..]].concat(),
            "another one's" => {
                let other = self.random.pick(keys);
                bytes(&self.shared.as_ref().unwrap().server.command(&["GET", other]))
            }
            "other counts" => {
                let mut message: Value = serde_json::from_slice(&known).ok()?;
                message["c"] = json!(self.counts());
                message.to_string().into_bytes()
            }
            "less" => with_less_usage(serde_json::from_slice(&known).ok()?)?.to_string().into_bytes(),
            _ => garbage(fate).into(),
        };
        self.set(&[b"SET", key.as_bytes(), &new, b"KEEPTTL"]);
        (new != known).then(String::new)
    }

    fn spoil_hash(&mut self, key: &str, fate: &str) -> Option<String> {
        if fate == "lost" {
            self.ask_server(&["DEL", key]);
            return Some(String::new());
        }
        let mut fields = self.lines(&["HKEYS", key]);
        if fate == "another number" {
            fields.retain(|field| field.starts_with("sequence"));
        }
        if fields.is_empty() {
            return None;
        }
        let field = self.random.pick(&fields).clone();
        let new = match fate {
            "a part lost" => {
                self.ask_server(&["HDEL", key, &field]);
                return Some(field);
            }
            "other counts" => self.counts().map(|count| count.to_string()).join(","),
            "another number" => {
                let known: u64 = self.ask_server(&["HGET", key, &field]).parse().ok()?;
                let by = self.random.within(1, 9);
                let is_less = self.random.chance(60);
                if is_less { known.saturating_sub(by) } else { known + by }.to_string()
            }
            _ => garbage(fate).into(),
        };
        self.ask_server(&["HSET", key, &field, &new]);
        Some(format!("{field} is {new:?}"))
    }

    fn spoil_list(&mut self, key: &str, fate: &str, kept: RecordType) -> Option<String> {
        if fate == "lost" {
            self.ask_server(&["DEL", key]);
            return Some(String::new());
        }
        let ranked = kept == RecordType::Ranked;
        let members = if ranked { ["ZRANGE", key, "0", "-1"].to_vec() } else { vec!["SMEMBERS", key] };
        let members = self.lines(&members);
        let member = if members.is_empty() { return None } else { self.random.pick(&members).clone() };
        let now = self.now(0).to_string();
        match fate {
            "a message more that is not there" => {
                let hex = format!("{:032x}", self.random.next());
                self.ask_server(&["ZADD", key, &now, &hex]);
                Some(hex)
            }
            "another session's message more" => {
                let mut all = self.shared.as_ref().unwrap().keys("d:message:*");
                all.retain(|of| members.iter().all(|member| !of.ends_with(member.as_str())));
                let hex = if all.is_empty() { return None } else { self.random.pick(&all) };
                let hex = hex.rsplit(':').next()?.to_owned();
                self.ask_server(&["ZADD", key, &now, &hex]);
                Some(hex)
            }
            "another date" => {
                let by = self.random.within(0, 100).cast_signed() * DAY_MS - 50 * DAY_MS;
                let at = (self.now(0) + by).to_string();
                self.ask_server(&["ZADD", key, "XX", &at, &member]);
                Some(format!("{member} at {at}"))
            }
            _ => {
                self.ask_server(&[if ranked { "ZREM" } else { "SREM" }, key, &member]);
                Some(member)
            }
        }
    }

    fn set(&self, words: &[&[u8]]) {
        self.shared.as_ref().unwrap().server.command_of_bytes(words);
    }

    /// Random false counts.
    fn counts(&mut self) -> [u64; 7] {
        let most = if self.random.chance(50) { 50_000 } else { 50 };
        std::array::from_fn(|_| self.random.within(0, most))
    }

    /// Numbers may be wrong until everything was read again, and alerts recorded as shown may be shown again.
    pub fn mark_doubtful(&mut self) {
        self.shown_alerts.values_mut().for_each(|(sure, unsure)| *unsure += std::mem::take(sure));
        self.shared.as_mut().unwrap().fixed_days = Some(BTreeSet::new());
    }

    /// Reads everything again on each machine. This repairs the current windows; if clocks have moved to others since,
    /// it is repeated.
    pub fn fix_counters(&mut self) {
        let days: BTreeSet<i64> =
            (0..self.machines()).map(|machine| self.now(machine).div_euclid(DAY_MS)).collect();
        if self.shared.as_ref().unwrap().fixed_days.as_ref().is_none_or(|mended| days.is_subset(mended)) {
            return;
        }
        // If machines are in different windows, data from one changes what another one has repaired.
        for _ in 0..days.len() {
            (0..self.machines()).for_each(|machine| self.resync_whole(machine));
        }
        self.shared.as_mut().unwrap().fixed_days.as_mut().unwrap().extend(days);
    }
}

/// Text that is not a record.
fn garbage(fate: &str) -> &str {
    match fate {
        "empty" => "",
        "a list" => "[]",
        "of another shape" => r#"{"h":1}"#,
        as_it_is => as_it_is,
    }
}

/// A message with less usage; `None` if that changes nothing.
fn with_less_usage(message: Value) -> Option<Value> {
    let mut new = message.clone();
    let halve = |usage: &mut Value| {
        let classes = usage.as_object_mut().into_iter().flatten();
        classes.for_each(|(_, count)| *count = json!(count.as_u64().unwrap_or_default() / 2));
    };
    halve(&mut new["d"]["recorded"]);
    new["d"]["exact"].as_object_mut().into_iter().flatten().for_each(|(_, usage)| halve(usage));
    new["d"]["tools"] = json!([]);
    let classes = ["input", "output", "cache_write_5m", "cache_write_1h", "cache_read"];
    let recorded = &new["d"]["recorded"];
    let counts: Vec<Value> = classes.iter().map(|class| recorded[class].clone()).collect();
    new["c"] = json!([counts, vec![message["c"][5].clone(), json!(0)]].concat());
    (new != message).then_some(new)
}

/// The exempted kinds and damages, from `FUSEBOX_TEST_SPARE`: `live: x,message: less`.
fn is_spared(what: &str) -> bool {
    let spared = std::env::var("FUSEBOX_TEST_SPARE").unwrap_or_default();
    spared.split(',').any(|part| !part.is_empty() && what.starts_with(part))
}
