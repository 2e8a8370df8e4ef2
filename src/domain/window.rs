//! Budget windows: when counting starts and ends, in any IANA time zone.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use chrono::{Datelike, Duration, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use tz::{DateTime, TimeZone, TzError};

use super::plan::PlanWindow;
use super::time::Timestamp;

/// The longest window in minutes: a day.
const MAX_MINUTES: u16 = 24 * 60;

const MINUTE_MS: i64 = 60_000;

/// How often counting restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// Never.
    Lifetime,
    /// Every so many minutes since the Unix epoch, for 1 to 1,440 minutes: `10m`, `5h`. Starting at the first charge would
    /// make the window depend on the order of reading.
    Every(u16),
    /// At local midnight.
    Day,
    /// At local midnight on Monday (ISO week).
    Week,
    /// At local midnight on the first day of the month.
    Month,
    /// With a window of the subscription: for budgets in percent.
    Plan(PlanWindow),
}

impl Period {
    /// The window of five hours.
    pub const FIVE_HOURS: Self = Self::Every(5 * 60);

    /// The periods that have names in the configuration. Others are numbers of minutes or hours.
    pub const ALL: [(&'static str, Self); 7] = [
        ("lifetime", Self::Lifetime),
        ("5h", Self::FIVE_HOURS),
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
        ("plan_5h", Self::Plan(PlanWindow::FiveHours)),
        ("plan_week", Self::Plan(PlanWindow::Week)),
    ];

    /// The period of so many minutes. `None` unless they are 1 to 1,440.
    pub fn minutes(count: u64) -> Option<Self> {
        u16::try_from(count).ok().filter(|count| (1..=MAX_MINUTES).contains(count)).map(Self::Every)
    }

    /// The period of a name in the configuration: one of [`Self::ALL`], or a number of minutes or hours, such as `90m`.
    pub fn parse(name: &str) -> Option<Self> {
        let named = Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, period)| *period);
        named.or_else(|| {
            let (count, minutes) =
                name.strip_suffix('m').map(|n| (n, 1)).or_else(|| name.strip_suffix('h').map(|n| (n, 60)))?;
            let is_plain =
                count.starts_with(|c| matches!(c, '1'..='9')) && count.bytes().all(|c| c.is_ascii_digit());
            let count: u64 = count.parse().ok().filter(|_| is_plain)?;
            Self::minutes(count.checked_mul(minutes)?)
        })
    }
}

impl std::fmt::Display for Period {
    /// The name in the configuration: `day`, `90m`, `5h`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Every(minutes) if minutes % 60 == 0 => write!(f, "{}h", minutes / 60),
            Self::Every(minutes) => write!(f, "{minutes}m"),
            named => f.write_str(Self::ALL.iter().find(|(_, p)| p == named).map_or("lifetime", |(n, _)| n)),
        }
    }
}

/// A time zone: its IANA name and offset rules. Zones with the same name are equal.
#[derive(Clone, Debug)]
pub struct Zone(Option<Arc<NamedZone>>);

/// A zone other than UTC.
#[derive(Debug)]
struct NamedZone {
    name: String,
    rules: TimeZone,
}

impl Zone {
    /// UTC, which needs no zone file.
    pub const fn utc() -> Self {
        Self(None)
    }

    /// Parses the zone of this name from a TZif file.
    ///
    /// # Errors
    /// The file is not valid TZif.
    pub fn from_tzif(name: &str, bytes: &[u8]) -> Result<Self, TzError> {
        let rules = TimeZone::from_tz_data(bytes)?;
        Ok(Self(Some(Arc::new(NamedZone { name: name.to_owned(), rules }))))
    }

    /// The IANA name.
    pub fn name(&self) -> &str {
        self.0.as_ref().map_or("UTC", |named| &named.name)
    }

    /// What clocks in this zone show at a moment.
    pub fn local(&self, at: Timestamp) -> NaiveDateTime {
        let utc = at.utc();
        let ahead = Duration::seconds(self.offset(utc.timestamp()));
        utc.naive_utc().checked_add_signed(ahead).unwrap_or(utc.naive_utc())
    }

    /// RFC 3339 with this zone's offset, to the second: `2026-11-30T00:00:00+01:00`; in UTC `2026-11-30T00:00:00Z`.
    pub fn rfc3339(&self, at: Timestamp) -> String {
        let offset = i32::try_from(self.offset(at.utc().timestamp())).ok().and_then(FixedOffset::east_opt);
        match offset.filter(|_| self.0.is_some()) {
            Some(offset) => at.utc().with_timezone(&offset).to_rfc3339_opts(SecondsFormat::Secs, false),
            None => at.to_rfc3339(),
        }
    }

