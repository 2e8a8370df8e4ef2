//! `fusebox report`, on ledgers that the tests write.

mod ccusage;
mod ledger;
mod screens;

use fusebox::domain::time::Timestamp;
use serde_json::{Value, json};

use self::ledger::Entry;
use crate::harness::{Home, Ran};

const OPUS: &str = "claude-opus-5-5";
const HAIKU: &str = "claude-haiku-5-5";

/// Five records: three days, two models, two projects, a subagent, a call of another platform, and one estimate.
/// A home with a client that has written nothing.
fn client_home() -> Home {
    let home = Home::new();
    std::fs::create_dir_all(home.path("claude")).unwrap();
    home
}

fn entries() -> Vec<Entry> {
    vec![
        // A Sunday, 23:30 in UTC: Monday in Berlin.
        Entry::new("a", "2026-11-29T23:30:00.000Z", OPUS, [10, 20, 30, 40, 50], 1_000_000_001),
        Entry::new("b", "2026-11-30T10:00:00.000Z", OPUS, [1, 2, 3, 4, 5], 2_000_000),
        Entry {
            agent: Some("a7"),
            agent_type: Some("Explore"),
            session: Some("s2".into()),
            usage_estimated: true,
            ..Entry::new("c", "2026-11-30T10:30:00.000Z", HAIKU, [100, 200, 0, 0, 0], 37_125_000)
        },
        Entry {
            project: Some("/home/dev/src/web".into()),
            branch: None,
            session: Some("s3".into()),
            ..Entry::new("d", "2026-10-25T00:30:00.000Z", HAIKU, [7, 0, 0, 0, 0], 7)
        },
        Entry {
            platform: "langchain",
            chain: Some("chain-1"),
            task: Some("nightly, \"big\""),
            session: None,
            project: None,
            branch: Some("feature/=1+1".into()),
            price_estimated: true,
            ..Entry::new("e", "2026-12-01T00:00:00.000Z", "gpt-9", [5, 6, 0, 0, 0], 11)
        },
    ]
}

/// A home with a ledger.
fn home(entries: &[Entry]) -> Home {
    let home = client_home().var("TZ", "UTC");
    ledger::write(&home.path("state/ledger.db"), entries);
    home
}

/// A home at this time.
fn at(home: Home, now: &str) -> Home {
    let file = home.path("clock");
    let real = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let ahead = Timestamp::parse(now).unwrap().0 - i64::try_from(real.as_millis()).unwrap();
    std::fs::write(&file, ahead.to_string()).unwrap();
    home.var("FUSEBOX_TEST_CLOCK", file.to_str().unwrap())
}

fn report(home: &Home, arguments: &str) -> Ran {
    let ran = home.fusebox(&["report"].into_iter().chain(arguments.split(' ')).collect::<Vec<_>>());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments}: {ran:?}");
    ran
}

/// Key and dollars of each row.
fn rows(home: &Home, arguments: &str) -> Vec<(Value, f64)> {
    let report = report(home, &format!("{arguments} --json")).json();
    let of = |row: &Value| (row["key"].clone(), row["totals"]["usd"].as_f64().unwrap());
    report["rows"].as_array().unwrap().iter().map(of).collect()
}

fn keys(home: &Home, arguments: &str) -> Vec<String> {
    rows(home, arguments).iter().map(|(key, _)| key.as_str().unwrap_or("null").to_owned()).collect()
}

