//! Properties of grouping.

use chrono::Weekday;
use proptest::prelude::*;

use super::*;
use crate::domain::usage::Usage;
use crate::zoneinfo::zone;

const GROUPINGS: [Grouping; 6] = [
    Grouping::Day,
    Grouping::Week,
    Grouping::Month,
    Grouping::Model,
    Grouping::Project,
    Grouping::By(Column::AgentType),
];

fn records() -> impl Strategy<Value = Vec<Record>> {
    let name = |names: &'static [&'static str]| prop::sample::select(names).prop_map(Name::from);
    let record = (
        1_700_000_000_000_i64..1_760_000_000_000,
        name(&["claude-opus-5-5", "claude-haiku-5-5", "gpt-9"]),
        prop::option::of(name(&["/a", "/b"])),
        prop::option::of(name(&["main", "Explore", "a"])),
        (any::<[u32; 6]>(), any::<bool>(), any::<bool>()),
    );
    let record = record.prop_map(|(at, model, project, value, (n, estimated_usage, estimated_price))| {
        let [input, output, cache_write_5m, cache_write_1h, cache_read, nanos] = n.map(u64::from);
        let usage = Usage { input, output, cache_write_5m, cache_write_1h, cache_read };
        let tally = Tally {
            usage,
            requests: 1,
            nanos,
            has_estimated_usage: estimated_usage,
            has_estimated_price: estimated_price,
        };
        Record { first: Timestamp(at), last: Timestamp(at), records: 1, model, project, value, tally }
    });
    prop::collection::vec(record, 0..40)
}

fn calendar() -> Calendar {
    Calendar::new(zone("America/Havana").unwrap(), Weekday::Mon)
}

fn sum(records: &[Record]) -> Tally {
    records.iter().map(|record| record.tally).sum()
}

proptest! {
    /// Whatever records are grouped by, none is lost or counted twice.
    #[test]
    fn every_grouping_has_the_same_total(records in records()) {
        for grouping in GROUPINGS {
            let rows = group(&records, grouping, &mut calendar());
            prop_assert_eq!(total(&rows), sum(&records), "{:?}", grouping);
            for row in &rows {
                prop_assert_eq!(row.models.iter().map(|(_, tally)| *tally).sum::<Tally>(), row.tally);
                prop_assert!(row.first <= row.last);
            }
            prop_assert!(rows.windows(2).all(|pair| pair[0].key < pair[1].key));
            prop_assert_eq!(rows.iter().map(|row| row.records).sum::<u64>(), records.len() as u64);
        }
        let (rows, _) = group_by_block(&records, |_| true);
        prop_assert_eq!(total(&rows), sum(&records));
    }

    /// The order in which a ledger returns its records makes no difference.
    #[test]
    fn order_does_not_matter(records in records(), by in any::<prop::sample::Index>()) {
        let mut turned = records.clone();
        if !turned.is_empty() {
            let by = by.index(turned.len());
            turned.rotate_left(by);
        }
        for grouping in GROUPINGS {
            let rows = group(&records, grouping, &mut calendar());
            prop_assert_eq!(group(&turned, grouping, &mut calendar()), rows);
        }
    }

    /// A day is in the row of its week, and a week's row is the sum of its days.
    #[test]
    fn weeks_and_months_are_sums_of_days(records in records()) {
        let mut calendar = calendar();
        let days = group(&records, Grouping::Day, &mut calendar);
        for (grouping, is_week) in [(Grouping::Week, true), (Grouping::Month, false)] {
            for row in group(&records, grouping, &mut calendar) {
                let of_row = |day: &&Row| match &day.key {
                    Key::Date(date) if is_week => Key::Date(calendar.week_of(*date)) == row.key,
                    Key::Date(date) => Key::Month(month_of(*date)) == row.key,
                    _ => false,
                };
                prop_assert_eq!(days.iter().filter(of_row).map(|day| day.tally).sum::<Tally>(), row.tally);
            }
        }
    }

    /// Selecting records changes what blocks contain, never where they start.
    #[test]
    fn a_selection_does_not_move_blocks(records in records()) {
        let (all, blocks) = group_by_block(&records, |_| true);
        let (some, same) = group_by_block(&records, |record| &*record.model == "gpt-9");
        prop_assert_eq!(blocks, same);
        prop_assert!(some.iter().all(|row| all.iter().any(|of_all| of_all.key == row.key)));
    }

    /// Sorting keeps all rows, and the last ones are those used last.
    #[test]
    fn sorting_and_selecting(records in records(), n in 1_usize..5, descending in any::<bool>()) {
        let rows = group(&records, Grouping::By(Column::AgentType), &mut calendar());
        for by in [SortBy::Key, SortBy::Usd, SortBy::Tokens] {
            let mut sorted = rows.clone();
            sort(&mut sorted, Grouping::By(Column::AgentType), by, descending);
            prop_assert_eq!(total(&sorted), total(&rows));
            if by == SortBy::Usd {
                prop_assert!(sorted.windows(2).all(|pair| (pair[0].tally.nanos >= pair[1].tally.nanos) == descending
                    || pair[0].tally.nanos == pair[1].tally.nanos));
            }
        }
        let kept = keep_last(rows.clone(), n);
        prop_assert_eq!(kept.len(), n.min(rows.len()));
        let oldest = kept.iter().map(|row| row.last).min();
        prop_assert!(rows.iter().filter(|row| !kept.contains(row)).all(|row| Some(row.last) <= oldest));
    }
}

#[test]
fn the_main_agent_comes_first_and_nothing_last() {
    let record = |value: Option<&str>| Record {
        first: Timestamp(0),
        last: Timestamp(0),
        records: 1,
        model: "m".into(),
        project: None,
        value: value.map(Name::from),
        tally: Tally::default(),
    };
    let records = [None, Some("Explore"), Some("zebra"), Some("main")].map(record);
    let grouping = Grouping::By(Column::AgentType);
    let mut rows = group(&records, grouping, &mut calendar());
    sort(&mut rows, grouping, SortBy::Key, false);
    let keys: Vec<Option<String>> = rows.iter().map(|row| row.key.text()).collect();
    assert_eq!(keys, [Some("main".into()), Some("Explore".into()), Some("zebra".into()), None]);
}
