//! Team budgets with the embedded store: which sessions they count and hold back, errors without a team, and data of
//! the previous version.

use serde_json::{Value, json};

use crate::harness::{Home, Ran, message};

/// A team budget of 1,000 tokens.
const BUDGET: &str =
    "[[budget]]\nname = \"together\"\nscope = \"team\"\nlimit = 1000\nthresholds = [0.5]\nwrap_up = 0\n";

/// A home with that budget, in a team.
fn home() -> Home {
    let home = Home::new();
    home.configure(&format!("[store]\nteam = \"core\"\n{BUDGET}"));
    home
}

fn respond(home: &Home, session: &str, n: usize, tokens: u64) -> Ran {
    home.append(&home.transcript(session), &[message(n, tokens, 0)]);
    home.hook("PostToolUse", session, json!({}))
}

fn is_denied(home: &Home, session: &str, n: usize) -> bool {
    let ran = home.hook("PreToolUse", session, json!({"tool_use_id": format!("toolu_{n}")}));
    !ran.stdout.is_empty() && ran.json()["hookSpecificOutput"]["permissionDecision"] == "deny"
}

/// The value and usage of the budget, as displayed.
fn shown(home: &Home, arguments: &[&str]) -> (String, u64) {
    let ran = home.fusebox(&[&["budget", "show", "together", "--json"], arguments].concat());
    let budget = ran.json()["budget"].clone();
    (budget["value"].as_str().unwrap().to_owned(), budget["used"].as_u64().unwrap())
}

/// The stored team of a session; `None` if the column does not exist.
fn team_of(home: &Home, session: &str) -> Option<String> {
    let db = rusqlite::Connection::open(home.path("state/state.db")).unwrap();
    db.query_row("SELECT team FROM sessions WHERE session = ?", [session], |row| row.get(0)).ok()
}

fn version(home: &Home) -> u32 {
    let db = rusqlite::Connection::open(home.path("state/state.db")).unwrap();
    db.query_row("PRAGMA user_version", (), |row| row.get(0)).unwrap()
}

#[test]
fn it_counts_what_is_on_this_machine_and_holds_all_of_it_back() {
    let home = home();
    assert!(respond(&home, "a", 1, 400).is_silent());
    // A fork starts with the same lines.
    home.append(&home.transcript("b"), &[message(1, 400, 0)]);
    let half = respond(&home, "b", 2, 200);
    assert_eq!(half.json()["systemMessage"], "Fusebox: budget together is 60.00% used: 600 of 1,000 tokens.");
    assert!(!is_denied(&home, "a", 1));
    respond(&home, "b", 3, 400);
    respond(&home, "a", 4, 1);
    assert!(is_denied(&home, "a", 4) && is_denied(&home, "b", 3));
    assert_eq!(shown(&home, &[]), ("core".into(), 1001));
    let status = home.status("a");
    let of_team = status["budgets"].as_array().unwrap().iter().find(|b| b["name"] == "together").unwrap();
    assert_eq!((&of_team["scope"], &of_team["value"]), (&json!("team"), &json!("core")), "{status}");
    let list = home.fusebox(&["budget", "list", "--json"]).json().to_string();
    assert!(list.contains("\"scope\":\"team\""), "{list}");
    let extend =
        home.fusebox(&["budget", "extend", "together", "--value", "core", "--tokens", "50", "--reason", "x"]);
    assert_eq!(extend.code, 0, "{extend:?}");
    assert!(!is_denied(&home, "a", 4) && !is_denied(&home, "b", 3));
    assert_eq!(home.journal(), "");
}

#[test]
fn the_team_of_a_session_is_that_of_when_it_was_first_seen() {
    let home = home();
    respond(&home, "a", 1, 100);
    home.configure(&format!("[store]\nteam = \"web\"\n{BUDGET}"));
    respond(&home, "a", 2, 200);
    respond(&home, "b", 3, 1);
    assert_eq!(shown(&home, &["--value", "core"]), ("core".into(), 300));
    assert_eq!(shown(&home, &[]), ("web".into(), 1));
    assert_eq!((team_of(&home, "a").as_deref(), team_of(&home, "b").as_deref()), (Some("core"), Some("web")));
}

#[test]
fn a_store_that_was_lost_with_its_caches_is_filled_again_for_the_team() {
    let home = home();
    respond(&home, "a", 1, 100);
    respond(&home, "b", 2, 200);
    std::fs::remove_dir_all(home.path("cache")).unwrap();
    std::fs::write(home.path("state/state.db"), "no database").unwrap();
    home.hook("SessionStart", "c", json!({"source": "startup"}));
    home.status("c");
    assert_eq!(shown(&home, &[]), ("core".into(), 300));
}

