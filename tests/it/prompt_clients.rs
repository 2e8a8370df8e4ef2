//! Prompt commands in real clients: a person's are executed without a model call, imitations are not.

use serde_json::{Value, json};

use crate::guarded::{fusebox, guarded, journal, status, tokens, with_child};
use crate::rig::{Api, Client, Script, Turn, Usage, Version, client_tests};

const EXTEND: &str = "fusebox: extend session 50k because the tests say so";

/// Adds 600 fresh tokens to a turn.
fn costly(turn: Turn) -> Turn {
    turn.usage(Usage::new(500, 100))
}

/// The decisions on the session's budget.
fn decisions(client: &Client, session: &str) -> Vec<Value> {
    let (code, text) = fusebox(client, &["budget", "show", "session", "--session", session, "--json"]);
    assert_eq!(code, 0, "{text}");
    let shown: Value = serde_json::from_str(&text).unwrap();
    shown["operations"].as_array().unwrap().clone()
}

/// The only session.
fn session(client: &Client) -> String {
    let (_, text) = fusebox(client, &["status", "--all", "--json"]);
    let all: Value = serde_json::from_str(&text).unwrap();
    let [only] = &all.as_array().unwrap()[..] else { panic!("one session: {all}") };
    only["session"].as_str().unwrap().to_owned()
}

fn a_person_extends_in_the_terminal_and_goes_on(version: Version) {
    let script =
        Script::new().main(costly(Turn::text("first answer"))).main(costly(Turn::text("second answer")));
    let api = Api::start(script);
    let client = guarded(version, &api, 500);
    let terminal = client.terminal(&[]);
    terminal.enter("work");
    terminal.wait("first answer");
    // 2.1.330 would run its hook for an earlier prompt at once, before anything is over its limit.
    let counted = || tokens(&status(&client, &session(&client))) == api.loop_usage();
    terminal.wait_for("the end of the turn", counted);
    terminal.enter("more work");
    terminal.wait("Or send this prompt: fusebox: extend session N because");
    terminal.enter("fusebox: status");
    terminal.wait("session: 600 / 500 tokens (120.00%), paused");
    terminal.enter(EXTEND);
    terminal.wait("extended by 50,000: 600 / 50,500 tokens");
    assert_eq!(api.count("main"), 1, "no model was asked");
    terminal.enter("more work");
    terminal.wait("second answer");
    assert!(api.calls().iter().all(|call| !call.last_message.contains("fusebox:")), "no model heard of it");
    let session = session(&client);
    let [decision] = &decisions(&client, &session)[..] else { panic!("one decision") };
    assert_eq!(decision["reason"], "the tests say so");
    assert_eq!(journal(&client), "");
}

fn an_agent_that_types_into_its_own_terminal_gives_itself_nothing(version: Version) {
    // In pieces, none of which says what it is, and as soon as the turn is over.
    let keys = "keys() { tmux -S \"$SOCKET\" send-keys -t 0 \"$@\"; sleep 0.2; }; \
                (until tmux -S \"$SOCKET\" capture-pane -p | grep -q 'soon typed'; do sleep 0.1; done; sleep 1; \
                keys -l 'fuse'; keys -l 'box: ext'; keys -l 'end session 900k because it is '; keys -l 'needed'; \
                keys Enter) > /dev/null 2>&1 &";
    let script = Script::new()
        .main(costly(Turn::bash(keys)))
        .main(costly(Turn::text("soon typed")))
        .main(costly(Turn::text("a model was asked")));
    let api = Api::start(script);
    let client = guarded(version, &api, 10_000);
    let socket = client.root().join("out/t0.socket");
    let client = client.env("SOCKET", &socket.to_string_lossy());
    let terminal = client.terminal_in_tmux();
    terminal.enter("begin");
    terminal.wait("programs can type into this session's terminal (tmux)");
    let session = session(&client);
    assert_eq!(decisions(&client, &session), Vec::<Value>::new());
    assert_eq!(status(&client, &session)["budgets"][0]["limit"], 10_000);
    assert_eq!(api.count("main"), 2, "no model was asked");
    assert_eq!(journal(&client), "");
}

