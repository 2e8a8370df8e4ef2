//! Plan windows: how much of a subscription's limits is used, as the client reports it, how fast, and when a limit will
//! be reached.

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// Units of one percent: percentages are counted in hundredths.
pub const UNITS_PER_PERCENT: u64 = 100;

/// At most this many readings are kept per window.
const MAX_SAMPLES: i64 = 30;

/// More than this was not said by a client: a thousand percent.
const MAX_USED: u64 = 1000 * UNITS_PER_PERCENT;

/// How far apart two reports of the same end may be, in milliseconds.
const SAME_END_MS: i64 = 60_000;

/// Hundredths of a percent as percent: `87.50`.
pub fn exact_percent(units: u64) -> String {
    format!("{}.{:02}", units / UNITS_PER_PERCENT, units % UNITS_PER_PERCENT)
}

/// A window of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanWindow {
    /// Five hours, starting with the first request.
    FiveHours,
    /// Seven days.
    Week,
}

impl PlanWindow {
    /// Both windows, with their names in the configuration.
    pub const ALL: [(&'static str, Self); 2] = [("plan_5h", Self::FiveHours), ("plan_week", Self::Week)];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::FiveHours => "plan_5h",
            Self::Week => "plan_week",
        }
    }

    /// How long it lasts, in milliseconds.
    pub fn length_ms(self) -> i64 {
        match self {
            Self::FiveHours => 5 * 3600 * 1000,
            Self::Week => 7 * 24 * 3600 * 1000,
        }
    }

    /// The time over which the current pace is measured, in milliseconds: a tenth of the window.
    fn pace_ms(self) -> i64 {
        self.length_ms() / 10
    }
}

/// What the client said about a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReading {
    /// How much is used, in hundredths of a percent. May be above 100 %.
    pub used: u64,
    /// When the window ends.
    pub resets_at: Timestamp,
    /// When it was said.
    pub at: Timestamp,
}

/// What is known about one window: its last reading, and earlier ones for the pace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanUsage {
    /// The last reading.
    pub reading: PlanReading,
    /// Earlier readings of the same window, oldest first: when, and how much was used.
    #[serde(default)]
    samples: Vec<(Timestamp, u64)>,
}

impl PlanUsage {
    /// What is known after a first reading.
    pub fn new(reading: PlanReading) -> Self {
        Self { reading, samples: Vec::new() }
    }

    /// Adds a reading. Sessions report in any order, and one that waits repeats what it knew: within a window usage only
    /// grows, and a window that ends earlier is an old one.
    pub fn note(&mut self, window: PlanWindow, new: PlanReading) {
        let known = self.reading;
        let later = new.resets_at.0.saturating_sub(known.resets_at.0);
        // The end of one window may be reported with other seconds.
        let half = window.length_ms() / 2;
        if later > half {
            *self = Self::new(new);
        }
        if later.abs() > half || new.used <= known.used {
            return;
        }
        let spacing = window.pace_ms() / MAX_SAMPLES;
        if self.samples.last().is_none_or(|(at, _)| known.at.millis_since(*at) >= spacing) {
            self.samples.push((known.at, known.used));
        }
        // One that is older than the time over which the pace is measured is enough.
        let oldest = new.at.plus_millis(-window.pace_ms());
        let needless = self.samples.iter().skip(1).take_while(|(at, _)| *at <= oldest).count();
        self.samples.drain(..needless);
        // A person's decisions apply to the window that starts at one moment.
        let resets_at = if later.abs() <= SAME_END_MS { known.resets_at } else { new.resets_at };
        self.reading = PlanReading { resets_at, ..new };
    }

    /// The reading, unless its window is over: then nothing is known.
    pub fn current(&self, now: Timestamp) -> Option<PlanReading> {
        Some(self.reading).filter(|reading| now < reading.resets_at)
    }

    /// Where the window stands; `None` if nothing is known, or the reading cannot be one.
    pub fn standing(&self, window: PlanWindow, now: Timestamp) -> Option<PlanStanding> {
        let reading = self.current(now)?;
        // By the clock of another computer, a window may begin a little later than now.
        let latest = now.plus_millis(window.length_ms() + window.pace_ms());
        let is_plausible = reading.used <= MAX_USED && reading.resets_at <= latest;
        let pace = self.pace(window, now);
        is_plausible.then_some(PlanStanding { reading, pace, now, noticed: 0 })
    }

    /// How fast the window is used: units per hour, over the last tenth of its length, or since its start.
    pub fn pace(&self, window: PlanWindow, now: Timestamp) -> Option<f64> {
        let reading = self.current(now)?;
        let from = now.plus_millis(-window.pace_ms());
        let start = reading.resets_at.plus_millis(-window.length_ms());
        let recent = self.samples.iter().rfind(|(at, _)| *at <= from).or(self.samples.first());
        let (since, before) = recent.copied().unwrap_or((start, 0));
        let (since, before) = if now.millis_since(since) >= window.pace_ms() / 10 {
            (since, before)
        } else {
            // Too short to tell.
            (start, 0)
        };
        let hours = now.millis_since(since) as f64 / 3_600_000.0;
        let used = reading.used.saturating_sub(before);
        (hours * 60.0 >= 1.0).then(|| used as f64 / hours)
    }

    /// When `limit` units will be used at the current pace, if that is before the window ends.
    pub fn limit_reached_at(&self, window: PlanWindow, limit: u64, now: Timestamp) -> Option<Timestamp> {
        self.standing(window, now)?.limit_reached_at(limit)
    }
}

