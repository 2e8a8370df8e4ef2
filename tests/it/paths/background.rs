//! Background agents that return and wake the session.

use super::{assert_counted, only, step};
use crate::guarded::{guarded, status};
use crate::rig::{Api, Script, Turn, Usage, Version, client_tests};

/// Calls of the main loop that a background agent caused. (From 2.1.330 on the notification has a sentence before it.)
fn wakings(api: &Api) -> usize {
    let is_notification = |message: &str| {
        message.contains("<task-notification>") || message.contains("automated background-task event")
    };
    api.calls().iter().filter(|call| call.kind == "main" && is_notification(&call.last_message)).count()
}

fn an_agent_that_comes_back_is_answered_and_counted(version: Version) {
    let script = Script::new()
        .main(Turn::agent("bg", true).usage(Usage::new(300, 100)))
        .main(Turn::bash("true").usage(Usage::new(40, 20)))
        .main(Turn::text("It works in the background.").usage(Usage::new(41, 21)))
        .main(Turn::text("It came back.").usage(Usage::new(42, 22)))
        .agent(
            "bg",
            [
                Turn::bash("true").usage(Usage::new(70, 30)),
                Turn::text("result").after_main(3).usage(Usage::new(71, 31)),
            ],
        );
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000_000);
    let run = client.prompt("delegate").run().ok();
    assert_eq!(run.text(), "It came back.");
    assert_eq!(wakings(&api), 1);
    assert_counted(&client, &api, &run.session);
    assert_eq!(status(&client, &run.session)["requests"], 6);
}

fn an_agent_that_comes_back_after_the_stop_wakes_nobody(version: Version) {
    let script = Script::new()
        .main(Turn::agent("bg", true).usage(Usage::new(300, 100)))
        .main(step(0))
        .loop_last_main()
        .agent("bg", [Turn::text("result").until_file("@PROJECT@/stopped").usage(Usage::new(71, 31))]);
    let api = Api::start(script);
    let client = guarded(version, &api, 1_200);
    let terminal = client.terminal(&[]);
    terminal.enter("delegate");
    terminal.wait_for("the stop", || only(&client)["stopped"] == true);
    terminal.wait("hook stopped");
    let stopped_at = api.count("main");
    std::fs::write(client.project().join("stopped"), "").unwrap();
    terminal
        .wait_for("the agent to come back", || api.calls().iter().any(|c| c.kind == "agent:bg" && c.done));
    terminal.wait_for("its response to be counted", || {
        only(&client)["requests"].as_u64() == Some(api.loop_calls() as u64)
    });
    terminal.wait("Original prompt: <task-notification>");
    assert_eq!((api.count("main"), wakings(&api)), (stopped_at, 0), "after a stop, none");
    let session = only(&client)["session"].as_str().unwrap().to_owned();
    assert_counted(&client, &api, &session);
}

client_tests!(recorded:
    an_agent_that_comes_back_is_answered_and_counted,
    an_agent_that_comes_back_after_the_stop_wakes_nobody,
);
