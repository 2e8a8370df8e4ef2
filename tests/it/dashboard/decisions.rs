//! Signing in and deciding, in a browser.

use serde_json::json;

use super::browser::Browser;
use super::{HOME, ONE, two_sessions};
use crate::harness::Home;
use crate::serve::{Serve, on_both_stores};

/// The row of the session at its limit.
const PAUSED: &str = ".budgets tbody tr:has(.badge.paused)";

#[test]
fn live_an_operator_signs_in_and_out() {
    let home = Home::new();
    two_sessions(&home);
    let serve = Serve::start(&home, &["--refresh", "0"]);
    let browser = Browser::open(&home, &serve);
    browser.go(HOME);
    browser.click(&format!("{PAUSED} [id^=extend]"));
    browser.wait_text("h1", "Sign in");
    browser.fill("#token", "wrong-token-wrong-token-wrong-token");
    browser.click("#send");
    browser.wait_text("#problem", "This token is not valid.");
    browser.fill("#token", &serve.token());
    browser.press("\u{e007}");
    // Back at what was wanted.
    browser.wait_text("h1", "Extend the budget");
    browser.go(HOME);
    browser.wait_text(".account", "operator");
    assert_eq!(browser.eval("return document.cookie"), json!(""), "scripts cannot read the cookie");
    browser.click("#sign-out");
    browser.wait_text(".account", "Sign in");
    browser.click(&format!("{PAUSED} [id^=reset]"));
    browser.wait_text("h1", "Sign in");
}

#[test]
fn live_a_budget_is_extended_and_reset() {
    on_both_stores(|home| {
        two_sessions(home);
        let serve = Serve::start(home, &["--refresh", "0"]);
        let browser = Browser::open(home, &serve);
        browser.sign_in(&serve.token());
        browser.wait_text(PAUSED, "1,450 / 1,000 tokens (145.00%)");
        browser.click(&format!("{PAUSED} [id^=extend]"));
        browser.wait_text("dialog[open] h1", "Extend the budget");
        browser.wait_true("return document.activeElement.id === 'amount'");
        browser.fill("#amount", "5000");
        browser.fill("#reason", "nearly done");
        browser.click("#decide");
        browser.wait_text("dialog[open] #problem", "can be extended by at most 1000");
        assert_eq!(browser.eval("return document.getElementById('amount').value"), json!("5000"));
        browser.fill("#amount", "many");
        browser.click("#decide");
        browser.wait_text("dialog[open] #problem", "Enter a number of tokens");
        browser.wait_true("return document.activeElement.id === 'amount'");
        browser.fill("#amount", "600");
        browser.press("\u{e007}");
        browser.wait_text("#result", "Budget session is extended: 1,450 / 1,600 tokens (90.62%).");
        browser.wait_true("return !document.getElementById('dialog').open");
        assert_eq!(browser.count(PAUSED), 0);
        let warned = ".budgets tbody tr:has(.badge.warning)";
        assert_eq!(browser.count(&format!("{warned} [id^=extend]")), 0, "nothing to extend now");
        browser.wait_true(
            "return document.querySelector('.budgets .badge.warning').closest('tr').querySelector('.fill.orange') !== null",
        );
        browser.click(&format!("{warned} [id^=reset]"));
        browser.wait_text("dialog[open] h1", "Reset the budget");
        browser.press("\u{e00c}");
        browser.wait_true("return !document.getElementById('dialog').open");
        browser.wait_true("return document.activeElement.id.startsWith('reset-')");
        browser.click(&format!("{warned} [id^=reset]"));
        browser.fill("dialog[open] #reason", "new task");
        browser.click("#decide");
        browser.wait_text("#result", "counts from zero again: 0 / 1,000 tokens (0.00%)");
        browser.wait_text(".budgets tbody", "0 / 1,000 tokens (0.00%)");
        let shown = home.fusebox(&["budget", "show", "session", "--session", ONE, "--json"]).json();
        let reasons: Vec<_> = shown["operations"].as_array().unwrap().iter().map(|o| &o["reason"]).collect();
        assert_eq!(reasons, ["nearly done", "new task"], "{shown}");
    });
}

#[test]
fn live_a_breaker_is_acknowledged_and_reset() {
    let home = Home::new();
    two_sessions(&home);
    let serve = Serve::start(&home, &["--refresh", "0"]);
    let browser = Browser::open(&home, &serve);
    browser.sign_in(&serve.token());
    let open = ".circuits tbody tr:has(.dot.open)";
    browser.wait_text(open, "5 times in a row");
    browser.click(&format!("{open} [id^=acknowledge]"));
    browser.wait_text("dialog[open] h1", "Acknowledge the trip");
    browser.click("#decide");
    browser.wait_text("dialog[open] #problem", "a reason is required");
    browser.fill("dialog[open] #reason", "fixed");
    browser.click("#decide");
    browser.wait_text("#result", "half-open");
    let half_open = ".circuits tbody tr:has(.dot.half_open)";
    browser.wait_text(half_open, "Half-open");
    assert_eq!(browser.count(&format!("{half_open} [id^=acknowledge]")), 0);
    browser.click(&format!("{half_open} [id^=reset]"));
    browser.fill("dialog[open] #reason", "anew");
    browser.click("#decide");
    browser.wait_text("#result", "The breaker is closed.");
    assert_eq!(browser.count(".circuits .dot.open, .circuits .dot.half_open"), 0);
    assert_eq!(home.status(ONE)["circuit"]["state"], "closed");
}

#[test]
fn live_alerts_are_filtered_and_acknowledged() {
    on_both_stores(|home| {
        two_sessions(home);
        let serve = Serve::start(home, &["--refresh", "0"]);
        let browser = Browser::open(home, &serve);
        browser.sign_in(&serve.token());
        browser.wait_text("#new-alerts", "4 unacknowledged");
        browser.click(".alert-list tbody tr:first-child button");
        browser.wait_text("#result", "The alert is acknowledged.");
        browser.wait_text("#new-alerts", "3 unacknowledged");
        assert_eq!(browser.count(".alert-list tbody tr"), 3);
        browser.click("#alerts-all");
        browser.wait_true("return document.querySelectorAll('.alert-list tbody tr').length === 4");
        assert_eq!(browser.path(), "/cost-dashboard?alerts=all");
        assert_eq!(browser.count(".alert-list tbody tr.done"), 1);
        browser.wait_text(".alert-list tr.done", "by operator");
        browser.click("#acknowledge-all");
        browser.wait_text("#result", "3 alerts acknowledged.");
        browser.wait_text("#new-alerts", "0 unacknowledged");
        assert_eq!(browser.count(".alert-list tbody tr.done"), 4, "the filter stays");
        browser.click("#alerts-new");
        browser.wait_text("#alert-panel", "Nothing to acknowledge.");
        // Folded up, it still says how many there are, and stays so when the page is read again.
        browser.click("#alert-panel summary");
        browser.wait_true("return !document.getElementById('alert-panel').open");
        browser.click("#alerts-title");
        browser.wait_true("return document.getElementById('alert-panel').open");
    });
}