#[test]
fn without_a_team_the_budget_counts_nothing_and_a_person_hears_which_key_is_missing() {
    let home = Home::new();
    home.configure(BUDGET);
    let warning = "warning: ~/config/fusebox/config.toml: budget.together.scope: counts nothing without store.team: \
                   set your team in your own file ([store] team = \"…\") or in FUSEBOX_STORE_TEAM (an account that only \
                   decides needs none)\n";
    for command in ["check", "show"] {
        let ran = home.fusebox(&["config", command]);
        assert!(ran.code == 0 && (ran.stdout + &ran.stderr).contains(warning), "{command}");
    }
    let checked = home.fusebox(&["config", "check", "--json"]).json();
    assert_eq!((&checked["usable"], &checked["problems"]), (&json!(true), &json!([])));
    assert_eq!(checked["warnings"][0]["key"], "budget.together.scope");
    let doctor = home.fusebox(&["doctor", "--json"]).json();
    let warned =
        |f: &Value| f["severity"] == "warning" && f["found"].as_str().unwrap().contains("store.team");
    assert!(doctor["findings"].as_array().unwrap().iter().any(warned), "{doctor:#}");

    respond(&home, "a", 1, 5000);
    assert!(!is_denied(&home, "a", 1));
    let unnamed = home.fusebox(&["budget", "show", "together"]);
    assert!(unnamed.code == 2 && unnamed.stderr.contains("name the team with --value"), "{unnamed:?}");
    let list = home.fusebox(&["budget", "list", "--json"]).json().to_string();
    assert!(!list.contains("together"), "{list}");

    let named = Home::new().var("FUSEBOX_STORE_TEAM", "core");
    named.configure(BUDGET);
    let ran = named.fusebox(&["config", "check"]);
    assert!(ran.code == 0 && ran.stdout.starts_with("The configuration is valid.\n"), "{ran:?}");
    let show = named.fusebox(&["config", "show"]).stdout;
    assert!(show.contains("team = \"core\"") && show.contains("# FUSEBOX_STORE_TEAM"), "{show}");
}

/// A person may have mistyped the name of the budget or the team.
#[test]
fn a_name_that_is_not_known_is_said() {
    let home = home();
    let extend = |name: &str, more: &[&str]| {
        let words = ["budget", "extend", name, "--tokens", "5", "--reason", "a test"];
        home.fusebox(&[&words[..], more].concat())
    };
    for sessions in [&[][..], &["a"], &["b", "c"]] {
        for session in sessions {
            respond(&home, session, 1, 100);
        }
        for more in [&[][..], &["--value", "core"]] {
            let ran = extend("togeter", more);
            let said = "fusebox: no budget named togeter; budgets: session, together";
            assert!(ran.code == 2 && ran.stderr.starts_with(said), "{more:?}: {ran:?}");
        }
    }
    let ran = extend("together", &["--value", "cor"]);
    let said = "fusebox: nothing has been counted for team cor in this window: check the spelling\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (0, said), "{ran:?}");
    let ran = extend("together", &["--value", "core"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
}

#[test]
fn the_project_cannot_choose_the_team() {
    let home = home();
    std::fs::create_dir_all(home.path("project/.claude")).unwrap();
    std::fs::write(home.path("project/.claude/fusebox.toml"), "[store]\nteam = \"other\"\n").unwrap();
    std::fs::write(
        home.path("project/.claude/settings.json"),
        json!({"env": {"FUSEBOX_STORE_TEAM": "other"}}).to_string(),
    )
    .unwrap();
    let home = home.var("FUSEBOX_STORE_TEAM", "other");
    respond(&home, "a", 1, 100);
    assert_eq!(team_of(&home, "a").as_deref(), Some("core"));
    let ran = home.fusebox(&["config", "check"]);
    assert_eq!((ran.code, ran.stdout.matches("store.team: cannot be set by the project").count()), (2, 2));
}

/// The format of version 4: without teams, in the store and in the cache.
#[test]
fn it_counts_on_in_a_store_of_the_version_before() {
    let home = Home::new();
    home.configure(&format!(
        "{BUDGET}[[budget]]\nname = \"mine\"\nscope = \"user\"\nlimit = 1000\nwrap_up = 0\n"
    ));
    respond(&home, "old", 1, 100);
    let db = rusqlite::Connection::open(home.path("state/state.db")).unwrap();
    db.execute_batch(
        "DROP TABLE reservations; ALTER TABLE sessions DROP COLUMN chain;
         ALTER TABLE sessions DROP COLUMN team;
         ALTER TABLE messages DROP COLUMN nano_usd; ALTER TABLE messages DROP COLUMN nano_usd_estimated;
         ALTER TABLE messages DROP COLUMN rates; ALTER TABLE client_totals DROP COLUMN nano_usd;
         PRAGMA user_version=4;",
    )
    .unwrap();
    drop(db);
    let file = home.path("cache/guardrails-old.json");
    let mut cache: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(cache["session"].as_object_mut().unwrap().remove("team"), Some(json!("")));
    std::fs::write(&file, cache.to_string()).unwrap();
    assert_eq!((version(&home), team_of(&home, "old")), (4, None));

    let home = home.var("FUSEBOX_STORE_TEAM", "core");
    respond(&home, "old", 2, 200);
    assert_eq!((version(&home), team_of(&home, "old").as_deref()), (9, Some("")));
    respond(&home, "new", 3, 400);
    assert_eq!(shown(&home, &[]), ("core".into(), 400));
    let mine = home.status("old");
    let mine = mine["budgets"].as_array().unwrap().iter().find(|b| b["name"] == "mine").unwrap();
    assert_eq!(mine["used"], 700, "nothing was lost");
    // A running executable of that version inserts sessions without the column.
    let db = rusqlite::Connection::open(home.path("state/state.db")).unwrap();
    db.execute_batch(
        "INSERT INTO sessions (session, project, user, task_type, last_seen, sequence, complete, settles)
         SELECT 'beside', project, user, task_type, last_seen, 0, 0, 0 FROM sessions WHERE session = 'old'",
    )
    .unwrap();
    drop(db);
    respond(&home, "beside", 4, 1);
    assert_eq!(team_of(&home, "beside").as_deref(), Some(""));
    let state: Vec<String> = home
        .path("state")
        .read_dir()
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(!state.iter().any(|name| name.contains("corrupt")), "{state:?}");
    assert_eq!(home.journal(), "");
}
