//! Windows: each moment belongs to one, and each starts where the previous one ends, in any zone.

use chrono_tz::Tz;
use fusebox::domain::time::Timestamp;
use fusebox::domain::window::{Period, Window, WindowRule, Zone};
use fusebox::zoneinfo;
use proptest::prelude::*;

const ZONES: &[Tz] = &[
    Tz::UTC,
    Tz::Europe__Berlin,
    Tz::Europe__Dublin,
    Tz::Europe__London,
    Tz::America__New_York,
    Tz::America__Sao_Paulo,
    Tz::America__Havana,
    Tz::America__Asuncion,
    Tz::America__Santiago,
    Tz::America__St_Johns,
    Tz::America__Goose_Bay,
    Tz::America__Nuuk,
    Tz::America__Scoresbysund,
    Tz::Atlantic__Azores,
    Tz::Asia__Beirut,
    Tz::Asia__Amman,
    Tz::Asia__Gaza,
    Tz::Asia__Tehran,
    Tz::Asia__Kathmandu,
    Tz::Asia__Kolkata,
    Tz::Asia__Pyongyang,
    Tz::Africa__Cairo,
    Tz::Africa__Monrovia,
    Tz::Africa__Casablanca,
    Tz::Antarctica__Casey,
    Tz::Antarctica__Troll,
    Tz::Australia__Lord_Howe,
    Tz::Pacific__Apia,
    Tz::Pacific__Kiritimati,
    Tz::Pacific__Kwajalein,
    Tz::Pacific__Chatham,
];

fn rule(period: Period, zone: Tz) -> WindowRule {
    let zone = zoneinfo::zone(zone.name()).expect("tzdata is installed, and knows it");
    WindowRule { period, zone }
}

fn ms(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

fn day(zone: Tz, at: &str) -> (String, String) {
    let window = rule(Period::Day, zone).at(ms(at));
    (window.start.to_rfc3339(), window.end.expect("a day ends").to_rfc3339())
}

fn expected(from: &str, to: &str) -> (String, String) {
    (from.into(), to.into())
}

/// Checks one window and its neighbours.
fn check(rule: &WindowRule, at: Timestamp) -> Result<(), TestCaseError> {
    let window = rule.at(at);
    prop_assert!(window.contains(at), "{rule}: {at:?} is not in {window:?}");
    let Some(end) = window.end else { return Ok(()) };
    prop_assert!(window.start < end, "{rule}: {window:?} is empty");
    prop_assert_eq!(rule.at(window.start), window, "{}: its first moment is in another window", rule);
    prop_assert_eq!(rule.at(end.plus_millis(-1)), window, "{}: its last moment is in another window", rule);
    prop_assert_eq!(rule.at(end).start, end, "{}: a gap or an overlap after it", rule);
    let before = rule.at(window.start.plus_millis(-1));
    prop_assert_eq!(before.end, Some(window.start), "{}: a gap or an overlap before it", rule);
    Ok(())
}

/// Any period: one with a name, or so many minutes.
fn period() -> impl Strategy<Value = Period> {
    prop_oneof![
        prop::sample::select(&Period::ALL[..]).prop_map(|(_, period)| period),
        (1_u64..=1_440).prop_map(|minutes| Period::minutes(minutes).expect("up to a day")),
    ]
}

/// 1970-01-02 to 2100-01-01.
const FROM: i64 = 86_400_000;
const TO: i64 = 4_102_444_800_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn windows_tile_time(
        at in FROM..TO,
        zone in prop::sample::select(ZONES),
        period in period(),
    ) {
        check(&rule(period, zone), Timestamp(at))?;
    }

    #[test]
    fn a_rule_reads_what_it_writes(
        zone in prop::sample::select(&chrono_tz::TZ_VARIANTS[..]),
        period in period(),
    ) {
        // Debian has old names in a separate package.
        let Ok(zone) = zoneinfo::zone(zone.name()) else { return Ok(()) };
        let rule = WindowRule { period, zone };
        prop_assert_eq!(rule.to_string().parse(), Ok(rule));
    }
}

