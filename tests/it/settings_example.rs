//! The example file and the hooks registered by `init`, both with a real client.

use std::fs;
use std::path::Path;

use fusebox::agents::claude::registration::status_line;
use fusebox::domain::time::Timestamp;
use fusebox::hook::journal;
use fusebox::store::Query;
use fusebox::store::cache_file::CacheFile;
use fusebox::store::sqlite::SqliteStore;
use serde_json::{Value, json};

use crate::init::registered;
use crate::rig::{Api, Client, Outcome, Script, Turn, Usage, Version, client_tests};

/// The folder of the executables in the example.
const PLACEHOLDER: &str = "/usr/local/bin";

fn bin_dir() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fusebox")).parent().unwrap()
}

fn example() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("settings.example.json")).unwrap()
}

#[test]
fn the_example_is_what_init_writes() {
    let example: Value = serde_json::from_str(&example()).unwrap();
    // As text, because the order matters.
    let placeholder = Path::new(PLACEHOLDER);
    let written = json!({"hooks": registered(placeholder), "statusLine": status_line(placeholder)});
    assert_eq!(example.to_string(), written.to_string());
}

#[test]
fn the_example_names_executables_of_this_package() {
    let manifest: toml::Table = toml::from_str(include_str!("../../Cargo.toml")).unwrap();
    let targets: Vec<_> =
        manifest["bin"].as_array().unwrap().iter().map(|b| b["name"].as_str().unwrap()).collect();
    let example: Value = serde_json::from_str(&example()).unwrap();
    let groups = example["hooks"].as_object().unwrap().values().flat_map(|groups| groups.as_array().unwrap());
    let hooks = groups.flat_map(|group| group["hooks"].as_array().unwrap());
    let entries: Vec<_> = hooks.chain([&example["statusLine"]]).collect();
    assert!(!entries.is_empty());
    for entry in entries {
        let name =
            entry["command"].as_str().unwrap().strip_prefix(PLACEHOLDER).unwrap().trim_start_matches('/');
        assert!(targets.contains(&name), "no target is called {name}");
        assert!(bin_dir().join(name).is_file());
    }
}

/// One tool call and an answer.
fn script() -> Script {
    Script::new()
        .main(Turn::bash("echo hi").usage(Usage::new(1000, 20)))
        .main(Turn::text("Done.").usage(Usage::new(300, 4)))
}

fn client(version: Version, api: &Api) -> Client {
    let client = Client::new(version, api);
    let cache = client.root().join("cache").display().to_string();
    client.env("FUSEBOX_CACHE_DIR", &cache)
}

/// Asserts that every hook worked: before and after the tool call, at the prompt, at start and end.
#[track_caller]
fn assert_guarded(client: &Client, run: &Outcome) {
    let cache = CacheFile::for_session(&client.root().join("cache"), &run.session);
    assert!(cache.read().is_some(), "no session cache: {run:#?}");
    let state = client.state_home().join("fusebox");
    let mut store = SqliteStore::open(&state, Timestamp(0)).unwrap().store;
    let session = store.session(&run.session).unwrap().expect("the session is recorded");
    assert_eq!(session.session.id, run.session);
    let total = store.session_total(&run.session).unwrap().expect("its messages are");
    assert_eq!(total.amount.usage.total(), 1324);
    assert!(journal::read(&state).is_empty(), "{:?}", journal::read(&state));
    let answered = |event: &str| {
        let of_event = |e: &&Value| e["subtype"] == "hook_response" && e["hook_event"] == event;
        run.events.iter().filter(of_event).any(|e| e["exit_code"] == 0)
    };
    for event in ["SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop"] {
        assert!(answered(event), "no answer to {event}: {run:#?}");
    }
}

fn the_client_takes_the_example(version: Version) {
    let api = Api::start(script());
    let settings = example().replace(PLACEHOLDER, bin_dir().to_str().unwrap());
    let client = client(version, &api).settings(&serde_json::from_str(&settings).unwrap());
    let run = client.prompt("go").run().ok();
    assert_guarded(&client, &run);
}

fn the_client_takes_what_init_wrote(version: Version) {
    let api = Api::start(script());
    let client = client(version, &api);
    // Executables in a folder with a name that needs quoting.
    let bin = client.root().join("my $bin 'x'");
    fs::create_dir(&bin).unwrap();
    for name in ["pre-tool-use", "post-tool-use", "prompt-submit", "session-event"] {
        fs::copy(bin_dir().join(name), bin.join(name)).unwrap();
    }
    let init = client.command(env!("CARGO_BIN_EXE_fusebox")).arg("init").arg("--bin-dir").arg(&bin).output();
    assert!(init.unwrap().status.success());
    let run = client.prompt("go").run().ok();
    assert_guarded(&client, &run);
}

fn hooks_of_others_go_on(version: Version) {
    let api = Api::start(script());
    let marks = |name: &str| json!({"type": "command", "command": format!("cat > \"$HOME/{name}\"")});
    let client = client(version, &api).user_settings(&json!({"hooks": {
        "PreToolUse": [{"matcher": "Bash", "hooks": [marks("before.json")]}],
        "Stop": [{"hooks": [marks("stop.json")]}],
    }}));
    let init = client.command(env!("CARGO_BIN_EXE_fusebox")).arg("init").output();
    assert!(init.unwrap().status.success());
    let run = client.prompt("go").run().ok();

    assert_guarded(&client, &run);
    for (name, event) in [("before.json", "PreToolUse"), ("stop.json", "Stop")] {
        let payload: Value = serde_json::from_slice(&fs::read(client.home().join(name)).unwrap()).unwrap();
        assert_eq!(payload["hook_event_name"], event);
    }
}

client_tests!(live: the_client_takes_the_example);
client_tests!(facts: the_client_takes_what_init_wrote, hooks_of_others_go_on);