/// Where a window stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanStanding {
    /// The last reading.
    pub reading: PlanReading,
    /// How fast the window is used, in units per hour; `None`: too early to tell.
    pub pace: Option<f64>,
    /// The moment.
    pub now: Timestamp,
    /// How much of the window was used when alerts were last raised.
    pub noticed: u64,
}

impl PlanStanding {
    /// When `limit` units will be used at the current pace, if that is before the window ends.
    pub fn limit_reached_at(&self, limit: u64) -> Option<Timestamp> {
        let left = limit.saturating_sub(self.reading.used) as f64;
        let pace = self.pace.filter(|pace| *pace > 0.0)?;
        let at = self.now.plus_millis((left / pace * 3_600_000.0) as i64);
        (at < self.reading.resets_at).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const WINDOW: PlanWindow = PlanWindow::FiveHours;

    fn reading(used: u64, resets_in: i64, at: i64) -> PlanReading {
        PlanReading { used, resets_at: Timestamp(resets_in * MINUTE), at: Timestamp(at * MINUTE) }
    }

    #[test]
    fn a_window_only_grows_until_the_next_one() {
        let mut usage = PlanUsage::new(reading(1_000, 300, 10));
        usage.note(WINDOW, reading(2_000, 300, 20));
        usage.note(WINDOW, reading(1_500, 300, 21));
        assert_eq!(usage.reading.used, 2_000, "an idle session repeats what it knew");
        usage.note(WINDOW, reading(9_900, 0, 22));
        assert_eq!(usage.reading.used, 2_000, "of the window before");
        usage.note(WINDOW, reading(100, 600, 301));
        assert_eq!((usage.reading.used, usage.samples.len()), (100, 0));
    }

    #[test]
    fn its_end_does_not_move_by_seconds() {
        let mut usage = PlanUsage::new(reading(1_000, 300, 10));
        let moved = |used, ms| PlanReading {
            resets_at: Timestamp(300 * MINUTE).plus_millis(ms),
            ..reading(used, 300, 20)
        };
        usage.note(WINDOW, moved(1_100, 1_000));
        usage.note(WINDOW, moved(1_200, -59_000));
        assert_eq!((usage.reading.used, usage.reading.resets_at), (1_200, Timestamp(300 * MINUTE)));
        usage.note(WINDOW, moved(1_300, 600_000));
        assert_eq!(usage.reading.resets_at, Timestamp(310 * MINUTE));
    }

    #[test]
    fn what_no_client_says_is_unknown() {
        let standing = |reading| PlanUsage::new(reading).standing(WINDOW, Timestamp(MINUTE));
        assert!(standing(reading(100_000, 300, 1)).is_some());
        assert_eq!(standing(reading(100_001, 300, 1)), None);
        assert!(standing(reading(100, 331, 1)).is_some());
        assert_eq!(standing(reading(100, 332, 1)), None);
        let endless = PlanReading { resets_at: Timestamp(i64::MAX), ..reading(100, 1, 1) };
        assert_eq!(standing(endless), None);
    }

    #[test]
    fn after_its_end_nothing_is_known() {
        let usage = PlanUsage::new(reading(1_000, 300, 10));
        assert_eq!(usage.current(Timestamp(300 * MINUTE - 1)).map(|reading| reading.used), Some(1_000));
        assert_eq!(usage.current(Timestamp(300 * MINUTE)), None);
        assert_eq!(usage.pace(WINDOW, Timestamp(300 * MINUTE)), None);
    }

    #[test]
    fn a_forecast_follows_the_recent_pace() {
        // 10 % in the first hour, then 30 % within half an hour.
        let mut usage = PlanUsage::new(reading(1_000, 300, 60));
        for (minute, used) in [(70, 2_000), (80, 3_000), (90, 4_000)] {
            usage.note(WINDOW, reading(used, 300, minute));
        }
        let now = Timestamp(90 * MINUTE);
        assert_eq!(usage.pace(WINDOW, now), Some(6_000.0));
        // 50 % are left until 90 %, which takes 50 minutes.
        assert_eq!(usage.limit_reached_at(WINDOW, 9_000, now), Some(Timestamp(140 * MINUTE)));
        // Nothing happens for an hour: the pace falls, and the window ends before.
        let later = Timestamp(240 * MINUTE);
        assert!(usage.pace(WINDOW, later).is_some_and(|pace| pace < 1_500.0));
        assert_eq!(usage.limit_reached_at(WINDOW, 9_000, later), None);
    }

    #[test]
    fn a_first_reading_is_measured_from_the_start_of_its_window() {
        let usage = PlanUsage::new(reading(4_000, 300, 120));
        assert_eq!(usage.pace(WINDOW, Timestamp(120 * MINUTE)), Some(2_000.0));
        assert_eq!(
            usage.limit_reached_at(WINDOW, 9_000, Timestamp(120 * MINUTE)),
            Some(Timestamp(270 * MINUTE))
        );
    }

    #[test]
    fn few_samples_are_kept() {
        let mut usage = PlanUsage::new(reading(0, 300, 0));
        for minute in 1..300 {
            usage.note(WINDOW, reading(minute as u64 * 10, 300, minute));
        }
        assert!(usage.samples.len() <= MAX_SAMPLES as usize + 2, "{}", usage.samples.len());
        assert_eq!(usage.pace(WINDOW, Timestamp(299 * MINUTE)), Some(600.0));
    }
}
