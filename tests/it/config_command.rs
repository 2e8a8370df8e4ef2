//! `fusebox config` from outside: starter files, checks, and the configuration in force as a file.

use serde_json::{Value, json};

use crate::faults::namespace::with_mounts;
use crate::harness::{Home, Ran};
use crate::rig::this_test;

const USER: &str = "config/fusebox/config.toml";
const PROJECT: &str = "project/.claude/fusebox.toml";

/// A configuration with many values, none of them a default.
const RICH: &str = r#"
enabled = true
prompt_line = "past_threshold"
[alerts]
command = ["sh", "-c", "echo \"it's\" > /dev/null"]
[task_type]
migration = 900_000
[[budget]]
name = "session"
enabled = false
[[budget]]
name = "per-day.x"
scope = "user"
match = "a*"
unit = "requests"
limit = 500
hard_limit = 700
window = "day"
timezone = "Europe/Berlin"
thresholds = [0.25, 1.0]
on_limit = "stop"
wrap_up = 3
store_down = "deny"
mode = "shadow"
[[budget]]
name = "gemini-day"
scope = "platform"
match = "gemini"
unit = "requests"
limit = 1_500
window = "day"
[[budget]]
name = "each"
scope = "team"
per = "user"
limit = 7
window = "90m"
[[rate]]
name = "burst"
limit = 200_000
minutes = 10
on_limit = "stop"
[[platform]]
name = "gemini"
commands = ["gemini", "codex exec*"]
tools = ["mcp__gemini__*"]
ttl = 60
on_excess = "refuse"
[[platform]]
name = "scripts"
[store]
team = "core"
"#;