#[test]
fn days_begin_where_another_table_of_zones_has_another_date() {
    use chrono::TimeZone;
    // Recent decisions of governments, and corrections of old data, may be in only one of the tables.
    let (from, until) = (ms("2000-01-01T00:00:00Z"), ms("2022-01-01T00:00:00Z"));
    for zone in ZONES {
        let date = |at: Timestamp| zone.from_utc_datetime(&at.utc().naive_utc()).date_naive();
        let rule = rule(Period::Day, *zone);
        let mut window = rule.at(from);
        while window.start < until {
            let (first, before) = (date(window.start), date(window.start.plus_millis(-1)));
            assert!(before < first, "{zone}: {first} begins at {}", window.start.to_rfc3339());
            window = rule.at(window.end.expect("a day ends"));
        }
    }
}

#[test]
fn windows_tile_time_around_every_change_of_the_clocks() {
    // Random moments rarely hit the relevant hours, so check all transitions since 1970, in all zones of the table.
    use chrono::{Offset, TimeZone};
    let offset = |zone: &Tz, at: i64| {
        zone.offset_from_utc_datetime(&Timestamp(at).utc().naive_utc()).fix().local_minus_utc()
    };
    let mut changes = 0;
    for zone in ZONES {
        const STEP: i64 = 6 * 3_600_000;
        for at in (FROM..TO / 2).step_by(STEP as usize) {
            if offset(zone, at) == offset(zone, at + STEP) {
                continue;
            }
            changes += 1;
            let (mut low, mut high) = (at, at + STEP);
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                let moved = offset(zone, middle) != offset(zone, at);
                (low, high) = if moved { (low, middle) } else { (middle, high) };
            }
            for minutes in [-1500, -180, -61, -60, -31, -1, 0, 1, 29, 30, 59, 60, 61, 180, 1500] {
                for extra in [-1, 0, 1] {
                    let moment = Timestamp(high + minutes * 60_000 + extra);
                    for (_, period) in Period::ALL {
                        if let Err(error) = check(&rule(period, *zone), moment) {
                            panic!("{zone}, {}: {error}", moment.to_rfc3339());
                        }
                    }
                }
            }
        }
    }
    assert!(changes > 1000, "{changes}");
}

#[test]
fn a_day_whose_midnight_is_skipped_begins_after_the_gap() {
    // Sao Paulo, 2017-10-15: from 23:59:59-03 to 01:00:00-02.
    let zone = Tz::America__Sao_Paulo;
    assert_eq!(day(zone, "2017-10-15T03:00:00Z"), expected("2017-10-15T03:00:00Z", "2017-10-16T02:00:00Z"));
    assert_eq!(day(zone, "2017-10-15T02:59:59Z"), expected("2017-10-14T03:00:00Z", "2017-10-15T03:00:00Z"));
    // Beirut, 2017-03-26: 00:00+02 became 01:00+03. Cairo, 2023-04-28: the same.
    assert_eq!(
        day(Tz::Asia__Beirut, "2017-03-26T12:00:00Z"),
        expected("2017-03-25T22:00:00Z", "2017-03-26T21:00:00Z")
    );
    assert_eq!(
        day(Tz::Africa__Cairo, "2023-04-28T12:00:00Z"),
        expected("2023-04-27T22:00:00Z", "2023-04-28T21:00:00Z")
    );
    // Kathmandu, 1986-01-01: 00:00+05:30 became 00:15+05:45. Monrovia, 1972-01-07: 00:00 became 00:44:30.
    assert_eq!(
        day(Tz::Asia__Kathmandu, "1986-01-01T12:00:00Z"),
        expected("1985-12-31T18:30:00Z", "1986-01-01T18:15:00Z")
    );
    assert_eq!(
        day(Tz::Africa__Monrovia, "1972-01-07T12:00:00Z"),
        expected("1972-01-07T00:44:30Z", "1972-01-08T00:00:00Z")
    );
}

#[test]
fn a_midnight_that_comes_twice_is_the_earlier_one() {
    // Havana, 2017-11-05: 01:00-04 became 00:00-05.
    let zone = Tz::America__Havana;
    assert_eq!(day(zone, "2017-11-05T04:30:00Z"), expected("2017-11-05T04:00:00Z", "2017-11-06T05:00:00Z"));
    assert_eq!(day(zone, "2017-11-05T05:30:00Z"), expected("2017-11-05T04:00:00Z", "2017-11-06T05:00:00Z"));
    assert_eq!(day(zone, "2017-11-05T03:59:59Z"), expected("2017-11-04T04:00:00Z", "2017-11-05T04:00:00Z"));
}

