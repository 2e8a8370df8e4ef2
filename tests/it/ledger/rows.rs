//! Reads the ledger's file, and copies recorded transcripts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

use crate::harness::{Home, Ran};

/// The counts of a record: tokens by class, requests, tool calls.
pub type Counts = [i64; 7];

pub fn ledger(home: &Home) -> PathBuf {
    home.path("state/ledger.db")
}

pub fn open(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// The ledger's file is not damaged, and its sums are those of its records.
#[track_caller]
pub fn assert_sound(home: &Home) {
    let check = open(&ledger(home)).query_row("PRAGMA integrity_check", (), |r| r.get::<_, String>(0));
    assert_eq!(check.unwrap(), "ok");
    assert_summed(home);
}

/// The sums by quarter of an hour are those of the records.
#[track_caller]
pub fn assert_summed(home: &Home) {
    let db = open(&ledger(home));
    let rows = |sql: &str| {
        let mut query = db.prepare(sql).unwrap();
        let columns = query.column_count();
        let row = |row: &rusqlite::Row| (0..columns).map(|index| row.get(index)).collect();
        let rows = query.query_map((), row).unwrap().map(Result::unwrap);
        rows.map(|row: Vec<Value>| format!("{row:?}")).collect::<Vec<_>>()
    };
    let agent_type =
        "CASE WHEN agent_type <> '' THEN agent_type WHEN agent IS NULL THEN 'main' ELSE 'subagent' END";
    let summed = rows(&format!(
        "SELECT session, model, project, branch, {agent_type} AS type, MIN(at), MAX(at), COUNT(*), SUM(input_tokens), \
         SUM(output_tokens), SUM(cache_write_5m), SUM(cache_write_1h), SUM(cache_read), SUM(requests), \
         SUM(cost_nanos / 1000000000), SUM(cost_nanos % 1000000000), MAX(usage_estimated), MAX(price_estimated) \
         FROM cost_records WHERE source <> 'call' GROUP BY session, at / 900000, model, project, branch, type \
         ORDER BY 1, 6, 2, 3, 4, 5"
    ));
    assert_eq!(rows("SELECT * FROM quarter_hours ORDER BY 1, 6, 2, 3, 4, 5"), summed);
}

/// Runs `fusebox import`, which must work.
pub fn import(home: &Home) -> Ran {
    let ran = home.fusebox(&["import", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_summed(home);
    ran
}

/// The counts in the ledger, by message.
pub fn counts(home: &Home) -> BTreeMap<String, Counts> {
    let sql = "SELECT task_id, input_tokens, output_tokens, cache_write_5m, cache_write_1h, cache_read, requests, \
               tool_calls FROM cost_records";
    select_counts(&open(&ledger(home)), sql)
}

pub fn select_counts(db: &Connection, sql: &str) -> BTreeMap<String, Counts> {
    let mut query = db.prepare(sql).unwrap();
    let row = |row: &rusqlite::Row| {
        let count = |index: usize| row.get::<_, i64>(index + 1).unwrap();
        Ok((row.get(0)?, [0, 1, 2, 3, 4, 5, 6].map(count)))
    };
    query.query_map((), row).unwrap().map(Result::unwrap).collect()
}

pub fn sum<'a>(counts: impl IntoIterator<Item = &'a Counts>) -> Counts {
    counts.into_iter().fold([0; 7], |sum, one| std::array::from_fn(|index| sum[index] + one[index]))
}

/// Every column of every record, except its number in the table.
pub fn all_columns(home: &Home) -> Vec<Vec<(String, String)>> {
    let db = open(&ledger(home));
    let mut query = db.prepare("SELECT * FROM cost_records ORDER BY task_id").unwrap();
    let names: Vec<String> = query.column_names().map(str::to_owned).collect();
    let row = |row: &rusqlite::Row| {
        let value = |(index, name): (usize, &String)| {
            let value: Value = row.get(index).unwrap();
            (name.clone(), format!("{value:?}"))
        };
        Ok(names.iter().enumerate().filter(|(_, name)| *name != "id").map(value).collect())
    };
    query.query_map((), row).unwrap().map(Result::unwrap).collect()
}

/// The recorded scenarios.
pub fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/transcripts");
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    assert!(found.len() > 5, "{found:?}");
    found
}

/// All files below a folder, by path relative to it.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => found.push(path.strip_prefix(folder).unwrap().to_owned()),
            }
        }
    }
    found.sort();
    found
}

/// Copies a scenario into the client's folder of a home.
pub fn copy(home: &Home, scenario: &Path) {
    for file in files(scenario) {
        let to = home.path("claude/projects/-p").join(&file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(scenario.join(&file), to).unwrap();
    }
}
