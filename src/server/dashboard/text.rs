//! Moments, amounts and names as pages show them.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::visitor::HOME;
use crate::app::messages::amounts::{grouped, number, quantity};
use crate::app::snapshot::Snapshot;
use crate::domain::budget::{Scope, Unit};
use crate::domain::money::NANOS_PER_USD;
use crate::domain::time::Timestamp;
use crate::domain::window::Zone;
use crate::ledger::names::last_folder;
use crate::platform::Env;
use crate::zoneinfo;

/// The most characters of a name in a table.
const MAX_NAME: usize = 32;

/// The time zone of this machine, and the moment.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The zone.
    pub zone: Zone,
    /// Now.
    pub now: Timestamp,
}

impl Clock {
    /// The clock of this environment. A zone that is not known here is no reason to show nothing.
    pub fn new(env: &Env) -> Self {
        let zone = zoneinfo::local(env.var("TZ")).or_else(|_| zoneinfo::local(None));
        Self { zone: zone.unwrap_or_else(|_| Zone::utc()), now: env.now }
    }

    /// `15:04:05`; on other days `30 Nov 15:04`.
    pub fn time(&self, at: Timestamp) -> String {
        let (then, now) = (self.zone.local(at), self.zone.local(self.now));
        let format = if then.date() == now.date() { "%H:%M:%S" } else { "%-d %b %H:%M" };
        then.format(format).to_string()
    }

    /// `2026-11-30 15:04:05 (Europe/Berlin)`.
    pub fn full(&self, at: Timestamp) -> String {
        format!("{} ({})", self.zone.local(at).format("%Y-%m-%d %H:%M:%S"), self.zone.name())
    }

    /// `12 s ago`, `3 min ago`, `2 h ago`, `5 days ago`.
    pub fn age(&self, at: Timestamp) -> String {
        let seconds = self.now.millis_since(at).max(0) / 1000;
        match seconds {
            ..120 => format!("{seconds} s ago"),
            120..7_200 => format!("{} min ago", seconds / 60),
            7_200..172_800 => format!("{} h ago", seconds / 3_600),
            _ => format!("{} days ago", seconds / 86_400),
        }
    }
}

/// A moment on a page.
#[derive(Clone, Debug)]
pub struct When {
    /// For machines.
    pub iso: String,
    /// Short.
    pub short: String,
    /// With the date and the zone.
    pub full: String,
}

impl When {
    /// The moment on this clock.
    pub fn new(clock: &Clock, at: Timestamp) -> Self {
        Self { iso: at.to_rfc3339(), short: clock.time(at), full: clock.full(at) }
    }
}

/// What a row is about: a session, or another value of a scope.
#[derive(Clone, Debug)]
pub struct Who {
    /// The short name.
    pub name: String,
    /// The whole name.
    pub full: String,
    /// What else is known, such as the project; may be empty.
    pub detail: String,
    /// Its page.
    pub link: Option<String>,
}

impl Who {
    /// A session.
    pub fn session(id: &str, snapshot: &Snapshot) -> Self {
        let found = snapshot.session(id);
        let detail = found.map_or("", |found| last_folder(&found.row.session.project));
        Self {
            name: short_id(id),
            full: id.to_owned(),
            detail: shortened(detail, MAX_NAME),
            link: found.map(|_| session_link(id)),
        }
    }

    /// A value of a scope.
    pub fn value(scope: Scope, value: &str, snapshot: &Snapshot) -> Self {
        if scope == Scope::Session {
            return Self::session(value, snapshot);
        }
        let short = match scope {
            Scope::Project => last_folder(value),
            _ => value,
        };
        Self {
            name: shortened(short, MAX_NAME),
            full: value.to_owned(),
            detail: scope.name().replace('_', " "),
            link: None,
        }
    }
}

/// The page of a session.
pub fn session_link(id: &str) -> String {
    format!("{HOME}/session/{}", utf8_percent_encode(id, NON_ALPHANUMERIC))
}

/// The first part of a session's id, which tells sessions apart.
pub fn short_id(id: &str) -> String {
    let is_uuid = id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if is_uuid { id[..8].to_owned() } else { shortened(id, MAX_NAME) }
}

/// At most this many characters, with `…` for what is left out.
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// `1,234`, `56.7k`, `1.23M`, `4.56B`: for cards, where the size matters and not the last digit.
pub fn rounded(n: u64) -> String {
    let of = |one: f64, letter: &str| {
        let value = n as f64 / one;
        let decimals = if value >= 100.0 {
            0
        } else if value >= 10.0 {
            1
        } else {
            2
        };
        format!("{value:.decimals$}{letter}")
    };
    match n {
        ..10_000 => grouped(n),
        10_000..999_500 => of(1e3, "k"),
        999_500..999_500_000 => of(1e6, "M"),
        _ => of(1e9, "B"),
    }
}

/// Dollars to cents, so that columns line up: `$0.04`, `$1,234.50`. Less than half a cent is `<$0.01`, never nothing.
pub fn money(nanos: u64) -> String {
    const CENT: u64 = NANOS_PER_USD / 100;
    if (1..CENT / 2).contains(&nanos) {
        return "<$0.01".to_owned();
    }
    let cents = nanos.saturating_add(CENT / 2) / CENT;
    format!("${}.{:02}", grouped(cents / 100), cents % 100)
}

/// A count without its unit: `1,234`; for dollars [`money`].
pub fn amount(count: u64, unit: Unit) -> String {
    if unit == Unit::Usd { money(count) } else { number(count, unit) }
}

/// A count with its unit: `1,234 tokens`; for dollars [`money`].
pub fn full_amount(count: u64, unit: Unit) -> String {
    if unit == Unit::Usd { money(count) } else { quantity(count, unit) }
}

/// `1 alert`, `2 alerts`.
pub fn counted(n: usize, noun: &str) -> String {
    format!("{} {noun}{}", grouped(n as u64), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_rounded() {
        for (n, text) in [
            (9_999, "9,999"),
            (10_000, "10.0k"),
            (123_456, "123k"),
            (999_499, "999k"),
            (999_500, "1.00M"),
            (45_678_901, "45.7M"),
            (999_499_999, "999M"),
            (1_234_000_000, "1.23B"),
        ] {
            assert_eq!(rounded(n), text);
        }
    }

    #[test]
    fn dollars_always_have_cents() {
        for (nanos, text) in [
            (0, "$0.00"),
            (1, "<$0.01"),
            (4_999_999, "<$0.01"),
            (5_000_000, "$0.01"),
            (37_125_000, "$0.04"),
            (999_999_999, "$1.00"),
            (1_234_565_000_000, "$1,234.57"),
        ] {
            assert_eq!((money(nanos).as_str(), amount(nanos, Unit::Usd).as_str()), (text, text));
        }
        assert_eq!(full_amount(1_234, Unit::Tokens), "1,234 tokens");
    }

    #[test]
    fn ids_are_shortened_and_names_cut_between_characters() {
        assert_eq!(short_id("67393810-3473-4bd3-b05f-e73c943b62e9"), "67393810");
        assert_eq!(short_id("session-one"), "session-one");
        assert_eq!(shortened("ééééé", 3), "éé…");
    }
}
