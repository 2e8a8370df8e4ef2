//! The shared store with the hooks: what they do while it fails, and that it recovers exactly.

mod counting_on;
mod damaged;
mod down;
mod failing;
mod key_names;
mod ledger;
mod machines;
mod recovering;
mod resync;
mod unheard;

use serde_json::{Value, json};

use fusebox::platform::clock;

use crate::harness::{Home, Ran, message};

/// A home with its store at this address.
pub fn home_at(url: &str) -> Home {
    let home = Home::new().var("FUSEBOX_STORE_REDIS_URL", url).var("FUSEBOX_STORE_TENANT", "acme");
    // Long enough for a busy machine.
    home.var("FUSEBOX_STORE_REDIS_TIMEOUT_MS", "1000")
}

/// The current time, as the client writes it.
pub fn now() -> String {
    let now = chrono::DateTime::from_timestamp_millis(clock().0).unwrap();
    now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Appends messages dated now, of 100 tokens each, to a session, and calls the hook after the last one's tool.
pub fn respond(home: &Home, session: &str, messages: std::ops::RangeInclusive<usize>) -> Ran {
    let of_now = |n| {
        let mut line = message(n, 90, 10);
        line["timestamp"] = now().into();
        line
    };
    let lines: Vec<Value> = messages.map(of_now).collect();
    home.append(&home.transcript(session), &lines);
    home.hook("PostToolUse", session, json!({"tool_name": "Bash", "tool_response": ""}))
}

/// The usage of a session's budget, and its limit in force.
pub fn used(home: &Home, session: &str, budget: &str) -> (u64, u64) {
    let status = home.status(session);
    let budgets = status["budgets"].as_array().unwrap();
    let found = budgets.iter().find(|b| b["name"] == budget).unwrap_or_else(|| panic!("{status}"));
    (found["used"].as_u64().unwrap(), found["limit"].as_u64().unwrap())
}
