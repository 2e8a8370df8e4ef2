//! Budget windows: when a budget's count starts and ends, in any IANA time zone.

use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::time::Timestamp;

const FIVE_HOURS_MS: i64 = 5 * 3600 * 1000;

/// How often a budget starts afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// Never.
    Lifetime,
    /// Every five hours, counted from the Unix epoch: floor(unix time ÷ 18,000). A start at the first charge
    /// would depend on the order of reading.
    #[serde(rename = "5h")]
    FiveHours,
    /// At local midnight.
    Day,
    /// At local midnight of Monday (ISO week).
    Week,
    /// At local midnight of the first day of the month.
    Month,
}

impl Period {
    /// Every period with the name it has in the configuration.
    pub const ALL: [(&'static str, Self); 5] = [
        ("lifetime", Self::Lifetime),
        ("5h", Self::FiveHours),
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
    ];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, p)| *p == self).map_or("lifetime", |(n, _)| n)
    }
}

/// A period in a zone. `Lifetime` and `FiveHours` do not depend on the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WindowRule {
    /// How often the window starts.
    pub period: Period,
    /// Where midnight is.
    pub zone: Tz,
}

/// One window: from `start` (included) to `end` (excluded).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// First moment of the window.
    pub start: Timestamp,
    /// First moment after it; `None` for a window that never ends.
    pub end: Option<Timestamp>,
}

impl Window {
    /// Whether `at` lies in this window.
    pub fn contains(&self, at: Timestamp) -> bool {
        at >= self.start && self.end.is_none_or(|end| at < end)
    }
}

impl WindowRule {
    /// A window that never ends.
    pub const LIFETIME: Self = Self { period: Period::Lifetime, zone: Tz::UTC };

    /// The window that `at` lies in.
    pub fn at(&self, at: Timestamp) -> Window {
        match self.period {
            Period::Lifetime => Window { start: Timestamp(i64::MIN), end: None },
            Period::FiveHours => {
                let start = Timestamp(at.0.div_euclid(FIVE_HOURS_MS).saturating_mul(FIVE_HOURS_MS));
                Window { start, end: Some(start.plus_millis(FIVE_HOURS_MS)) }
            }
            Period::Day | Period::Week | Period::Month => {
                let date = at.utc().with_timezone(&self.zone).date_naive();
                let (first, next) = self.dates(date);
                let end = self.midnight(next);
                if at < end {
                    return Window { start: self.midnight(first), end: Some(end) };
                }
                // Clocks went back over a midnight that had passed: the old date is on them again, but its window is
                // over.
                Window { start: end, end: Some(self.midnight(self.dates(next).1)) }
            }
        }
    }

    /// First date of the period that holds `date`, and first date of the next one.
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

    /// The first moment of `date` in the zone. Where clocks skip midnight (a DST gap) that is the moment after
    /// the gap; where midnight comes twice (an overlap) it is the earlier one, so that no moment is in two days.
    fn midnight(&self, date: NaiveDate) -> Timestamp {
        let wall = NaiveDateTime::from(date);
        let first: Option<DateTime<Tz>> = self.zone.from_local_datetime(&wall).earliest();
        let moment = first.map(|t| t.with_timezone(&Utc)).unwrap_or_else(|| self.after_gap(wall));
        Timestamp(moment.timestamp_millis())
    }

    /// The first moment whose wall time is at or after `wall`, where `wall` itself does not exist. Gaps can be a day
    /// long (Pacific/Apia 2011) and can end at any second (Africa/Monrovia 1972).
    fn after_gap(&self, wall: NaiveDateTime) -> DateTime<Utc> {
        const DAYS: i64 = 2 * 86_400;
        let is_after = |second: i64| {
            let moment = wall.and_utc() + Duration::seconds(second);
            moment.with_timezone(&self.zone).naive_local() >= wall
        };
        let (mut before, mut after) = (-DAYS, DAYS);
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            (before, after) = if is_after(middle) { (before, middle) } else { (middle, after) };
        }
        wall.and_utc() + Duration::seconds(after)
    }
}

impl std::fmt::Display for WindowRule {
    /// `day@Europe/Berlin`: what a counter is filed under.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.period.name(), self.zone.name())
    }
}

impl std::str::FromStr for WindowRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (period, zone) = text.split_once('@').unwrap_or((text, "UTC"));
        let period = Period::ALL.iter().find(|(name, _)| *name == period).map(|(_, p)| *p);
        let zone = zone.parse().map_err(|_| format!("{zone} is no IANA time zone"))?;
        Ok(Self { period: period.ok_or_else(|| format!("{text} is no window"))?, zone })
    }
}