#[test]
fn an_hour_before_midnight_that_comes_twice_is_of_one_day() {
    // Sao Paulo, 2018-02-18: at 00:00-02 the clocks went back to 23:00-03 of the 17th.
    let zone = Tz::America__Sao_Paulo;
    assert_eq!(day(zone, "2018-02-18T01:30:00Z"), expected("2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"));
    assert_eq!(day(zone, "2018-02-18T02:30:00Z"), expected("2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"));
    // St John's, 2005-10-30: at 00:01-02:30 they went back to 23:01-03:30 of the 29th. The 30th had begun.
    let zone = Tz::America__St_Johns;
    assert_eq!(day(zone, "2005-10-30T02:30:30Z"), expected("2005-10-30T02:30:00Z", "2005-10-31T03:30:00Z"));
    assert_eq!(day(zone, "2005-10-30T03:00:00Z"), expected("2005-10-30T02:30:00Z", "2005-10-31T03:30:00Z"));
    assert_eq!(day(zone, "2005-10-30T02:29:59Z"), expected("2005-10-29T02:30:00Z", "2005-10-30T02:30:00Z"));
}

#[test]
fn a_day_that_never_was_belongs_to_no_window() {
    // Apia went from 2011-12-29 24:00-10 to 2011-12-31 00:00+14.
    let zone = Tz::Pacific__Apia;
    assert_eq!(day(zone, "2011-12-30T09:59:59Z"), expected("2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"));
    assert_eq!(day(zone, "2011-12-30T10:00:00Z"), expected("2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"));
    let week = rule(Period::Week, zone).at(ms("2011-12-30T10:00:00Z"));
    assert_eq!(week.start.to_rfc3339(), "2011-12-26T10:00:00Z");
    assert_eq!(week.end.expect("a week ends").to_rfc3339(), "2012-01-01T10:00:00Z");
}

#[test]
fn days_are_as_long_as_the_clocks_make_them() {
    let hours = |zone, at: &str| {
        let window = rule(Period::Day, zone).at(ms(at));
        window.end.expect("a day ends").millis_since(window.start) as f64 / 3_600_000.0
    };
    assert_eq!(hours(Tz::Europe__Berlin, "2026-03-29T12:00:00Z"), 23.0);
    assert_eq!(hours(Tz::Europe__Berlin, "2026-10-25T12:00:00Z"), 25.0);
    assert_eq!(hours(Tz::Europe__Berlin, "2026-11-22T12:00:00Z"), 24.0);
    // Lord Howe Island moves by half an hour.
    assert_eq!(hours(Tz::Australia__Lord_Howe, "2026-10-04T00:00:00Z"), 23.5);
    assert_eq!(hours(Tz::Australia__Lord_Howe, "2026-04-05T00:00:00Z"), 24.5);
}

#[test]
fn weeks_begin_on_monday_and_months_on_the_first() {
    let at = ms("2026-11-22T02:00:00Z"); // a Sunday; in New York still Saturday
    let starts = |period, zone| rule(period, zone).at(at).start.to_rfc3339();
    assert_eq!(starts(Period::Week, Tz::UTC), "2026-11-16T00:00:00Z");
    assert_eq!(starts(Period::Week, Tz::America__New_York), "2026-11-16T05:00:00Z");
    assert_eq!(starts(Period::Month, Tz::UTC), "2026-11-01T00:00:00Z");
    assert_eq!(starts(Period::Month, Tz::America__New_York), "2026-11-01T04:00:00Z");
    assert_eq!(starts(Period::Month, Tz::Asia__Kathmandu), "2026-10-31T18:15:00Z");
    let february = rule(Period::Month, Tz::UTC).at(ms("2024-02-29T23:59:59Z"));
    assert_eq!(february.end, Some(ms("2024-03-01T00:00:00Z")));
    let december = rule(Period::Month, Tz::UTC).at(ms("2026-12-31T23:59:59Z"));
    assert_eq!(december.end, Some(ms("2027-01-01T00:00:00Z")));
}

