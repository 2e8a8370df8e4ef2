//! Days, weeks and months of records in a time zone.

use std::collections::BTreeMap;

use chrono::{Datelike, Duration, NaiveDate, Weekday};

use crate::domain::time::Timestamp;
use crate::domain::window::{Period, Window, WindowRule, Zone};

/// Dates moments in a time zone. Remembers the days that it has seen, because a ledger has many records of each.
#[derive(Clone, Debug)]
pub struct Calendar {
    day: WindowRule,
    week_start: Weekday,
    seen: BTreeMap<Timestamp, (Window, NaiveDate)>,
    last: Option<(Window, NaiveDate)>,
}

impl Calendar {
    /// A calendar of this zone, with weeks that start on this day.
    pub fn new(zone: Zone, week_start: Weekday) -> Self {
        let day = WindowRule { period: Period::Day, zone };
        Self { day, week_start, seen: BTreeMap::new(), last: None }
    }

    /// The zone.
    pub fn zone(&self) -> &Zone {
        &self.day.zone
    }

    /// The day of a moment. Every moment belongs to one day, also where clocks change at midnight.
    pub fn day(&mut self, at: Timestamp) -> NaiveDate {
        if let Some((window, date)) = &self.last
            && window.contains(at)
        {
            return *date;
        }
        let earlier = self.seen.range(..=at).next_back().map(|(_, day)| *day);
        let day = earlier.filter(|(window, _)| window.contains(at)).unwrap_or_else(|| {
            let day = (self.day.at(at), self.day.first_date(at));
            self.seen.insert(day.0.start, day);
            day
        });
        self.last = Some(day);
        day.1
    }

    /// The first day of the week that contains a date.
    pub fn week_of(&self, date: NaiveDate) -> NaiveDate {
        let since = date.weekday().days_since(self.week_start);
        date.checked_sub_signed(Duration::days(i64::from(since))).unwrap_or(date)
    }

    /// The first moment of a date.
    pub fn start_of(&self, date: NaiveDate) -> Timestamp {
        self.day.midnight(date)
    }

    /// The first moment after a date.
    pub fn end_of(&self, date: NaiveDate) -> Timestamp {
        date.succ_opt().map_or(Timestamp(i64::MAX), |next| self.day.midnight(next))
    }
}

/// The first day of the month that contains a date.
pub fn month_of(date: NaiveDate) -> NaiveDate {
    date.with_day(1).unwrap_or(date)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::zoneinfo::zone;

    /// Zones with midnights that are skipped or repeated, a skipped day, and odd offsets.
    const ZONES: [&str; 8] = [
        "UTC",
        "Europe/Berlin",
        "America/Havana",
        "America/Sao_Paulo",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Africa/Casablanca",
    ];

    fn weekdays() -> impl Strategy<Value = Weekday> {
        (0_u8..7).prop_map(|n| Weekday::try_from(n).unwrap())
    }

    proptest! {
        /// Days tile: a moment lies between the start and the end of its date, and the next day starts at that end.
        #[test]
        fn days_tile(name in prop::sample::select(&ZONES[..]), ms in prop::collection::vec(0_i64..2_000_000_000_000, 1..20)) {
            let mut calendar = Calendar::new(zone(name).unwrap(), Weekday::Mon);
            for at in ms.into_iter().map(Timestamp) {
                let date = calendar.day(at);
                prop_assert!(calendar.start_of(date) <= at && at < calendar.end_of(date));
                prop_assert_eq!(calendar.day(calendar.end_of(date).plus_millis(-1)), date);
                let next = calendar.day(calendar.end_of(date));
                prop_assert!(next > date);
                // Days that a zone skips are empty.
                prop_assert_eq!(calendar.start_of(next), calendar.end_of(date));
                // What was seen before changes nothing.
                let fresh = Calendar::new(zone(name).unwrap(), Weekday::Mon).day(at);
                prop_assert_eq!(fresh, date);
            }
        }

        /// Days are those of an independent implementation with its own zone data, except in a repeated hour at midnight. Until
        /// 2022: recent decisions of governments may be in only one of the two.
        #[test]
        fn days_are_local_dates(name in prop::sample::select(&ZONES[..]), ms in 500_000_000_000_i64..1_640_995_200_000) {
            use chrono::TimeZone;
            let tz: chrono_tz::Tz = name.parse().unwrap();
            let local = tz.timestamp_millis_opt(ms).unwrap().date_naive();
            let date = Calendar::new(zone(name).unwrap(), Weekday::Mon).day(Timestamp(ms));
            let is_repeated = tz.from_local_datetime(&date.and_hms_opt(0, 0, 0).unwrap()).latest()
                .is_some_and(|midnight| midnight.timestamp_millis() > ms);
            prop_assert!(local == date || is_repeated, "{local} {date}");
        }

        /// Weeks of any first day tile.
        #[test]
        fn weeks_tile(start in weekdays(), days in -100_000_i64..100_000) {
            let calendar = Calendar::new(Zone::utc(), start);
            let date = NaiveDate::default() + Duration::days(days);
            let week = calendar.week_of(date);
            prop_assert_eq!(week.weekday(), start);
            prop_assert!((0..7).contains(&(date - week).num_days()));
            prop_assert_eq!(calendar.week_of(week), week);
        }
    }
}