#[test]
fn json_has_exactly_the_documented_shape() {
    let home = home(&entries()[..3]);
    let totals = |n: [u64; 6], usd: f64, estimated: bool| {
        json!({"input": n[0], "output": n[1], "cache_write_5m": n[2], "cache_write_1h": n[3], "cache_read": n[4],
            "requests": n[5], "usd": usd, "estimated": estimated})
    };
    let model = |name: &str, mut totals: Value| {
        totals["model"] = name.into();
        totals
    };
    let (a, b, c) = (
        totals([10, 20, 30, 40, 50, 1], 1.000_000_001, false),
        totals([1, 2, 3, 4, 5, 1], 0.002, false),
        totals([100, 200, 0, 0, 0, 1], 0.037_125, true),
    );
    let expected = json!({
        "rows": [
            {"key": "2026-11-29", "models": [model(OPUS, a.clone())], "totals": a},
            {"key": "2026-11-30", "models": [model(HAIKU, c), model(OPUS, b)],
                "totals": totals([101, 202, 3, 4, 5, 2], 0.039_125, true)},
        ],
        "totals": totals([111, 222, 33, 44, 55, 3], 1.039_125_001, true),
    });
    let ran = report(&home, "daily --json");
    assert_eq!(ran.json(), expected);
    // Exact decimals, not the nearest float that happened.
    assert!(ran.stdout.contains("\"usd\": 1.039125001"), "{}", ran.stdout);
}

/// The JSON that the page shows is the one that is written.
#[test]
fn the_page_shows_the_shapes() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reports.md")).unwrap();
    let blocks = page.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let shown: Vec<Value> = blocks.map(|block| serde_json::from_str(block).unwrap()).collect();
    fn names(value: &Value) -> Value {
        match value {
            Value::Object(object) => {
                object.iter().map(|(name, value)| (name.clone(), names(value))).collect()
            }
            Value::Array(list) => list.first().map(names).into_iter().collect(),
            _ => Value::Null,
        }
    }
    let home = home(&entries()[..1]);
    assert_eq!(names(&shown[0]), names(&report(&home, "daily --json").json()));
    let overview: Vec<String> =
        home.fusebox(&["report", "--json"]).json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(shown[1].as_object().unwrap().keys().cloned().collect::<Vec<_>>(), overview);
}

#[test]
fn every_grouping_has_its_keys() {
    let home = home(&entries());
    for (grouping, expected) in [
        ("daily", &["2026-10-25", "2026-11-29", "2026-11-30", "2026-12-01"][..]),
        ("weekly", &["2026-10-19", "2026-11-23", "2026-11-30"]),
        ("weekly --start-of-week sunday", &["2026-10-25", "2026-11-29"]),
        ("monthly", &["2026-10", "2026-11", "2026-12"]),
        (
            "blocks",
            &["2026-10-25T00:00:00Z", "2026-11-29T23:00:00Z", "2026-11-30T10:00:00Z", "2026-12-01T00:00:00Z"],
        ),
        ("session", &["s1", "s2", "null", "s3"]),
        ("model", &[OPUS, HAIKU, "gpt-9"]),
        ("project", &["/home/dev/src/api", "null", "/home/dev/src/web"]),
        ("branch", &["main", "feature/=1+1", "null"]),
        ("agent", &["main", "Explore", "null"]),
        ("platform", &["claude-code", "langchain"]),
        ("chain", &["null", "chain-1"]),
        ("task", &["null", "nightly, \"big\""]),
    ] {
        assert_eq!(keys(&home, grouping), expected, "{grouping}");
        let total = report(&home, &format!("{grouping} --json")).json()["totals"].clone();
        assert_eq!(total["usd"], 1.039_125_019, "{grouping}");
        assert_eq!(total["requests"], 5, "{grouping}");
    }
}

#[test]
fn an_agent_without_a_type_is_no_main_agent() {
    let mut all = entries();
    all[2].agent_type = None;
    assert_eq!(keys(&home(&all), "agent"), ["main", "subagent", "null"]);
}

