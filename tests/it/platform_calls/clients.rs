//! A real client that calls a stand-in for Gemini in its shell.

use std::os::unix::fs::PermissionsExt;

use crate::guarded::{fusebox, guarded, journal};
use crate::rig::{Api, Script, Turn, Version, client_tests};

const CONFIG: &str = r#"
[[platform]]
name = "gemini"
commands = ["gemini"]

[[budget]]
name = "gemini-daily"
scope = "platform"
match = "gemini"
unit = "requests"
limit = 1500
window = "day"
"#;

/// A command that leaves a line for each time that it ran.
const GEMINI: &str = "./gemini -p 'summarize @N@'";

fn denied_at_the_1501st_request_and_allowed_after_midnight(version: Version) {
    let script = Script::new()
        .main(Turn::bash(GEMINI))
        .main(Turn::bash(GEMINI))
        .main(Turn::bash("echo other work"))
        .main(Turn::text("no requests left"))
        .main(Turn::bash(GEMINI))
        .main(Turn::text("done"));
    let api = Api::start(script);
    let client = guarded(version, &api, 100_000_000);
    let gemini = client.project().join("gemini");
    std::fs::write(&gemini, "#!/bin/sh\necho \"$2\" >> answered.txt\necho an answer\n").unwrap();
    std::fs::set_permissions(&gemini, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = client.root().join("fusebox.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let client = client.env("FUSEBOX_CONFIG", &config.to_string_lossy());
    // Noon, UTC.
    let now = fusebox::platform::clock().0;
    let noon = 43_200_000 - now.rem_euclid(86_400_000);
    client.move_clock(noon);
    let answered =
        || std::fs::read_to_string(client.project().join("answered.txt")).unwrap_or_default().lines().count();

    let (code, text) = fusebox(&client, &["quota", "record", "--platform", "gemini", "--amount", "1499"]);
    assert_eq!(code, 0, "{text}");
    let run = client.prompt("ask gemini twice").run().ok();
    assert_eq!(run.text(), "no requests left");
    assert_eq!(answered(), 1, "the 1,500th request ran, the 1,501st did not");
    assert!(api.was_told("1,500 / 1,500 requests (100.00%)"), "the agent knows why");
    assert!(api.was_told("other work"), "other calls run");

    client.move_clock(noon + 43_200_000);
    let run = client.prompt("ask again").resume(&run.session).run().ok();
    assert_eq!((run.text(), answered()), ("done", 2));
    let (code, text) = fusebox(&client, &["quota", "status", "--platform", "gemini", "--json"]);
    assert!(code == 0 && text.contains("\"used\": 1") | text.contains("\"used\":1"), "{text}");
    assert_eq!(journal(&client), "");
}

client_tests!(live: denied_at_the_1501st_request_and_allowed_after_midnight);
