//! Hooks that charge what no file shows, and are killed.

use serde_json::json;

use super::{assert_exact, batch, calls, counted, home, line};
use crate::killed::{At, run_killed_at};

/// Whichever step a hook that charges is killed at, later ones charge what it was told of, and nothing is left of it
/// once the file is back.
#[test]
fn a_charge_killed_at_any_step_is_made_and_revoked_once() {
    let home = home();
    let mut killed = true;
    let mut n = 0;
    // Each step has its own session.
    while killed {
        n += 1;
        let id = format!("s{n}");
        batch(&home, &id, 1);
        let payload = home.payload("PostToolBatch", &id, calls(2)).to_string();
        let at = At { stops: n * 11, instructions: 0 };
        killed = run_killed_at(home.command("post-tool-use"), payload.as_bytes(), at).killed;
        batch(&home, &id, 3);
        let [used, requests, tools, unseen] = counted(&home, &id);
        assert_eq!((used, requests, tools), (28_000 * unseen, unseen, 2 * unseen), "killed at {}", at.stops);
        // Only what no other hook was told of can be missing.
        assert!((2..=3).contains(&unseen), "{unseen}, killed at {}", at.stops);
        home.append(&home.transcript(&id), &[line(1), line(2), line(3)]);
        home.hook("PostToolUse", &id, json!({"tool_use_id": "toolu_3"}));
        assert_exact(&home, &id, 3, 6);
    }
    assert!(n > 10, "only {n} kills");
}
