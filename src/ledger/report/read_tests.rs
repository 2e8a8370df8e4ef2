//! Sums say the same as the records that they are made of.

use chrono::Weekday;
use proptest::prelude::*;
use rusqlite::params;

use super::*;
use crate::domain::time::Timestamp;
use crate::ledger::report::rows::{Grouping, group};
use crate::ledger::schema;
use crate::zoneinfo::zone;

const GROUPINGS: [Grouping; 11] = [
    Grouping::Day,
    Grouping::Week,
    Grouping::Month,
    Grouping::Model,
    Grouping::Project,
    Grouping::By(Column::Session),
    Grouping::By(Column::Branch),
    Grouping::By(Column::AgentType),
    Grouping::By(Column::Platform),
    Grouping::By(Column::Chain),
    Grouping::By(Column::Task),
];

/// Zones with midnights at odd hours, or skipped; the last one was 44 minutes and 30 seconds off until 1972.
const ZONES: [&str; 5] =
    ["UTC", "Asia/Kathmandu", "America/Havana", "Australia/Lord_Howe", "Africa/Monrovia"];

/// A record: its time, texts (an index each), counts, marks, and whether it is a call.
type Sample = (i64, [usize; 5], [u32; 7], [bool; 2], bool);

/// Moments around quarters of hours, some of them midnights, in 1971 or 2026.
fn moments() -> impl Strategy<Value = i64> {
    let quarter = 15 * 60 * 1000_i64;
    let start = prop::sample::select(&[31_536_000_000_i64, 1_780_000_200_000][..]);
    (start, 0_i64..96 * 3, prop::sample::select(&[-1_i64, 0, 1, 30_000, 500_000][..]))
        .prop_map(move |(start, n, ms)| start + n * quarter + ms)
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let texts = prop::array::uniform5(0_usize..3);
    prop::collection::vec(
        (moments(), texts, any::<[u32; 7]>(), any::<[bool; 2]>(), prop::bool::weighted(0.2)),
        0..60,
    )
}

/// Writes the records by the first version of the schema, and brings that up to date.
fn write(file: &Path, samples: &[Sample]) {
    let db = Connection::open(file).unwrap();
    // In one step: thousands would take long.
    db.execute_batch("BEGIN").unwrap();
    schema::migrate(&db, 1).unwrap();
    for (number, (at, texts, counts, marks, is_call)) in samples.iter().enumerate() {
        let text = |index: usize, of: [Option<&'static str>; 3]| of[texts[index]];
        db.execute(
            "INSERT INTO cost_records (task_id, platform, chain_id, model, input_tokens, output_tokens, cost_usd, timestamp, \
             cost_nanos, at, cache_write_5m, cache_write_1h, cache_read, requests, task, session, project, branch, agent, \
             agent_type, source, usage_estimated, price_estimated) \
             VALUES (?, ?, ?, ?, ?, ?, 0, '', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                number.to_string(),
                if *is_call { "openai" } else { "claude-code" },
                is_call.then(|| text(0, [Some("c1"), Some(""), None])).flatten(),
                text(1, [Some("opus"), Some("haiku"), Some("gpt")]),
                counts[0],
                counts[1],
                i64::from(counts[2]) * 1_000_000,
                at,
                counts[3],
                counts[4],
                counts[5],
                counts[6] % 2,
                is_call.then(|| number.to_string()),
                (!is_call).then(|| text(0, [Some("s1"), Some("s2"), Some("s3")])).flatten(),
                (!is_call).then(|| text(2, [Some("/a"), Some("/b"), None])).flatten(),
                text(3, [Some("main"), Some(""), None]),
                text(4, [Some("a1"), Some("main"), None]),
                text(0, [Some("Explore"), Some(""), None]),
                if *is_call { "call" } else { "response" },
                marks[0],
                marks[1],
            ],
        )
        .unwrap();
    }
    schema::migrate(&db, schema::VERSION).unwrap();
    db.execute_batch("COMMIT").unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The same file twice is read by record.
    #[test]
    fn sums_are_exact(
        samples in samples(), name in prop::sample::select(&ZONES[..]), is_of_client in any::<bool>(),
        from in prop::option::of(0_u64..3), before in prop::option::of(1_u64..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        write(&file, &samples);
        let mut calendar = Calendar::new(zone(name).unwrap(), Weekday::Mon);
        let first = calendar.day(Timestamp(1_780_000_200_000));
        let from = from.map(|days| calendar.start_of(first + chrono::Days::new(days)));
        let before = before.map(|days| calendar.start_of(first + chrono::Days::new(days)));
        let platform = is_of_client.then_some("claude-code");
        for grouping in GROUPINGS {
            let query = Query { column: grouping.column(), from, before, platform, one_by_one: false };
            let mut rows = |files: &[PathBuf]| group(&read(files, &query, &mut calendar).unwrap(), grouping, &mut calendar);
            let by_record = rows(&[file.clone(), file.clone()]);
            prop_assert_eq!(rows(std::slice::from_ref(&file)), by_record, "{:?}", grouping);
        }
    }
}

/// Were they not, the test above would compare records with themselves.
#[test]
fn sums_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    let sample = |ms: i64| (1_780_000_200_000 + ms, [0; 5], [1; 7], [false; 2], false);
    write(&file, &[sample(0), sample(1), sample(2)]);
    let mut calendar = Calendar::new(zone("UTC").unwrap(), Weekday::Mon);
    let mut count = |query: &Query| read(std::slice::from_ref(&file), query, &mut calendar).unwrap().len();
    assert_eq!(count(&Query::default()), 1);
    assert_eq!(count(&Query { one_by_one: true, ..Query::default() }), 3);
}