    /// Offset from UTC at a Unix time, in seconds.
    fn offset(&self, unix_time: i64) -> i64 {
        let Some(NamedZone { rules, .. }) = self.0.as_deref() else { return 0 };
        let found = rules.find_local_time_type(unix_time).ok().or_else(|| {
            // A file may end at its last transition, without a rule for later times.
            let last = rules.as_ref().transitions().last()?;
            rules.as_ref().local_time_types().get(last.local_time_type_index())
        });
        found.map_or(0, |local| i64::from(local.ut_offset()))
    }

    /// The Unix time at which `date` starts. If clocks skip midnight, that is the end of the gap, which can be a day
    /// long (Pacific/Apia 2011) and end at any second (Africa/Monrovia 1972). If midnight occurs twice, it is the
    /// earlier one, so no moment belongs to two days.
    fn first_moment(&self, date: NaiveDate) -> i64 {
        let wall = date.and_time(NaiveTime::MIN).and_utc().timestamp();
        let Some(NamedZone { rules, .. }) = self.0.as_deref() else { return wall };
        let (month, day) = (date.month() as u8, date.day() as u8);
        let found = DateTime::find(date.year(), month, day, 0, 0, 0, 0, rules.as_ref());
        let first = found.ok().and_then(|found| found.earliest());
        first.map_or_else(|| wall - self.offset(wall), |first| first.unix_time())
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

/// A period in a zone. Only `Day`, `Week` and `Month` depend on the zone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WindowRule {
    /// How often the window starts.
    pub period: Period,
    /// The time zone of midnight.
    pub zone: Zone,
}

/// One window: from `start` (included) to `end` (excluded).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// First moment of the window.
    pub start: Timestamp,
    /// First moment after it; `None` if the window never ends.
    pub end: Option<Timestamp>,
}

impl Window {
    /// Whether `at` lies in this window.
    pub fn contains(&self, at: Timestamp) -> bool {
        at >= self.start && self.end.is_none_or(|end| at < end)
    }
}

impl WindowRule {
    /// The window that never ends.
    pub const LIFETIME: Self = Self { period: Period::Lifetime, zone: Zone::utc() };

    /// The window that contains `at`. Where a window of a subscription begins, only the client knows
    /// ([`Budget::window_at`](super::budget::Budget::window_at)); here, it is a period of that length.
    pub fn at(&self, at: Timestamp) -> Window {
        match self.period {
            Period::Lifetime => Window { start: Timestamp(i64::MIN), end: None },
            Period::Every(minutes) => since_epoch(at, i64::from(minutes.max(1)) * MINUTE_MS),
            Period::Plan(window) => since_epoch(at, window.length_ms()),
            Period::Day | Period::Week | Period::Month => {
                let utc = at.utc();
                let ahead = Duration::seconds(self.zone.offset(utc.timestamp()));
                let date = utc.checked_add_signed(ahead).unwrap_or(utc).date_naive();
                let (first, next) = self.dates(date);
                let end = self.midnight(next);
                if at < end {
                    return Window { start: self.midnight(first), end: Some(end) };
                }
                // Clocks went back over midnight: the old date repeats, but its window is over.
                Window { start: end, end: Some(self.midnight(self.dates(next).1)) }
            }
        }
    }

    /// The first date of the window of a day, week or month that contains `at`.
    pub fn first_date(&self, at: Timestamp) -> NaiveDate {
        let (first, next) = self.dates(self.zone.local(at).date());
        // As in [`Self::at`]: where clocks go back over midnight, the old date repeats, but its window is over.
        if at < self.midnight(next) { first } else { next }
    }

    /// First date of the period that contains `date`, and of the next period.
    fn dates(&self, date: NaiveDate) -> (NaiveDate, NaiveDate) {
        let days = |from: NaiveDate, n| from.checked_add_signed(Duration::days(n)).unwrap_or(from);
        match self.period {
            Period::Week => {
                let monday = days(date, -i64::from(date.weekday().num_days_from_monday()));
                (monday, days(monday, 7))
            }
            Period::Month => {
                let first = date.with_day(1).unwrap_or(date);
                let next = days(first, 32).with_day(1).unwrap_or(first);
                (first, next)
            }
            _ => (date, days(date, 1)),
        }
    }

    /// The first moment of `date` in this rule's zone.
    pub fn midnight(&self, date: NaiveDate) -> Timestamp {
        Timestamp(self.zone.first_moment(date).saturating_mul(1000))
    }
}

/// The window that contains `at`, of those with this length since the Unix epoch.
fn since_epoch(at: Timestamp, length_ms: i64) -> Window {
    let start = Timestamp(at.0.div_euclid(length_ms).saturating_mul(length_ms));
    Window { start, end: Some(start.plus_millis(length_ms)) }
}

impl std::fmt::Display for WindowRule {
    /// `day@Europe/Berlin`: the key of a counter.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.period, self.zone.name())
    }
}