#[test]
fn five_hours_are_counted_from_the_epoch() {
    let window = rule(Period::FIVE_HOURS, Tz::Asia__Tokyo).at(ms("2026-11-22T02:27:50Z"));
    assert_eq!(window, rule(Period::FIVE_HOURS, Tz::UTC).at(ms("2026-11-22T02:27:50Z")));
    assert_eq!(window.start.0 % 18_000_000, 0);
    assert_eq!(window.end, Some(window.start.plus_millis(18_000_000)));
    assert_eq!(rule(Period::FIVE_HOURS, Tz::UTC).at(Timestamp(-1)).start, Timestamp(-18_000_000));
}

#[test]
fn a_lifetime_has_no_bounds() {
    assert_eq!(WindowRule::LIFETIME.zone, Zone::utc());
    let window = WindowRule::LIFETIME.at(Timestamp(0));
    assert_eq!(window, Window { start: Timestamp(i64::MIN), end: None });
    for at in [i64::MIN, -1, 0, i64::MAX] {
        assert!(window.contains(Timestamp(at)));
    }
}

#[test]
fn moments_that_no_calendar_holds_do_not_panic() {
    for at in [i64::MIN, i64::MIN + 1, -1 << 60, 1 << 60, i64::MAX - 1, i64::MAX] {
        for (_, period) in Period::ALL {
            for zone in [Tz::UTC, Tz::Pacific__Apia] {
                let window = rule(period, zone).at(Timestamp(at));
                assert!(window.end.is_none_or(|end| window.start < end), "{period:?} {at}");
            }
        }
    }
}

#[test]
fn minutes_and_hours_are_counted_from_the_epoch() {
    for (name, start, end) in [
        ("10m", "2026-11-22T02:20:00Z", "2026-11-22T02:30:00Z"),
        ("7m", "2026-11-22T02:26:00Z", "2026-11-22T02:33:00Z"),
        ("1h", "2026-11-22T02:00:00Z", "2026-11-22T03:00:00Z"),
        ("5h", "2026-11-21T23:00:00Z", "2026-11-22T04:00:00Z"),
        ("24h", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"),
    ] {
        let period = Period::parse(name).expect(name);
        let window = rule(period, Tz::Asia__Tokyo).at(ms("2026-11-22T02:27:50Z"));
        assert_eq!(window, Window { start: ms(start), end: Some(ms(end)) }, "{name}");
        // The names of counters in stores.
        assert_eq!(rule(period, Tz::UTC).to_string(), format!("{name}@UTC"));
    }
    // One window has one name, and so one counter.
    for (other, name) in [("60m", "1h"), ("300m", "5h"), ("1440m", "24h")] {
        assert_eq!(Period::parse(other), Period::parse(name));
    }
    assert_eq!([0, 1_441, u64::MAX].map(Period::minutes), [None; 3]);
}

#[test]
fn a_time_is_shown_with_the_offset_of_its_zone() {
    let shown = |zone: Tz, at: &str| rule(Period::Day, zone).zone.rfc3339(ms(at));
    assert_eq!(shown(Tz::UTC, "2026-11-22T02:27:50Z"), "2026-11-22T02:27:50Z");
    assert_eq!(shown(Tz::Europe__Berlin, "2026-07-01T22:00:00Z"), "2026-07-02T00:00:00+02:00");
    assert_eq!(shown(Tz::Asia__Kathmandu, "2026-11-22T18:15:00Z"), "2026-11-23T00:00:00+05:45");
    assert_eq!(shown(Tz::America__New_York, "2026-11-22T05:00:00Z"), "2026-11-22T00:00:00-05:00");
}

#[test]
fn what_is_no_rule_is_refused() {
    for text in ["0m", "1441m@UTC", "25h", "05m", "+5m", "99999999999999999999m", "5", "m", "½h"] {
        assert!(text.parse::<WindowRule>().is_err(), "{text}");
    }
    for text in ["", "year@UTC", "day@Mars/Olympus", "Day@UTC", "day@", "@UTC"] {
        assert!(text.parse::<WindowRule>().is_err(), "{text}");
    }
    assert_eq!("week".parse(), Ok(rule(Period::Week, Tz::UTC)));
}