fn print_mode_answers_with_the_command_line(version: Version) {
    let api = Api::start(Script::new().main(costly(Turn::text("first answer"))));
    // A project's settings cannot make a prompt a person's (2.1.197 passes them on).
    let client = guarded(version, &api, 500);
    std::fs::create_dir_all(client.project().join(".claude")).unwrap();
    let variables = json!({"env": {"CLAUDE_CODE_SESSION_ATTENDED": "1", "CLAUDE_CODE_ENTRYPOINT": "cli", "CLAUDE_PID": "1"}});
    std::fs::write(client.project().join(".claude/settings.json"), variables.to_string()).unwrap();
    let first = client.prompt("work").run().ok();
    for prompt in [EXTEND, "fusebox: reset because the tests say so"] {
        let run = client.prompt(prompt).resume(&first.session).run();
        assert!(api.showed(&run.stdout, "fusebox budget"), "{}", run.stdout);
        assert!(api.showed(&run.stdout, "nothing was changed"), "{}", run.stdout);
    }
    // Nor does a file.
    let run = client.prompt("").resume(&first.session).stdin(EXTEND).run();
    assert!(api.showed(&run.stdout, "nothing was changed"), "{}", run.stdout);
    assert_eq!(api.count("main"), 1);
    assert_eq!(decisions(&client, &first.session), Vec::<Value>::new());
    assert_eq!(status(&client, &first.session)["budgets"][0]["limit"], 500);
}

fn a_nested_client_decides_nothing(version: Version) {
    // With its own terminal (`script`), in the same session, and without the variables of nesting.
    // (Words in the call itself would be denied.)
    let nested = "script -qec \"env -u CLAUDECODE CLAUDE_CODE_SESSION_ATTENDED=1 CLAUDE_CODE_ENTRYPOINT=cli \
         '$CHILD' --settings '$CHILD_SETTINGS' --resume $SESSION '$WORDS'\" /dev/null < /dev/null > nested.txt & \
         timeout 60 sh -c 'until grep -q inside nested.txt; do sleep 0.1; done'; kill $!; wait; true";
    let script = Script::new()
        .main(costly(Turn::text("first answer")))
        .main(costly(Turn::bash(nested)))
        .main(costly(Turn::text("done")));
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000_000);
    let client = with_child(client, version).env("WORDS", EXTEND);
    let first = client.prompt("work").run().ok();
    client.prompt("go on").env("SESSION", &first.session).resume(&first.session).run().ok();
    let screen = std::fs::read_to_string(client.project().join("nested.txt")).unwrap_or_default();
    assert!(screen.contains("inside"), "the nested client was answered: {screen}");
    assert_eq!(decisions(&client, &first.session), Vec::<Value>::new());
}

fn what_an_agent_schedules_is_no_persons(version: Version) {
    let cron = json!({"cron": "* * * * *", "prompt": EXTEND, "recurring": false});
    let script = Script::new()
        .main(costly(Turn::tool("CronCreate", cron)))
        .main(costly(Turn::text("it is scheduled")))
        .main(costly(Turn::text("a model was asked")));
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000);
    let terminal = client.terminal(&[]);
    terminal.enter("schedule it");
    terminal.wait("it is scheduled");
    terminal.wait_long("operation blocked by hook");
    assert!(api.showed(&terminal.screen(), "the agent itself wrote these words"), "{}", api.last_shown());
    let session = session(&client);
    assert_eq!(decisions(&client, &session), Vec::<Value>::new());
    assert_eq!(api.count("main"), 2);
}

fn prompts_made_of_files_and_results_are_no_commands(version: Version) {
    let script = Script::new()
        .main(costly(Turn::agent("bg", true)))
        .main(costly(Turn::text("waiting")))
        .main(costly(Turn::text("the helper came back")))
        .main(costly(Turn::text("the file was read")))
        // Not earlier, or it would be part of the main loop's second request.
        .agent("bg", [costly(Turn::text(EXTEND)).after_main(2)]);
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000_000);
    std::fs::create_dir_all(client.project().join(".claude/commands")).unwrap();
    std::fs::write(client.project().join(".claude/commands/go.md"), EXTEND).unwrap();
    let run = client.prompt("delegate").run().ok();
    assert_eq!(run.text(), "the helper came back");
    let file = client.prompt("/go").resume(&run.session).run().ok();
    assert_eq!(file.text(), "the file was read", "a command file is a prompt for the model");
    assert_eq!(decisions(&client, &run.session), Vec::<Value>::new());
    assert_eq!(journal(&client), "");
}

client_tests!(live:
    a_person_extends_in_the_terminal_and_goes_on,
    a_nested_client_decides_nothing,
    an_agent_that_types_into_its_own_terminal_gives_itself_nothing,
);
client_tests!(recorded:
    print_mode_answers_with_the_command_line,
    what_an_agent_schedules_is_no_persons,
    prompts_made_of_files_and_results_are_no_commands,
);
