//! The columns of a record.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::rows;
use crate::accounting::test_store::Sum;
use crate::accounting::written::{response, total};
use crate::harness::{Home, message};

#[test]
fn the_table_is_that_of_the_seed() {
    let home = Home::new();
    home.append(&home.transcript("s"), &[message(1, 100, 10)]);
    rows::import(&home);
    let db = rows::open(&rows::ledger(&home));
    // The seed's columns, by name.
    let (id, task, platform, chain, model): (i64, String, String, Option<String>, String) = db
        .query_row("SELECT id, task_id, platform, chain_id, model FROM cost_records", (), |r| {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?))
        })
        .unwrap();
    assert_eq!((id, platform.as_str(), chain, model.as_str()), (1, "claude-code", None, "claude-test-1"));
    assert!(task.len() == 32 && task.chars().all(|c| c.is_ascii_hexdigit()), "{task}");
    let (input, output, usd, time): (i64, i64, f64, String) = db
        .query_row(
            "SELECT input_tokens, output_tokens, cost_usd, timestamp FROM cost_records WHERE substr(timestamp, 1, 10) = '2026-11-22'",
            (),
            |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)),
        )
        .unwrap();
    assert_eq!((input, output, time.as_str()), (100, 10, "2026-11-22T10:00:00.000Z"));
    let nanos: i64 = db.query_row("SELECT cost_nanos FROM cost_records", (), |r| r.get(0)).unwrap();
    assert!(nanos > 0 && (usd - nanos as f64 / 1e9).abs() < 1e-12, "{nanos} {usd}");
    let unique = db
        .query_row("SELECT COUNT(*) FROM pragma_index_list('cost_records') WHERE origin = 'u'", (), |r| {
            r.get::<_, i64>(0)
        })
        .unwrap();
    assert_eq!(unique, 1);
    for index in ["idx_chain", "idx_platform", "idx_timestamp"] {
        let sql = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'index' AND tbl_name = 'cost_records' AND name = ?";
        assert_eq!(db.query_row(sql, [index], |r| r.get::<_, i64>(0)).unwrap(), 1, "{index}");
    }
    for name in ["ledger.db", "ledger.lock"] {
        let mode = std::fs::metadata(home.path("state").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_record_has_the_web_searches_of_all_lines() {
    let home = Home::new();
    let mut line = message(1, 100, 10);
    line["message"]["usage"]["server_tool_use"] = json!({"web_search_requests": 2});
    home.append(&home.transcript("s"), &[line.clone(), message(2, 1, 1)]);
    rows::import(&home);
    let searches = || -> Vec<i64> {
        let db = rows::open(&rows::ledger(&home));
        let mut query =
            db.prepare("SELECT web_searches FROM cost_records ORDER BY input_tokens DESC").unwrap();
        query.query_map((), |r| r.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(searches(), [2, 0]);
    line["message"]["usage"]["server_tool_use"] = json!({"web_search_requests": 3});
    (line["parentUuid"], line["uuid"]) = (line["uuid"].clone(), json!("later"));
    home.append(&home.transcript("s"), &[line]);
    rows::import(&home);
    assert_eq!(searches(), [3, 0]);
}

#[test]
fn a_record_names_its_session_project_branch_and_agent() {
    let home = Home::new();
    let repository = home.path("project");
    std::fs::create_dir_all(repository.join(".git")).unwrap();
    std::fs::create_dir_all(repository.join("src")).unwrap();
    let mut line = message(1, 100, 10);
    (line["cwd"], line["gitBranch"]) = (json!(repository.join("src")), json!("main"));
    let mut second = message(2, 1, 1);
    (second["cwd"], second["gitBranch"]) = (json!("/nowhere/else"), json!(""));
    // A call may quote the name of a field.
    second["message"]["content"][0]["input"] = json!({"cwd": "/quoted", "gitBranch": "quoted"});
    home.append(&home.transcript("s"), &[line, second]);
    let mut sub = message(3, 1, 1);
    (sub["cwd"], sub["gitBranch"]) = (json!(repository), json!("other"));
    home.append(&home.agent_transcript("s", "a1"), &[sub]);
    std::fs::write(
        home.agent_transcript("s", "a1").with_extension("meta.json"),
        json!({"agentType": "Explore"}).to_string(),
    )
    .unwrap();
    rows::import(&home);
    let db = rows::open(&rows::ledger(&home));
    let sql = "SELECT session, project, branch, agent, agent_type, source, tool_calls FROM cost_records ORDER BY input_tokens DESC, agent";
    let mut query = db.prepare(sql).unwrap();
    type Named = (String, String, Option<String>, Option<String>, String, String, i64);
    let row =
        |r: &rusqlite::Row| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?, r.get(6)?));
    let found: Vec<Named> = query.query_map((), row).unwrap().map(Result::unwrap).collect();
    let project = repository.canonicalize().unwrap().to_string_lossy().into_owned();
    let of = |project: &str, branch: Option<&str>, agent: Option<&str>, agent_type: &str| {
        let text = |text: &str| text.to_owned();
        (
            "s".to_owned(),
            text(project),
            branch.map(text),
            agent.map(text),
            text(agent_type),
            text("response"),
            1,
        )
    };
    assert_eq!(
        found,
        [
            of(&project, Some("main"), None, "main"),
            of("/nowhere/else", None, None, "main"),
            of(&project, Some("other"), Some("a1"), "Explore"),
        ]
    );
}

#[test]
fn a_fork_is_recorded_for_its_origin_whatever_is_read_first() {
    for names in [["a", "b"], ["b", "a"]] {
        let home = Home::new();
        let [origin, fork] = names;
        home.append(&home.transcript(origin), &[message(1, 100, 10)]);
        let mut copied = message(1, 100, 10);
        (copied["sessionId"], copied["requestSessionId"]) = (json!(fork), json!(origin));
        home.append(&home.transcript(fork), &[copied, message(2, 200, 20)]);
        rows::import(&home);
        let db = rows::open(&rows::ledger(&home));
        let mut query = db.prepare("SELECT session FROM cost_records ORDER BY input_tokens").unwrap();
        let sessions: Vec<String> = query.query_map((), |r| r.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(sessions, [origin, fork]);
    }
}

#[test]
fn several_folders_are_read() {
    let home = Home::new();
    let place = |folder: &str, session: &str| home.path(folder).join(format!("projects/-p/{session}.jsonl"));
    home.append(&place("one", "s"), &[message(1, 1, 1)]);
    home.append(&place("two", "t"), &[message(2, 2, 1), message(1, 1, 1)]);
    home.append(&place(".claude", "u"), &[message(3, 4, 1)]);
    home.append(&place("config/claude", "v"), &[message(4, 8, 1)]);
    let input = |home: &Home| rows::sum(rows::counts(home).values())[0];
    let both = format!("{},{}", home.path("one").display(), home.path("two").display());
    let run = |folders: Option<&str>, arguments: &[&str]| {
        let mut command = home.command("fusebox");
        command.arg("import").args(arguments).env_remove("CLAUDE_CONFIG_DIR");
        folders.map(|folders| command.env("CLAUDE_CONFIG_DIR", folders));
        crate::harness::run(&mut command, b"")
    };
    let ran = run(Some(&both), &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "no progress bar in a pipe: {ran:?}");
    assert_eq!(input(&home), 3);
    let ran = run(None, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(input(&home), 15);
    // A project's folder can be named as well.
    home.append(&home.path("backup/w.jsonl"), &[message(5, 16, 1)]);
    let ran = run(None, &[home.path("backup").to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(input(&home), 31);
}

/// What only the client's total shows is on no line: it has the place of its session.
#[test]
fn unlisted_use_has_the_project_and_branch_of_its_session() {
    const SUM: Sum = Sum::tokens(100, 50, 0, 0, 0);
    let home = Home::new();
    let mut one = response("a", 1, SUM);
    (one["cwd"], one["gitBranch"]) = (json!("/src/api"), json!("main"));
    home.append(&home.transcript("s"), &[one.clone(), total(7, Sum::tokens(300, 150, 0, 0, 0))]);
    // A session with nothing but errors, whose lines name a folder.
    let mut error = response("e", 1, Sum::tokens(0, 0, 0, 0, 0));
    (error["cwd"], error["gitBranch"]) = (json!("/src/web"), json!("dev"));
    (error["isApiErrorMessage"], error["message"]["model"]) = (json!(true), json!("<synthetic>"));
    home.append(&home.transcript("t"), &[error, total(8, SUM)]);
    rows::import(&home);
    let places = || {
        let db = rows::open(&rows::ledger(&home));
        let sql =
            "SELECT session, project, branch FROM cost_records WHERE source = 'unlisted' ORDER BY session";
        let mut query = db.prepare(sql).unwrap();
        let row = |r: &rusqlite::Row| Ok([r.get::<_, String>(0)?, r.get(1)?, r.get(2)?].join(" "));
        query.query_map((), row).unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    assert_eq!(places(), ["s /src/api main", "t /src/web dev"]);
    // The total grows in another folder.
    let mut later = response("b", 20, SUM);
    (later["cwd"], later["gitBranch"]) = (json!("/src/web"), json!("dev"));
    home.append(&home.transcript("s"), &[later, total(7, Sum::tokens(900, 450, 0, 0, 0))]);
    rows::import(&home);
    assert_eq!(places(), ["s /src/api main", "t /src/web dev"]);
}

#[test]
fn captured_sessions_have_no_record_without_a_project() {
    for scenario in rows::scenarios() {
        let home = Home::new();
        rows::copy(&home, &scenario);
        rows::import(&home);
        let db = rows::open(&rows::ledger(&home));
        let sql = "SELECT COUNT(*) FROM cost_records WHERE project IS NULL";
        let without: i64 = db.query_row(sql, (), |r| r.get(0)).unwrap();
        assert_eq!(without, 0, "{}", scenario.display());
    }
}