fn values(home: &Home) -> Vec<(String, Value)> {
    let ran = home.fusebox(&["config", "show", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let value = |v: &Value| (v["key"].as_str().unwrap().to_owned(), v["value"].clone());
    ran.json()["values"].as_array().unwrap().iter().map(value).collect()
}

fn shown(home: &Home) -> String {
    let ran = home.fusebox(&["config", "show"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.stdout
}

fn read(home: &Home, file: &str) -> String {
    std::fs::read_to_string(home.path(file)).unwrap()
}

/// Without settings that have no default, and those that need one of them.
fn with_defaults(text: &str) -> String {
    let needed = ["#max_concurrency", "#max_depth", "#max_total"];
    let is_default =
        |line: &&str| !line.contains("default: none") && !needed.iter().any(|key| line.starts_with(key));
    text.lines().filter(is_default).map(|line| line.to_owned() + "\n").collect()
}

/// Uncomments the settings of a starter file, and of its examples, as a person would.
fn switched_on(text: &str) -> String {
    let setting =
        |line: &str| line.starts_with("[[") || line.split_once(" = ").is_some_and(|(key, _)| is_key(key));
    let on = |line: &str| match (line.strip_prefix('#'), line.strip_prefix("# ")) {
        (_, Some(example)) if setting(example) => example.to_owned(),
        (Some(default), None) if !default.is_empty() => default.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(|line| on(line) + "\n").collect()
}

fn is_key(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

#[test]
fn what_is_in_force_can_be_used_as_a_file() {
    for var in [None, Some("planning")] {
        let home = Home::new();
        let home = var.iter().fold(home, |home, name| home.var("FUSEBOX_TASK_TYPE", name));
        home.configure(RICH);
        std::fs::create_dir_all(home.path("project/.claude")).unwrap();
        std::fs::write(home.path(PROJECT), "[[budget]]\nname = \"per-day.x\"\nlimit = 400\n").unwrap();
        let before = values(&home);
        let toml = shown(&home);
        assert!(toml.contains("limit = 400") && toml.contains("# ~/project/.claude/fusebox.toml"), "{toml}");
        assert!(
            toml.contains("window = \"day\"") && toml.contains("# ~/config/fusebox/config.toml"),
            "{toml}"
        );
        for line in [
            "[[rate]]",
            "[[platform]]",
            "commands = [\"gemini\", \"codex exec*\"]",
            "minutes = 10",
            "per = \"user\"",
        ] {
            assert!(toml.contains(line), "{line}: {toml}");
        }
        assert!(toml.contains("wrap_up = 3") && toml.contains("# default"), "{toml}");
        std::fs::remove_file(home.path(PROJECT)).unwrap();
        home.configure(&toml);
        assert_eq!(values(&home), before, "{toml}");
    }
}

#[test]
fn the_limit_of_a_task_type_stays_with_the_type() {
    let home = Home::new().var("FUSEBOX_TASK_TYPE", "planning");
    let toml = shown(&home);
    assert!(toml.starts_with("# The declared task type is \"planning\" (FUSEBOX_TASK_TYPE)."), "{toml}");
    let other = Home::new().var("FUSEBOX_TASK_TYPE", "docs");
    other.configure(&toml);
    let limit = values(&other).into_iter().find(|(key, _)| key == "budget.task.limit").unwrap().1;
    assert_eq!(limit, 40_000, "{toml}");
}

#[test]
fn a_time_zone_is_one_that_the_system_knows() {
    let check = |zone: &str| {
        let home = Home::new();
        home.configure(&format!(
            "[[budget]]\nname = \"d\"\nlimit = 5\nwindow = \"day\"\ntimezone = \"{zone}\"\n"
        ));
        // An agent could set it to move the windows of its budgets.
        let folder = home.path("config").to_string_lossy().into_owned();
        let home = home.var("TZDIR", &folder);
        let ran = home.fusebox(&["config", "check"]);
        (ran.code, ran.stdout + &ran.stderr)
    };
    assert_eq!(check("Europe/Berlin").0, 0);
    for zone in
        ["Mars/Base", "../zoneinfo/UTC", "/usr/share/zoneinfo/UTC", "", "localtime", "fusebox/config.toml"]
    {
        let (code, text) = check(zone);
        assert_eq!(code, 2, "{zone}: {text}");
        let refused = format!(
            "budget.d.timezone: must be an IANA time zone such as UTC or Europe/Berlin (found \"{zone}\")"
        );
        assert!(text.contains(&refused), "{text}");
    }
}

#[test]
fn without_time_zone_files_there_is_utc() {
    with_mounts(this_test!(), || {
        for folder in ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/zoneinfo", "/etc/zoneinfo"]
        {
            if std::path::Path::new(folder).exists() {
                let mount =
                    std::process::Command::new("mount").args(["-t", "tmpfs", "none", folder]).status();
                assert!(mount.unwrap().success(), "{folder}");
            }
        }
        let home = Home::new();
        home.configure("[[budget]]\nname = \"d\"\nlimit = 5\nwindow = \"day\"\ntimezone = \"UTC\"\n");
        assert_eq!(home.fusebox(&["config", "check"]).code, 0);
        home.configure(
            "[[budget]]\nname = \"d\"\nlimit = 5\nwindow = \"day\"\ntimezone = \"Europe/Berlin\"\n",
        );
        let ran = home.fusebox(&["config", "check"]);
        let text = ran.stdout + &ran.stderr;
        assert!(
            ran.code == 2 && text.contains("this machine has no time zone files: install tzdata"),
            "{text}"
        );
    });
}

#[test]
fn what_is_wrong_with_tables_of_quotas_is_said() {
    let home = Home::new();
    home.configure(
        "[[platform]]\nname = \"gemini\"\ncommands = [\"/bin/gemini\"]\nttl = 0\n[[rate]]\nname = \"session\"\nlimit = 5\n\
         minutes = 5\n[[budget]]\nname = \"g\"\nlimit = 5\nscope = \"platform\"\nunit = \"tool_calls\"\n",
    );
    let ran = home.fusebox(&["config", "check"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    for said in [
        "config.toml:3: platform.gemini.commands: must be a list of at most 64 commands",
        "config.toml:4: platform.gemini.ttl: must be a whole number from 1 to 604800 (found 0)",
        "config.toml:6: rate.name: must not be the name of a budget (found \"session\")",
        "config.toml:13: budget.g.unit: must be requests, tokens or usd with scope = \"platform\"",
    ] {
        assert!((ran.stdout.clone() + &ran.stderr).contains(said), "{said}: {ran:?}");
    }
    home.configure("[[platform]]\nname = \"gemini\"\n");
    std::fs::create_dir_all(home.path("project/.claude")).unwrap();
    std::fs::write(
        home.path(PROJECT),
        "[[platform]]\nname = \"gemini\"\ntools = []\n[[platform]]\nname = \"own\"\n",
    )
    .unwrap();
    let json = home.fusebox(&["config", "check", "--json"]).json();
    assert_eq!(
        (&json["usable"], &json["problems"][0]["key"]),
        (&json!(true), &json!("platform.gemini.tools"))
    );
    assert!(
        json["values"]
            .as_array()
            .unwrap()
            .iter()
            .any(|v| v["key"] == "platform.own.ttl" && v["value"] == 3600)
    );
}

#[test]
fn a_budget_that_was_taken_away_stays_away() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"session\"\nenabled = false\n[[budget]]\nname = \"x\"\nenabled = false\nlimit = 5\n");
    let toml = shown(&home);
    assert!(toml.contains("# budget x is removed"), "{toml}");
    home.configure(&toml);
    let off = |key: &str, value: &Value| key == "budget.session.enabled" && *value == json!(false);
    assert!(values(&home).iter().any(|(key, value)| off(key, value)), "{toml}");
}

#[test]
fn a_file_to_begin_with_says_the_defaults() {
    let bare = values(&Home::new());
    let home = Home::new();
    let ran = home.fusebox(&["config", "init"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stdout.contains(home.path(USER).to_str().unwrap()), "{ran:?}");
    assert_eq!(home.fusebox(&["config", "check"]).code, 0);
    let written = values(&home);
    let is_daily = |(key, _): &(String, Value)| key.starts_with("budget.daily.");
    let rest: Vec<(String, Value)> = written.iter().filter(|value| !is_daily(value)).cloned().collect();
    assert_eq!(rest, bare, "as written it adds a daily budget, and changes nothing else");
    for (key, value) in [("limit", json!(20)), ("unit", json!("usd")), ("on_limit", json!("warn"))] {
        assert!(written.contains(&(format!("budget.daily.{key}"), value)), "{key}");
    }

    let text = read(&home, USER);
    assert_eq!(home.fusebox(&["config", "init", "--dry-run"]).stdout, text);
    home.configure(&switched_on(&text));
    let examples = values(&home);
    for (key, value) in [("budget.session.hard_limit", json!(2_000_000)), ("throttle.max_depth", json!(5))] {
        assert!(examples.contains(&(key.to_owned(), value)), "{key}");
    }
    let text = with_defaults(&text);
    home.configure(&switched_on(&text));
    let on = values(&home);
    let new: Vec<&(String, Value)> = on.iter().filter(|value| !bare.contains(value)).collect();
    let is_example = |key: &str| {
        ["budget.daily.", "rate.burst.", "platform.gemini.", "budget.gemini-day."]
            .iter()
            .any(|of| key.starts_with(of))
    };
    assert!(new.iter().all(|(key, _)| is_example(key)) && !new.is_empty(), "{new:?}");
    for (key, value) in
        [("budget.gemini-day.limit", json!(1_500)), ("platform.gemini.commands", json!(["gemini"]))]
    {
        assert!(on.contains(&(key.to_owned(), value)), "{key}");
    }
    for (key, value) in bare.iter().filter(|(key, value)| !key.starts_with("store.") && !value.is_null()) {
        assert!(on.contains(&(key.clone(), value.clone())), "{key}");
        let named = key.rsplit('.').next().unwrap();
        assert!(switched_on(&text).lines().any(|l| l.starts_with(named)), "{key} is left out");
    }
}

#[test]
fn a_projects_file_to_begin_with_says_what_a_project_may() {
    let home = Home::new();
    let bare = values(&home);
    let ran = home.fusebox(&["config", "init", "--project", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json(), json!({"path": home.path(PROJECT), "backup": null}));
    assert_eq!(values(&home), bare);
    let on = switched_on(&with_defaults(&read(&home, PROJECT)));
    std::fs::write(home.path(PROJECT), &on).unwrap();
    let ran = home.fusebox(&["config", "check"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{on}");
    let added = values(&home).into_iter().filter(|v| !bare.contains(v));
    assert!(added.into_iter().all(|(key, _)| key.starts_with("budget.project-week.")));
}

#[test]
fn nothing_is_overwritten() {
    let home = Home::new();
    home.configure("enabled = false\n");
    let refused = |ran: Ran, says: &str| {
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(ran.stderr.contains(says), "{ran:?}");
    };
    refused(home.fusebox(&["config", "init"]), "already exists");
    assert_eq!(read(&home, USER), "enabled = false\n");
    for n in 1..=2 {
        let forced = home.fusebox(&["config", "init", "--force", "--json"]);
        let backup = forced.json()["backup"].as_str().unwrap().to_owned();
        let kept = std::fs::read_to_string(backup).unwrap();
        assert_eq!(kept == "enabled = false\n", n == 1, "{kept}");
    }
    let files = home.path("config/fusebox").read_dir().unwrap().count();
    assert_eq!(files, 3, "the file, and two that it replaced");

    let home = Home::new().var("CLAUDECODE", "1");
    refused(home.fusebox(&["config", "init"]), "does not run inside an agent's shell");
    assert!(!home.path(USER).exists());
    assert_eq!(home.fusebox(&["config", "init", "--dry-run"]).code, 0, "an agent may look");
}

#[test]
fn a_link_is_followed_and_the_file_that_a_variable_names_is_meant() {
    let home = Home::new();
    std::fs::create_dir_all(home.path("config/fusebox")).unwrap();
    std::fs::write(home.path("dotfile"), "enabled = false\n").unwrap();
    std::os::unix::fs::symlink(home.path("dotfile"), home.path(USER)).unwrap();
    assert_eq!(home.fusebox(&["config", "init", "--force"]).code, 0);
    assert!(home.path(USER).is_symlink());
    assert!(read(&home, "dotfile").contains("[[budget]]"));

    let named = home.path("elsewhere/own.toml");
    let home = home.var("FUSEBOX_CONFIG", named.to_str().unwrap());
    assert_eq!(home.fusebox(&["config", "init"]).code, 0);
    assert!(named.is_file());
}

#[test]
fn the_verdict_says_what_is_wrong_and_which_files_are_read() {
    let home = Home::new();
    let ran = home.fusebox(&["config", "check"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stdout.starts_with("The configuration is valid.\n"), "{ran:?}");
    let place = |what: &str| ran.stdout.lines().find(|line| line.starts_with(what)).unwrap();
    assert!(place("user file").contains("~/config/fusebox/config.toml"), "{ran:?}");
    assert!(place("project file").ends_with("not there (optional)"), "{ran:?}");
    assert!(place("state folder").ends_with("not created yet"), "{ran:?}");

    home.configure("[[budget]]\nname = \"session\"\nlimit = -5\n");
    let ran = home.fusebox(&["config", "check"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stdout.starts_with("The configuration cannot be used.\n"), "{ran:?}");
    // The reason follows, on the same stream; then the places.
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[1].contains("config.toml:3: budget.session.limit: must be"), "{ran:?}");
    assert!(lines[2].starts_with("Until this is fixed, ") && lines[4].starts_with("WHAT"), "{ran:?}");
    assert_eq!(ran.stderr, "");
    let show = home.fusebox(&["config", "show"]);
    assert_eq!((show.code, show.stderr.lines().collect::<Vec<_>>()), (2, lines[1..3].to_vec()), "{show:?}");

    let checked = home.fusebox(&["config", "check", "--json"]).json();
    assert_eq!((&checked["usable"], checked["problems"].as_array().unwrap().len()), (&json!(false), 1));
    assert!(checked["values"].as_array().unwrap().len() > 10);
    let place = |what: &str| {
        let places = checked["places"].as_array().unwrap();
        places.iter().find(|place| place["what"] == what).unwrap().clone()
    };
    assert_eq!(place("user_file")["path"], json!(home.path(USER)));
    assert_eq!(place("user_file")["exists"], true);
    assert_eq!(place("project_file")["exists"], false);
    assert_eq!(place("managed_file")["path"], "/etc/fusebox/config.toml");
    assert_eq!(place("state_folder")["path"], json!(home.path("state")));
    assert_eq!(place("cache_folder")["path"], json!(home.path("cache")));

    home.configure("");
    std::fs::create_dir_all(home.path("project/.claude")).unwrap();
    std::fs::write(home.path(PROJECT), "enabled = false\n").unwrap();
    let ran = home.fusebox(&["config", "check"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stdout.contains("settings that the project may not change were ignored"), "{ran:?}");
}

/// An old key is no error: it is noted where the configuration is checked or shown, and nowhere else.
#[test]
fn an_old_name_is_noted_and_works() {
    let home = Home::new();
    home.configure("[brief]\nshow = \"never\"\n");
    let ran = home.fusebox(&["config", "check"]);
    assert!(ran.code == 0 && ran.stdout.starts_with("The configuration is valid.\n"), "{ran:?}");
    let note = ran.stdout.lines().nth(1).unwrap();
    assert!(note.starts_with("note: "), "{ran:?}");
    assert!(note.contains("config.toml:2: brief.show: is now prompt_line"), "{ran:?}");
    let checked = home.fusebox(&["config", "check", "--json"]).json();
    assert_eq!(checked["notes"][0]["key"], "brief.show");
    assert_eq!((&checked["usable"], &checked["warnings"]), (&json!(true), &json!([])));

    let prompt = home.hook("UserPromptSubmit", "s", json!({"prompt": "go"}));
    assert_eq!((prompt.stdout.as_str(), prompt.stderr.as_str()), ("", ""), "{prompt:?}");
    home.configure("prompt_line = \"always\"\n");
    let prompt = home.hook("UserPromptSubmit", "s", json!({"prompt": "go"}));
    assert!(prompt.stdout.contains("Session budget: "), "{prompt:?}");
    assert!(!home.fusebox(&["config", "check"]).stdout.contains("note: "));
}

/// A warning about a useless password file comes before the store refuses a login.
#[test]
fn a_password_file_that_cannot_be_used_is_warned_about() {
    let url = "redis_url = \"unix:///nowhere\"\n";
    let cases = [
        (
            url,
            "password",
            "should be an absolute path: hooks run in the project's folder and would not find password",
        ),
        (
            url,
            "~/password",
            "should be an absolute path: hooks run in the project's folder and would not find ~/password",
        ),
        ("", "/no/such/file", "has no effect without store.redis_url"),
    ];
    for (url, file, said) in cases {
        let home = Home::new();
        home.configure(&format!("[store]\n{url}redis_password_file = \"{file}\"\n"));
        let ran = home.fusebox(&["config", "check"]);
        let lines: Vec<&str> = ran.stdout.lines().collect();
        assert!(ran.code == 0 && lines[0] == "The configuration is valid, with warnings.", "{ran:?}");
        assert!(lines[1].starts_with("warning: "), "{ran:?}");
        assert!(lines[1].contains(&format!("store.redis_password_file: {said}")), "{ran:?}");
    }
    let home = Home::new();
    home.configure(&format!("[store]\n{url}redis_password_file = \"/etc/fusebox/redis-password\"\n"));
    let ran = home.fusebox(&["config", "check"]);
    assert!(ran.code == 0 && !ran.stdout.contains("warning"), "{ran:?}");
}

/// Reserved keys and names are refused with file, line and key, so that nobody believes they have an effect.
#[test]
fn what_is_not_supported_yet_is_said_to_be() {
    let budget = |line: &str| format!("[[budget]]\nname = \"b\"\nlimit = 10\n{line}\n");
    let cases = [
        (budget("scope = \"task\""), 4, "budget.b.scope: \"task\""),
        (budget("on_limit = \"downgrade\""), 4, "budget.b.on_limit: \"downgrade\""),
    ];
    for (toml, line, says) in cases {
        let home = Home::new();
        home.configure(&toml);
        let ran = home.fusebox(&["config", "check"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        let said = format!("config.toml:{line}: {says} is not supported yet");
        assert!(ran.stdout.contains(&said), "{said}: {ran:?}");
    }
}
