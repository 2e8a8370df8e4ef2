//! Unusable stores: damaged files are quarantined; errors for unusable folders say what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;

use fusebox::domain::message::{Message, MessageKey, UsageSource};
use fusebox::domain::usage::Usage;
use fusebox::prices::Prices;
use fusebox::store::sqlite::{FILE, SqliteStore};
use fusebox::store::{Batch, Query, Record, Recover, StoreError};
use fusebox::transcript::Fact;

use super::test_store::{NOW, TestStore, open, session};

fn facts(count: usize) -> Vec<Fact> {
    let fact = |id: usize| {
        let mut message =
            Message::new(MessageKey::from_parts(&["test", &id.to_string()]), UsageSource::Response, NOW);
        message.recorded = Usage { input: 1, ..Usage::default() };
        (message.stopped, message.model) = (true, "sonnet".into());
        Fact::Message(message)
    };
    (0..count).map(fact).collect()
}

/// Page size, in bytes.
const PAGE: usize = 1024;

/// A database of several pages, with everything in the main file.
fn filled(dir: &Path) -> Vec<u8> {
    let mut store = open(dir);
    super::test_store::apply(&mut store, &session("s"), &facts(400), &[], NOW);
    drop(store);
    let db = rusqlite::Connection::open(dir.join(FILE)).expect("the database");
    let moved: (i64, i64, i64) = db
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
        .expect("a checkpoint");
    assert_eq!(moved.0, 0, "nobody else holds it");
    drop(db);
    fs::read(dir.join(FILE)).expect("the database file")
}

fn quarantined(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).expect("the folder").flatten().map(|f| f.path());
    let mut aside: Vec<PathBuf> = files.filter(|f| f.to_string_lossy().contains("corrupt-")).collect();
    aside.sort();
    aside
}

/// Opens a damaged store and records in it; retries once if the first record fails.
fn open_and_use(dir: &Path) -> SqliteStore {
    let mut store = SqliteStore::open(dir, NOW).expect("a store").store;
    let (session, facts) = (session("s"), facts(500));
    let batch = Batch {
        session: &session,
        facts: &facts,
        budgets: &[],
        alert: true,
        claim: false,
        seen: NOW,
        observation: None,
        now: NOW,
        prices: &Prices::default(),
    };
    match store.apply(&batch) {
        Ok(_) => store,
        Err(error) => {
            assert!(error.is_corrupt(), "{error}");
            Box::new(store).quarantine(NOW).expect("set aside");
            let mut store = open(dir);
            store.apply(&batch).expect("a new store works");
            store
        }
    }
}

#[track_caller]
fn check(dir: &Path, damaged: &[u8]) {
    let mut store = open_and_use(dir);
    let total = store.session_total("s").expect("the store answers").expect("known");
    assert_eq!(total.amount.usage.input, 500);
    let aside = quarantined(dir);
    let kept: Vec<&PathBuf> = aside
        .iter()
        .filter(|f| !f.to_string_lossy().ends_with("-wal") && !f.to_string_lossy().ends_with("-shm"))
        .collect();
    assert_eq!(kept.len(), 1, "{aside:?}");
    assert!(fs::read(kept[0]).expect("kept") == damaged, "kept as it was");
}

#[test]
fn a_file_that_is_no_database_is_set_aside() {
    for garbage in
        [&b"this is no database, and longer than a header of one hundred bytes".repeat(20)[..], b"short"]
    {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::write(dir.path().join(FILE), garbage).expect("garbage");
        let opened = SqliteStore::open(dir.path(), NOW).expect("a store");
        let aside = opened.quarantined.expect("said so");
        assert_eq!(fs::read(&aside).expect("kept"), garbage);
        assert_eq!(aside, dir.path().join(format!("{FILE}.corrupt-{}", NOW.0)));
        check(dir.path(), garbage);
    }
}

#[test]
fn an_empty_file_becomes_a_database() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::write(dir.path().join(FILE), b"").expect("a file");
    let opened = SqliteStore::open(dir.path(), NOW).expect("a store");
    assert_eq!(opened.quarantined, None);
    open_and_use(dir.path());
    assert_eq!(quarantined(dir.path()).len(), 0);
}

#[test]
fn a_truncated_database_is_set_aside() {
    for part in [50, 200, 500, 900] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut bytes = filled(dir.path());
        bytes.truncate(bytes.len() * part / 1000);
        fs::write(dir.path().join(FILE), &bytes).expect("truncated");
        check(dir.path(), &bytes);
    }
}

mod fuzz {
    //! Takes long: `tests/run --quick` leaves it out.

    use super::*;

