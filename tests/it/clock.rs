//! The clock that tests can move, and nobody else.

use serde_json::json;

use crate::harness::Home;

/// A year, in milliseconds: ends every window.
const YEAR_MS: i64 = 365 * 24 * 3600 * 1000;

#[test]
fn a_moved_clock_opens_another_window() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"monthly\"\nscope = \"user\"\nwindow = \"month\"\nlimit = 100\n");
    let clock = home.path("clock");
    let home = home.var("FUSEBOX_TEST_CLOCK", &clock.to_string_lossy());
    let resets_at = || {
        home.hook("UserPromptSubmit", "s", json!({"prompt": "work"}));
        home.status("s")["budgets"].as_array().unwrap().iter().find(|b| b["name"] == "monthly").unwrap()["resets_at"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let now = resets_at();
    std::fs::write(&clock, YEAR_MS.to_string()).unwrap();
    let later = resets_at();
    if cfg!(feature = "test-clock") {
        assert_eq!(later[..4].parse::<i32>().unwrap(), now[..4].parse::<i32>().unwrap() + 1);
    } else {
        assert_eq!(later, now, "no variable moves the clock of what people run");
    }
}
