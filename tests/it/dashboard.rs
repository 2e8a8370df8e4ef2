//! The dashboard: [`plain`] requests without a browser, and `live_…` tests in a headless Chromium.

mod axe;
mod browser;
mod decisions;
mod form;
mod plain;
mod refresh;
mod scripts;

use serde_json::json;

use crate::harness::Home;
use crate::serve::{busy_session, spend, spend_now};

const ONE: &str = "session-one";
const TWO: &str = "session-two";

/// Where the dashboard is.
const HOME: &str = "/cost-dashboard";

/// One session at its limit (1,450 of 1,000 tokens, hard limit 2,000) with four alerts, an open breaker and a denied call, and another
/// with 100 tokens.
fn two_sessions(home: &Home) {
    busy_session(home, ONE);
    home.hook(
        "PreToolUse",
        ONE,
        json!({"tool_name": "Bash", "tool_input": {"command": "make"}, "tool_use_id": "toolu_6"}),
    );
    spend(home, ONE, 800, 900);
    spend_now(home, TWO, 801, 100);
}

/// Lines of the token file besides the operator's: a viewer and one that only sends telemetry.
fn more_tokens(home: &Home, operator: &str) -> [String; 3] {
    use std::os::unix::fs::PermissionsExt;
    let [viewer, ingest, alice] = ["v", "i", "a"].map(|letter| letter.repeat(32));
    let text = format!("{operator}\nviewer {viewer}\ningest {ingest}\noperator {alice} alice\n");
    std::fs::write(home.path("tokens"), text).unwrap();
    std::fs::set_permissions(home.path("tokens"), PermissionsExt::from_mode(0o600)).unwrap();
    [viewer, ingest, alice]
}

/// Ends a session.
fn end_session(home: &Home, session: &str) {
    home.hook("SessionEnd", session, json!({"reason": "other"}));
}
