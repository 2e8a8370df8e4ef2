//! From installation to removal as in the README, with real clients.

use serde_json::Value;

use crate::guarded::{journal, step};
use crate::rig::{Api, Client, Script, Version, client_tests};

/// Runs `fusebox` like a person in a terminal.
fn fusebox(client: &Client, arguments: &[&str]) -> (i32, String) {
    let output = client.command(env!("CARGO_BIN_EXE_fusebox")).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

#[track_caller]
fn done(client: &Client, arguments: &[&str]) -> String {
    let (code, text) = fusebox(client, arguments);
    assert_eq!(code, 0, "fusebox {arguments:?}: {text}");
    text
}

fn installed_guarded_extended_and_removed(version: Version) {
    let api = Api::start(Script::new().main(step(0)).loop_last_main());
    let client = Client::new(version, &api);
    let (state, cache) = (client.root().join("state"), client.root().join("cache"));
    let client = client
        .env("FUSEBOX_STATE_DIR", &state.to_string_lossy())
        .env("FUSEBOX_CACHE_DIR", &cache.to_string_lossy())
        .env("FUSEBOX_BUDGET_SESSION_LIMIT", "1000")
        // The deadlines that people's hooks have.
        .env("FUSEBOX_TEST_PATIENCE", "1");
    let program = client.program().to_string_lossy().into_owned();
    let settings = client.user_settings_file();
    std::fs::write(&settings, "{\n  \"cleanupPeriodDays\": 30\n}\n").unwrap();

    assert_eq!(fusebox(&client, &["doctor"]).0, 1, "nothing is registered");
    assert!(done(&client, &["init", "--client", &program]).contains(version.name()));
    let report: Value =
        serde_json::from_str(&done(&client, &["doctor", "--json", "--client", &program])).unwrap();
    let odd = |f: &&Value| f["severity"] != "ok";
    assert_eq!(report["findings"].as_array().unwrap().iter().find(odd), None, "{report:#}");

    let run = client.prompt("loop").run();
    assert_eq!(run.result["terminal_reason"], "hook_stopped");
    let session = run.session.clone();
    let stopped_at = api.count("main");
    assert_eq!(fusebox(&client, &["status", "--session", &session, "--check"]).0, 3);
    done(
        &client,
        &["budget", "extend", "session", "--session", &session, "--tokens", "2k", "--reason", "more"],
    );
    client.prompt("go on").resume(&session).run();
    assert!(api.count("main") > stopped_at, "it goes on");
    assert!(done(&client, &["doctor", "--client", &program]).contains("The hooks work."));

    done(&client, &["uninstall", "--purge", "--yes"]);
    // (The client has written its own settings to the file meanwhile.)
    let left: Value = serde_json::from_slice(&std::fs::read(&settings).unwrap()).unwrap();
    assert_eq!((&left["hooks"], &left["cleanupPeriodDays"]), (&Value::Null, &Value::from(30)));
    assert!(!state.exists() && !cache.exists());
    let asked = api.count("main");
    let free = client.prompt("go on").resume(&session).start();
    let goes_on = api.wait_until(std::time::Duration::from_secs(60), |calls| {
        calls.iter().filter(|call| call.kind == "main").count() > asked + 5
    });
    drop(free);
    assert!(goes_on, "nobody holds it any more");
    assert!(!state.exists() && !cache.exists(), "no hook ran: {}", journal(&client));
}

client_tests!(live: installed_guarded_extended_and_removed);
