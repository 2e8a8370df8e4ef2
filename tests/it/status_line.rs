//! The status line: what it shows, what it keeps, and that nothing makes it fail.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::harness::{Home, Ran, message};

/// The payload that 2.1.330 sent, of session `s` in this home.
fn payload(home: &Home, fields: Value) -> Value {
    let captured = include_str!("../fixtures/hooks/statusLine.json");
    let mut payload: Value = serde_json::from_str(captured).unwrap();
    payload["session_id"] = json!("s");
    payload["transcript_path"] = json!(home.transcript("s"));
    payload["cwd"] = json!(home.path("project"));
    payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    payload
}

fn line(home: &Home, fields: Value) -> String {
    let ran = home.run("status-line", payload(home, fields).to_string().as_bytes());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.stdout
}

fn plain() -> Home {
    Home::new().var("NO_COLOR", "1").var("COLUMNS", "160")
}

/// A response with these fresh tokens, which hooks have counted.
fn use_tokens(home: &Home, n: usize, tokens: u64) {
    home.append(&home.transcript("s"), &[message(n, tokens, 0)]);
    home.hook(
        "PostToolUse",
        "s",
        json!({"tool_name": "Bash", "tool_use_id": format!("toolu_{n}"),
        "tool_input": {"command": "true"}, "tool_response": {}}),
    );
}

/// What the client says about windows that end so many minutes from now, and half a minute.
fn limits(home: &Home, five_hour: (f64, i64), seven_day: (f64, i64)) -> Value {
    let now = home.env().now.0 / 1000;
    let limit =
        |(used, minutes): (f64, i64)| json!({"used_percentage": used, "resets_at": now + minutes * 60 + 30});
    json!({"rate_limits": {"five_hour": limit(five_hour), "seven_day": limit(seven_day)}})
}

#[test]
fn a_new_session_shows_what_the_client_says() {
    let home = plain();
    assert_eq!(line(&home, json!({})), "Sonnet 4.5 · context 3% of 200k · $0.0177\n");
    assert_eq!(line(&home, json!({"fast_mode": true})), "Sonnet 4.5 fast · context 3% of 200k · $0.0177\n");
    assert_eq!(home.journal(), "");
}

#[test]
fn budgets_have_bars_and_say_when_they_hold_the_session() {
    let home = plain();
    home.configure(
        "[[budget]]\nname = \"session\"\nlimit = 1000\n\n[[budget]]\nname = \"daily\"\nscope = \"user\"\nwindow = \"day\"\n\
         unit = \"usd\"\nlimit = 20.0\non_limit = \"warn\"\n\n[[budget]]\nname = \"month\"\nscope = \"user\"\nwindow = \"month\"\n\
         limit = 1_000_000\n",
    );
    let now = home.env().now.utc().to_rfc3339();
    let mut today = message(1, 450, 0);
    today["timestamp"] = json!(now);
    home.append(&home.transcript("s"), &[today]);
    home.hook("UserPromptSubmit", "s", json!({"prompt": "work"}));
    let shown = line(&home, json!({}));
    assert!(shown.contains(" · session ███░░░░░ 45% 450/1k · daily █░░░░░░░ 0% $0.00"), "{shown}");
    assert!(!shown.contains("month"), "only past a threshold: {shown}");
    use_tokens(&home, 2, 600);
    let shown = line(&home, json!({}));
    assert!(shown.contains("session ████████ 105% 1k/1k paused"), "{shown}");
}

#[test]
fn an_open_breaker_and_subagents_at_work_are_shown() {
    let home = plain().var("FUSEBOX_BREAKER_MAX_REPEATS", "2");
    for n in 1..4 {
        home.append(&home.transcript("s"), &[message(n, 1, 1)]);
        let call = json!({"tool_name": "Bash", "tool_use_id": format!("toolu_{n}"),
            "tool_input": {"command": "true"}, "tool_response": "same"});
        home.hook("PostToolUse", "s", call.clone());
        home.hook("PostToolBatch", "s", json!({"tool_calls": [call]}));
    }
    let mut at_work = message(9, 1, 1);
    at_work["timestamp"] = json!(home.env().now.utc().to_rfc3339());
    home.append(&home.agent_transcript("s", "a1"), &[at_work]);
    home.hook("Stop", "s", json!({}));
    let shown = line(&home, json!({}));
    assert!(shown.contains(" · breaker open: same call") && shown.contains(" · 1 subagent"), "{shown}");
}