#[test]
fn days_are_those_of_the_time_zone() {
    let home = home(&entries());
    assert_eq!(
        keys(&home, "daily --timezone Europe/Berlin"),
        ["2026-10-25", "2026-11-30", "2026-12-01"],
        "23:30 is the next day in Berlin"
    );
    assert_eq!(keys(&home, "daily -z America/Los_Angeles"), ["2026-10-24", "2026-11-29", "2026-11-30"],);
    let home = home_in("Asia/Tokyo");
    assert_eq!(keys(&home, "daily"), ["2026-10-25", "2026-11-30", "2026-12-01"], "TZ is the default");
    assert_eq!(keys(&home, "daily --timezone local"), keys(&home, "daily"));
    let berlin = keys(&home, "daily --timezone Europe/Berlin");
    assert_eq!(keys(&home, "daily --timezone europe/BERLIN"), berlin);
    assert_eq!(keys(&home, "daily --timezone utc"), keys(&home, "daily --timezone UTC"));
}

fn home_in(zone: &str) -> Home {
    let home = client_home().var("TZ", zone);
    ledger::write(&home.path("state/ledger.db"), &entries());
    home
}

#[test]
fn ranges_include_both_days() {
    let home = home(&entries());
    for (options, expected) in [
        ("--since 2026-11-30", &["2026-11-30", "2026-12-01"][..]),
        ("--since 20261130 --until 20261130", &["2026-11-30"]),
        ("--until 2026-11-29", &["2026-10-25", "2026-11-29"]),
        ("--since 2026-11-30 --until 2026-11-30 --timezone Europe/Berlin", &["2026-11-30"]),
        ("--last 1", &["2026-12-01"]),
        ("--last 2", &["2026-11-30", "2026-12-01"]),
        ("--last 2 --until 2026-11-30", &["2026-11-29", "2026-11-30"]),
        ("--last 99", &["2026-10-25", "2026-11-29", "2026-11-30", "2026-12-01"]),
        ("--since 2027-01-01", &[]),
    ] {
        assert_eq!(keys(&home, &format!("daily {options}")), expected, "{options}");
    }
    // In Berlin, the first record is of the 30th as well.
    let berlin = rows(&home, "daily --since 2026-11-30 --until 2026-11-30 --timezone Europe/Berlin");
    assert_eq!(berlin[0].1, 1.039_125_001);
    // The last sessions are those used last.
    assert_eq!(keys(&home, "session --last 2 --until 2026-11-30"), ["s1", "s2"]);
    // Blocks are selected by their start, whatever came later.
    assert_eq!(keys(&home, "blocks --since 2026-11-30 --until 2026-11-30"), ["2026-11-30T10:00:00Z"]);
}

#[test]
fn a_week_that_is_cut_by_since_has_only_its_days_after_it() {
    let home = home(&entries());
    let week = rows(&home, "weekly --start-of-week sunday --since 2026-11-30");
    assert_eq!(week, [(json!("2026-11-29"), 0.039_125_011)]);
}

#[test]
fn globs_select_projects_and_models() {
    let home = home(&entries());
    for (options, expected) in [
        ("--project /home/dev/src/*", 1.039_125_008),
        ("--project api", 1.039_125_001),
        ("--project w?b", 0.000_000_007),
        ("--project api --project web", 1.039_125_008),
        ("--model claude-opus-*", 1.002_000_001),
        ("--model opus-5-5", 1.002_000_001),
        ("--model OPUS*", 1.002_000_001),
        ("--project /home/dev/src/web/", 0.000_000_007),
        ("--model haiku* --project api", 0.037_125),
        ("--model nothing", 0.0),
    ] {
        for grouping in ["daily", "blocks", "session"] {
            let total =
                report(&home, &format!("{grouping} {options} --json")).json()["totals"]["usd"].clone();
            assert_eq!(total, expected, "{grouping} {options}");
        }
    }
}

#[test]
fn rows_are_sorted_as_asked() {
    let home = home(&entries());
    for (options, expected) in [
        ("", [OPUS, HAIKU, "gpt-9"]),
        ("--sort usd", [OPUS, HAIKU, "gpt-9"]),
        ("--sort usd --order asc", ["gpt-9", HAIKU, OPUS]),
        ("--sort tokens", [HAIKU, OPUS, "gpt-9"]),
        ("--sort tokens --order asc", ["gpt-9", OPUS, HAIKU]),
        ("--sort key", [HAIKU, OPUS, "gpt-9"]),
        ("--sort key --order desc", ["gpt-9", OPUS, HAIKU]),
    ] {
        assert_eq!(keys(&home, format!("model {options}").trim()), expected, "{options}");
    }
}