    #[test]
    fn a_database_with_flipped_bytes_is_set_aside() {
        // Damage every page after the first, each in a new database; the first contains header and schema.
        let dir = tempfile::tempdir().expect("a temporary folder");
        let whole = filled(dir.path());
        let pages = whole.len() / PAGE;
        assert!(pages > 12, "{pages}");
        let mut found = 0;
        for page in 0..pages {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let mut bytes = whole.clone();
            // The page's type and cell count, and some of its cells. Keep the header of the first page.
            let start = page * PAGE + if page == 0 { 100 } else { 0 };
            bytes[start..start + 12].iter_mut().for_each(|b| *b ^= 0xff);
            fs::write(dir.path().join(FILE), &bytes).expect("damaged");
            let mut store = open_and_use(dir.path());
            let total = store.session_total("s").or_else(|error| {
                // Damage in a page that recording did not read is found by a query, and handled in the same way.
                assert!(error.is_corrupt(), "page {page}: {error}");
                Box::new(store)
                    .quarantine(NOW)
                    .expect("the file can be renamed")
                    .expect("it is the one that was opened");
                store = open_and_use(dir.path());
                store.session_total("s")
            });
            let total = total.expect("the store answers").expect("known");
            assert_eq!(total.amount.usage.input, 500, "page {page}");
            found += quarantined(dir.path()).len().min(1);
        }
        // Damage in an index that recording does not use can go unnoticed; most damage cannot.
        assert!(found * 2 > pages, "{found} of {pages}");
    }
}

#[test]
fn a_database_that_somebody_else_replaced_is_not_set_aside() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let old = open(dir.path());
    let replaced = Box::new(open(dir.path())).quarantine(NOW).expect("set aside");
    assert!(replaced.is_some());
    let mut new = open(dir.path());
    super::test_store::apply(&mut new, &session("s"), &facts(3), &[], NOW);
    // Its database was already replaced: the new one stays.
    assert_eq!(Box::new(old).quarantine(NOW.plus_millis(1)).expect("nothing to do"), None);
    assert_eq!(open(dir.path()).session_total("s").expect("answers").expect("known").amount.usage.input, 3);
}

#[test]
fn many_that_find_a_damaged_file_at_once_agree_on_one_new_store() {
    for round in 0..8 {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let garbage = b"no database".repeat(100);
        fs::write(dir.path().join(FILE), &garbage).expect("garbage");
        const THREADS: usize = 8;
        let barrier = Barrier::new(THREADS);
        let all = facts(THREADS);
        let epochs: Vec<String> = std::thread::scope(|scope| {
            let run = |i: usize| {
                let (barrier, dir, all) = (&barrier, dir.path(), &all);
                move || {
                    barrier.wait();
                    let mut store = SqliteStore::open(dir, NOW.plus_millis(i as i64)).expect("a store").store;
                    super::test_store::apply(&mut store, &session("s"), &all[i..=i], &[], NOW).store_id
                }
            };
            let threads: Vec<_> = (0..THREADS).map(|i| scope.spawn(run(i))).collect();
            threads.into_iter().map(|t| t.join().expect("no panic")).collect()
        });
        assert!(epochs.iter().all(|e| *e == epochs[0]), "round {round}: {epochs:?}");
        assert_eq!(quarantined(dir.path()).len(), 1, "round {round}");
        let mut store = TestStore { sqlite: open(dir.path()), dir };
        assert_eq!(store.total("s").0.requests, THREADS as u64, "round {round}");
    }
}

#[track_caller]
fn unusable(dir: &Path) -> (PathBuf, String) {
    match SqliteStore::open(dir, NOW).map(|_| ()) {
        Err(StoreError::Unusable { path, problem, remedy }) => {
            assert!(!problem.is_empty() && remedy.contains("FUSEBOX_STATE_DIR"), "{problem} {remedy}");
            let shown = StoreError::Unusable { path: path.clone(), problem, remedy }.to_string();
            (path, shown)
        }
        other => panic!("{}: {other:?}", dir.display()),
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("file");
    fs::write(&file, b"").expect("a file");
    for dir in [file.join("state"), file.join("a/b/c"), "/proc/no-such-folder/state".into()] {
        let (path, shown) = unusable(&dir);
        assert!(path.starts_with(&dir), "{path:?}");
        assert!(shown.contains(&*dir.to_string_lossy()), "{shown}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    // Permissions do not apply to root, but /proc is read-only for everybody.
    let (path, shown) = unusable(Path::new("/proc"));
    assert_eq!(path, Path::new("/proc").join(FILE));
    assert!(shown.contains("/proc"), "{shown}");
}

#[test]
fn a_folder_in_the_databases_place_is_named() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(dir.path().join(FILE)).expect("a folder");
    assert_eq!(unusable(dir.path()).0, dir.path().join(FILE));
}

#[test]
fn the_stores_folder_is_private() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let state = dir.path().join("a/b");
    open(&state);
    assert_eq!(fs::metadata(&state).expect("made").mode() & 0o777, 0o700);
}

#[test]
fn what_one_store_recorded_another_finds() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut first = open(dir.path());
    let applied = super::test_store::apply(&mut first, &session("s"), &facts(3), &[], NOW);
    let mut second = open(dir.path());
    let again = super::test_store::apply(&mut second, &session("s"), &facts(4), &[], NOW);
    assert_eq!((applied.sequence, again.sequence), (1, 2));
    assert_eq!(applied.store_id, again.store_id);
    assert_eq!(second.session_total("s").expect("answers").expect("known").amount.requests, 4);
    let elsewhere = TestStore::new().apply(&session("s"), &[]);
    assert_ne!(elsewhere.store_id, applied.store_id, "another store is another one");
}