#[test]
fn plan_windows_say_when_they_end_or_are_full() {
    let home = plain();
    let shown = line(&home, limits(&home, (12.4, 150), (31.0, 3 * 24 * 60)));
    assert!(shown.ends_with(" · 5h 12%, resets in 2h30m · week 31%, resets in 3d\n"), "{shown}");
    // 100 minutes after the start 80 % are used: 25 more until it is full.
    let shown = line(&home, limits(&home, (80.0, 200), (31.0, 3 * 24 * 60)));
    assert!(shown.contains(" · 5h 80%, full in 2"), "{shown}");
}

#[test]
fn what_another_session_said_counts_until_the_reset() {
    let home = plain();
    line(&home, limits(&home, (40.0, 60), (10.0, 60)));
    assert!(line(&home, json!({})).contains("5h 40%"), "the limits are the account's");
    let older = limits(&home, (35.0, 60), (10.0, 60));
    assert!(line(&home, older).contains("5h 40%"), "a waiting session repeats what it knew");
    let mode = std::fs::metadata(home.path("state/plan.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    if cfg!(feature = "test-clock") {
        let clock = home.path("clock");
        std::fs::write(&clock, (2 * 3600 * 1000).to_string()).unwrap();
        let home = home.var("FUSEBOX_TEST_CLOCK", &clock.to_string_lossy());
        let shown = line(&home, json!({}));
        assert!(!shown.contains("5h") && !shown.contains("week"), "over, and not 0: {shown}");
    }
}

#[test]
fn parts_and_their_order_can_be_chosen() {
    let home = plain();
    home.configure("[status_line]\nparts = [\"cost\", \"model\"]\n");
    assert_eq!(line(&home, json!({})), "$0.0177 · Sonnet 4.5\n");
    home.configure("[status_line]\nparts = []\n");
    assert_eq!(line(&home, json!({})), "");
    home.configure("enabled = false\n");
    assert_eq!(line(&home, json!({})), "");
    for (wrong, why) in [
        ("parts = [\"clock\"]", "must be a list of model, context, budgets"),
        ("parts = [\"cost\", \"cost\"]", "each at most once (found \"cost, cost\")"),
        ("parts = \"cost\"", "must be a list of"),
        ("color = \"blue\"", "must be true or false"),
    ] {
        home.configure(&format!("[status_line]\n{wrong}\n"));
        let ran = home.fusebox(&["config", "check"]);
        assert!(ran.code != 0 && (ran.stdout + &ran.stderr).contains(why), "{wrong}");
    }
}

#[test]
fn it_fits_the_terminal_and_has_colours_unless_told_otherwise() {
    let home = Home::new();
    let shown = |home: &Home| line(home, limits(home, (70.0, 60), (31.0, 300)));
    assert!(shown(&home).contains("\u{1b}[33m5h 70%"), "{:?}", shown(&home));
    home.configure("[status_line]\ncolor = false\n");
    assert!(!shown(&home).contains('\u{1b}'));
    for columns in ["0", "1", "10", "33", "80", "120", "99999", "-3", "wide"] {
        let home = Home::new().var("NO_COLOR", "1").var("COLUMNS", columns);
        // The client keeps four columns free.
        let width = columns.parse().unwrap_or(80_usize).saturating_sub(4);
        let shown = shown(&home);
        assert!(shown.trim_end().chars().count() <= width, "{columns}: {shown}");
    }
}

#[test]
fn hostile_names_stay_on_their_line() {
    let home = plain();
    let shown = line(&home, json!({"model": {"display_name": "a\u{1b}[31m\nb\u{7}\u{202e}"}}));
    assert_eq!(shown.lines().count(), 1, "{shown:?}");
    assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
}

#[test]
fn bad_input_is_silent_and_changes_nothing() {
    let home = plain();
    let session = |fields: Value| payload(&home, fields).to_string().into_bytes();
    let absurd = [json!(-1), json!(1e300), json!("80"), json!(null), json!([]), json!(1e12)];
    for number in absurd {
        let limits = json!({"five_hour": {"used_percentage": number, "resets_at": number}});
        let ran =
            home.run("status-line", &session(json!({"rate_limits": limits, "cost": {"total_cost_usd": -1}})));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        assert!(!ran.stdout.contains("5h"), "{ran:?}");
    }
    assert!(!home.path("state/plan.json").exists());
    assert_eq!(home.journal(), "");
    for input in [&b""[..], b"{", b"[]", b"\xff\xfe", b"{\"session_id\": \"\"}", b"{\"model\": {}}"] {
        assert!(home.run("status-line", input).is_silent(), "{input:?}");
    }
    assert!(home.journal().contains("status-line"), "{}", home.journal());
    // What is not ours is replaced; what cannot be written does not matter.
    std::fs::write(home.path("state/plan.json"), "no JSON").unwrap();
    assert!(line(&home, limits(&home, (50.0, 60), (1.0, 60))).contains("5h 50%"));
    let cache = home.path("cache");
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(line(&home, json!({})).contains("Sonnet 4.5"));
    std::fs::remove_dir_all(home.path("state")).unwrap();
    std::fs::write(home.path("state"), "a file").unwrap();
    assert!(line(&home, limits(&home, (50.0, 60), (1.0, 60))).contains("5h 50%"));
}

#[test]
fn it_leaves_no_files_but_its_own() {
    let home = plain();
    for used in 1..5 {
        line(&home, limits(&home, (f64::from(used), 60), (1.0, 60)));
    }
    let names = |dir: &str| -> Vec<String> {
        let entries = std::fs::read_dir(home.path(dir)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(names("state"), ["plan.json"]);
    assert_eq!(names("cache"), ["guardrails-s.cost"]);
}

#[test]
fn status_and_doctor_compare_with_what_the_client_reckons() {
    let home = plain();
    let mut response = message(1, 100_000, 1_000);
    response["message"]["model"] = json!("claude-sonnet-4-5");
    response["message"]["usage"]["cache_read_input_tokens"] = json!(0);
    response["timestamp"] = json!(home.env().now.utc().to_rfc3339());
    home.append(&home.transcript("s"), &[response]);
    home.hook("Stop", "s", json!({}));
    assert_eq!(home.status("s")["cost"], json!({"usd": 0.315, "estimated_usd": 0.0, "client_usd": null}));
    line(&home, json!({"cost": {"total_cost_usd": 0.315}}));
    assert_eq!(home.status("s")["cost"]["client_usd"], 0.315);
    let doctor = |home: &Home| -> Ran { home.fusebox(&["doctor", "--json"]) };
    let finding = |home: &Home| {
        let report = doctor(home).json();
        let all = report["findings"].as_array().unwrap().clone();
        all.into_iter().find(|f| f["check"] == "status line" && f["severity"] == "warning")
    };
    assert_eq!(finding(&home), None);
    line(&home, json!({"cost": {"total_cost_usd": 0.5}}));
    let found = finding(&home).expect("a warning");
    let said = found["found"].as_str().unwrap();
    assert!(said.contains("1 session cost more") && said.contains("$0.32 counted, $0.50 reckoned"), "{said}");
    let status = home.fusebox(&["status", "--session", "s"]).stdout;
    assert!(status.contains("the client reckons $0.50 (+$0.19)"), "{status}");
}

mod settings {
    //! Setting it with `fusebox init`, and taking it back.

    use std::fs;
    use std::path::Path;

    use fusebox::agents::claude::registration;
    use serde_json::{Value, json};

    use crate::harness::{Home, Ran, program_path};

    const THEIRS: &str =
        "{\n  \"statusLine\": {\"type\": \"command\",  \"command\": \"theirs.sh\"},\n  \"a\": 1\n}\n";

    fn with(settings: &str) -> Home {
        let home = Home::new();
        fs::create_dir_all(home.path("claude")).unwrap();
        fs::write(file(&home), settings).unwrap();
        home
    }

    fn file(home: &Home) -> std::path::PathBuf {
        home.path("claude/settings.json")
    }

    fn text(home: &Home) -> String {
        fs::read_to_string(file(home)).unwrap()
    }

    fn status_line(home: &Home) -> Value {
        serde_json::from_str::<Value>(&text(home)).unwrap()["statusLine"].clone()
    }

    fn ours() -> Value {
        registration::status_line(Path::new(program_path("fusebox")).parent().unwrap())
    }

    #[track_caller]
    fn fusebox(home: &Home, arguments: &[&str]) -> Ran {
        let ran = home.fusebox(arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        ran
    }

    #[test]
    fn it_is_set_where_there_is_none_and_taken_back() {
        let home = with("{\n  \"a\": 1\n}\n");
        let said = fusebox(&home, &["init"]).stdout;
        assert!(said.contains("  status-line    the line below the prompt\n"), "{said}");
        assert_eq!(status_line(&home), ours());
        assert!(fusebox(&home, &["init"]).stdout.contains("Already registered"));
        let doctor = home.fusebox(&["doctor"]).stdout;
        assert!(doctor.contains("Fusebox's status line is set (user settings)"), "{doctor}");
        fusebox(&home, &["uninstall"]);
        assert_eq!(text(&home), "{\n  \"a\": 1\n}\n");
    }

    #[test]
    fn anothers_stays_until_asked_and_comes_back() {
        let home = with(THEIRS);
        let said = fusebox(&home, &["init"]).stdout;
        assert!(said.contains("Your own status line stays") && said.contains("--status-line"), "{said}");
        assert_eq!(status_line(&home)["command"], "theirs.sh");
        let doctor = home.fusebox(&["doctor"]).stdout;
        assert!(doctor.contains("another status line is set (user settings)"), "{doctor}");
        let json = fusebox(&home, &["init", "--json"]).json();
        assert_eq!((&json["status_line"], &json["changed"]), (&json!("kept"), &json!(false)));
        fusebox(&home, &["init", "--status-line"]);
        assert_eq!(status_line(&home), ours());
        fusebox(&home, &["init"]);
        assert_eq!(status_line(&home), ours(), "it stays Fusebox's");
        fusebox(&home, &["uninstall"]);
        assert_eq!(text(&home), THEIRS, "to the byte");
    }

    #[test]
    fn the_former_one_comes_back_beside_later_changes() {
        let home = with(THEIRS);
        fusebox(&home, &["init", "--status-line"]);
        let changed = text(&home).replace("\"a\": 1", "\"a\": 2");
        fs::write(file(&home), changed).unwrap();
        fusebox(&home, &["uninstall"]);
        let left: Value = serde_json::from_str(&text(&home)).unwrap();
        assert_eq!(left, json!({"statusLine": {"type": "command", "command": "theirs.sh"}, "a": 2}));
        // One that a person set since is not touched.
        fusebox(&home, &["init", "--status-line"]);
        let mut all: Value = serde_json::from_str(&text(&home)).unwrap();
        all["statusLine"] = json!({"type": "command", "command": "new.sh"});
        fs::write(file(&home), all.to_string()).unwrap();
        fusebox(&home, &["uninstall"]);
        assert_eq!(status_line(&home)["command"], "new.sh");
    }

    #[test]
    fn a_project_gets_it_only_on_request() {
        let home = Home::new();
        let project = home.path("project/.claude/settings.json");
        let read = || serde_json::from_str::<Value>(&fs::read_to_string(&project).unwrap()).unwrap();
        fusebox(&home, &["init", "--project"]);
        assert_eq!(read().get("statusLine"), None);
        fusebox(&home, &["init", "--project", "--status-line"]);
        assert_eq!(read()["statusLine"], ours());
        let other = Home::new();
        fusebox(&other, &["init", "--no-status-line"]);
        assert_eq!(status_line(&other), Value::Null);
        assert_eq!(other.fusebox(&["init", "--no-status-line", "--status-line"]).code, 2);
    }

    #[test]
    fn another_program_of_that_name_is_not_ours() {
        let home = with("{}");
        let theirs = home.path("bin/status-line");
        fs::create_dir_all(theirs.parent().unwrap()).unwrap();
        fs::write(&theirs, "#!/bin/sh\necho mine\n").unwrap();
        fs::write(file(&home), json!({"statusLine": {"type": "command", "command": theirs}}).to_string())
            .unwrap();
        fusebox(&home, &["init"]);
        fusebox(&home, &["uninstall"]);
        assert_eq!(status_line(&home)["command"], theirs.to_str().unwrap());
    }
}

mod live {
    use fusebox::domain::plan::{PlanReading, PlanWindow};
    use fusebox::platform::Env;
    use fusebox::store::plan_file::Plan;
    use serde_json::json;

    use crate::guarded::{guarded, status};
    use crate::rig::{Api, Client, Script, Turn, Usage, Version, client_tests};

    /// The screen, and the session's cost by both counts.
    fn screen_of(version: Version, size: (u32, u32), line: &str) -> String {
        let script = Script::new().main(Turn::text("first answer").usage(Usage::new(500, 100)));
        let api = Api::start(script);
        let client = guarded(version, &api, 1_000);
        let command = Client::hooks().join("status-line");
        let setting = json!({"type": "command", "command": command, "padding": 0});
        let client = client.user_settings(&json!({"statusLine": setting}));
        // Invented: the client tells its limits only with a subscription.
        let now = Env::from_process().now;
        let reading = |used, hours: i64| {
            let resets_at = now.plus_millis(hours * 3_600_000 + 59_000);
            PlanReading { used, resets_at, at: now }
        };
        let readings = [(PlanWindow::FiveHours, reading(4_200, 2)), (PlanWindow::Week, reading(3_100, 80))];
        Plan::default().note(&client.root().join("state"), &readings).unwrap();
        let terminal = client.terminal_of(size);
        terminal.wait("Sonnet 4.5");
        terminal.enter("work");
        terminal.wait("first answer");
        terminal.wait(line);
        let cache = std::fs::read_dir(client.root().join("cache")).unwrap();
        let mut names = cache.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        let cost = names.find(|name| name.ends_with(".cost")).expect("the client's cost");
        let id = cost.trim_start_matches("guardrails-").trim_end_matches(".cost");
        let told = || status(&client, id)["cost"].clone();
        terminal.wait_for("the same cost", || told()["client_usd"] == told()["usd"]);
        terminal.screen()
    }

    fn the_client_shows_the_line_below_its_prompt(version: Version) {
        // The count in it may be one response old: the hook at the end of a turn can come before the response's line.
        let screen = screen_of(version, (160, 50), " · $0.0030 · 5h 42%, resets in ");
        assert!(screen.contains("Sonnet 4.5 · ") && screen.contains(" · session "), "{screen}");
    }

    fn the_line_fits_a_small_terminal(version: Version) {
        for columns in [120, 80] {
            let screen = screen_of(version, (columns, 30), " · $0.0030 · 5h 42%");
            let line = screen.lines().find(|line| line.contains("5h 42%")).unwrap();
            assert!(line.contains("week 31%") && !line.contains('…'), "{columns}: {line}");
        }
    }

    client_tests!(live: the_client_shows_the_line_below_its_prompt, the_line_fits_a_small_terminal,);
}