#[test]
fn csv_is_exact_and_quoted() {
    let home = home(&entries());
    assert_eq!(
        report(&home, "task --csv").stdout,
        "key,model,input,output,cache_write_5m,cache_write_1h,cache_read,requests,usd,estimated\n\
         ,claude-opus-5-5,11,22,33,44,55,2,1.002000001,false\n\
         ,claude-haiku-5-5,107,200,0,0,0,2,0.037125007,true\n\
         \"nightly, \"\"big\"\"\",gpt-9,5,6,0,0,0,1,0.000000011,true\n"
    );
    assert_eq!(report(&home, "daily --csv --since 2027-01-01").stdout.lines().count(), 1, "only the header");
}

#[test]
fn several_ledgers_count_each_record_once() {
    let home = client_home().var("TZ", "UTC");
    let all = entries();
    let [one, two] = ["one.db", "two.db"].map(|name| home.path("").join(name));
    ledger::write(&one, &all[..3]);
    // The same record, of which this ledger had seen less.
    let partial = Entry { tokens: [10, 1, 30, 40, 50], nanos: 5, ..all[0].clone() };
    ledger::write(&two, &[&[partial], &all[1..]].concat());
    let total = |first: &str, second: &str| {
        report(&home, &format!("daily --json --ledger {first} --ledger {second}")).json()["totals"].clone()
    };
    let [one, two] = [one, two].map(|path| path.to_str().unwrap().to_owned());
    let expected = json!({"input": 123, "output": 228, "cache_write_5m": 33, "cache_write_1h": 44, "cache_read": 55,
        "requests": 5, "usd": 1.039_125_019, "estimated": true});
    assert_eq!(total(&one, &two), expected);
    assert_eq!(total(&two, &one), expected, "the order of the files makes no difference");
    // One file per option: what follows is the grouping.
    let last = report(&home, &format!("--json --ledger {one} daily")).json();
    assert_eq!(last["rows"].as_array().unwrap().len(), 2, "{last}");
}

#[test]
fn an_empty_ledger_says_how_to_fill_it() {
    let home = client_home();
    for arguments in [&["report"][..], &["report", "daily"], &["report", "blocks"]] {
        let ran = home.fusebox(arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}");
        // It has just been imported, so importing is no advice.
        let says = format!(
            "No transcripts in {}. If they are elsewhere, set CLAUDE_CONFIG_DIR or run `fusebox import FOLDER`.\n",
            home.path("claude").display()
        );
        assert_eq!(ran.stdout, says, "{arguments:?}");
        let unread = home.fusebox(&[arguments, &["--no-import"]].concat()).stdout;
        assert!(
            unread.starts_with("Nothing is recorded yet.") && unread.contains("fusebox import"),
            "{unread}"
        );
    }
    let costs = home.fusebox(&["cost", "platforms"]).stdout;
    assert!(costs.starts_with("No transcripts in "), "{costs}");
    assert_eq!(report(&home, "daily --json").json()["rows"], json!([]));
    ledger::write(&home.path("other.db"), &entries());
    let other = home.path("other.db");
    let ran =
        home.fusebox(&["report", "daily", "--since", "2027-01-01", "--ledger", other.to_str().unwrap()]);
    assert!(ran.stdout.starts_with("Nothing was used in that period"), "{ran:?}");
    for (arguments, says) in [
        (&["--project", "ap"][..], "No project matches ap.\n"),
        (&["--model", "o", "--model", "gpt"], "No model matches o or gpt.\n"),
        (&["--project", "web", "--model", "opus*"], "Nothing was used in that period, or"),
    ] {
        let all = [&["report", "daily", "--ledger", other.to_str().unwrap()], arguments].concat();
        let ran = home.fusebox(&all);
        assert!(ran.code == 0 && ran.stdout.starts_with(says), "{arguments:?}: {ran:?}");
    }
}

/// A misspelt variable is named in every report.
#[test]
fn a_folder_that_does_not_exist_is_named() {
    let home = client_home();
    std::fs::remove_dir(home.path("claude")).unwrap();
    let ran = home.fusebox(&["report"]);
    let says =
        format!("fusebox: CLAUDE_CONFIG_DIR names {}, which does not exist\n", home.path("claude").display());
    assert_eq!((ran.code, ran.stderr), (0, says));
}

#[test]
fn wrong_use_is_refused_in_one_line() {
    let home = home(&entries());
    let not_a_ledger = home.path("text.db");
    std::fs::write(&not_a_ledger, "not a database, but long enough to be looked at as if it were one")
        .unwrap();
    let other = rusqlite::Connection::open(home.path("other.db")).unwrap();
    other.execute_batch("CREATE TABLE t (x)").unwrap();
    for (arguments, code, says) in [
        ("daily --since yesterday", 2, "--since: \"yesterday\": write a date as YYYY-MM-DD or YYYYMMDD"),
        ("daily --until 2026-02-30", 2, "--until: \"2026-02-30\": there is no such day"),
        ("daily --since 20261202 --until 20261201", 2, "--since 2026-12-02 is after --until 2026-12-01"),
        ("daily --timezone Mars/Base", 2, "--timezone: Mars/Base: no such time zone"),
        ("daily --timezone ", 2, "--timezone is empty: use a name such as Europe/Berlin"),
        ("--timezone Mars/Base", 2, "--timezone: Mars/Base: no such time zone"),
        ("model --json --ccusage", 2, "ccusage has no report by model"),
        ("--csv", 2, "--csv needs a grouping, such as `fusebox report daily --csv`"),
        ("--since 20261201", 2, "--since needs a grouping"),
        ("daily --ledger nothing.db", 2, "the ledger nothing.db does not exist"),
        ("daily --ledger ../text.db", 2, "../text.db is not a Fusebox ledger\n"),
        ("daily --ledger ../other.db", 2, "../other.db is not a Fusebox ledger\n"),
        ("daily --ledger ..", 2, ".. is a folder: name a file, such as ../ledger.db\n"),
    ] {
        let ran = home.fusebox(&["report"].into_iter().chain(arguments.split(' ')).collect::<Vec<_>>());
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{arguments}: {ran:?}");
        assert!(ran.stderr.starts_with(&format!("fusebox: {says}")), "{arguments}: {ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{arguments}: {ran:?}");
    }
    for (arguments, says) in [
        ("daily --json --csv", "cannot be used with"),
        ("daily --csv --ccusage", "cannot be used with"),
        ("daily --last 0", "use a whole number, such as 7"),
        ("daily --last x", "use a whole number, such as 7"),
        ("yearly", "invalid value"),
        ("daily --ccusage", "required"),
    ] {
        let ran = home.fusebox(&["report"].into_iter().chain(arguments.split(' ')).collect::<Vec<_>>());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments}: {ran:?}");
        assert!(ran.stderr.contains(says), "{arguments}: {ran:?}");
    }
    let ran = home_in("Mars/Base").fusebox(&["report", "daily"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.starts_with("fusebox: TZ: Mars/Base: no such time zone"), "{ran:?}");
}

#[test]
fn a_ledger_that_is_being_written_can_be_read() {
    let home = home(&entries());
    assert_eq!(rows(&home, "monthly").len(), 3);
    let writer = rusqlite::Connection::open(home.path("state/ledger.db")).unwrap();
    let sql = "PRAGMA journal_mode=WAL; BEGIN IMMEDIATE; DELETE FROM cost_records; DELETE FROM quarter_hours";
    writer.execute_batch(sql).unwrap();
    assert_eq!(rows(&home, "monthly").len(), 3);
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(rows(&home, "monthly").len(), 0);
}
