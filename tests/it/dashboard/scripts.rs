//! Without scripts, in narrow windows, in the dark, for everyone.

use serde_json::json;

use super::axe;
use super::browser::{Browser, Manner};
use super::{HOME, ONE, two_sessions};
use crate::harness::Home;
use crate::serve::Serve;

#[test]
fn live_everything_works_without_scripts() {
    let home = Home::new();
    two_sessions(&home);
    let serve = Serve::start(&home, &[]);
    let browser = Browser::like(&home, &serve, Manner { without_scripts: true });
    browser.go(HOME);
    browser.wait_text(".budgets", "1,450 / 1,000 tokens (145.00%)");
    browser.click("#sort-Agent");
    browser.wait_text(".budgets tbody tr:first-child", ONE);
    assert_eq!(browser.path(), "/cost-dashboard?sort=agent");
    browser.click(".budgets [id^=extend]");
    browser.fill("#token", &serve.token());
    browser.click("#send");
    browser.wait_text("h1", "Extend the budget");
    browser.fill("#amount", "0");
    browser.fill("#reason", "nearly done");
    browser.click("#decide");
    browser.wait_text("#problem", "greater than 0");
    browser.fill("#amount", "600");
    browser.click("#decide");
    browser.wait_text("#result", "Budget session is extended");
    browser.wait_text(".budgets", "1,450 / 1,600 tokens (90.62%)");
    browser.click("#acknowledge-all");
    browser.wait_text("#result", "4 alerts acknowledged.");
    browser.click(".circuits [id^=acknowledge]");
    browser.fill("#reason", "fixed");
    browser.click("#decide");
    browser.wait_text(".circuits", "Half-open");
    browser.click(".circuits .name");
    browser.wait_text("#events-title", "1 denied");
}

#[test]
fn live_pages_fit_and_everyone_can_use_them() {
    let home = Home::new();
    two_sessions(&home);
    home.fusebox(&["import"]);
    let serve = Serve::start(&home, &["--refresh", "0"]);
    let browser = Browser::open(&home, &serve);
    browser.go("/cost-dashboard/sign-in");
    look(&browser, "sign-in");
    browser.sign_in(&serve.token());
    browser.wait_text(".account", "operator");
    browser.eval("window.problems = []; document.addEventListener('securitypolicyviolation', (e) => window.problems.push(e.violatedDirective))");
    look(&browser, "overview");
    assert_eq!(browser.eval("return window.problems"), json!([]), "against the policy");
    // A tooltip opens by keyboard, and closes with Escape.
    browser.eval("document.querySelector('.tip').focus()");
    browser.wait_text(".meter:focus-within .tooltip", "Cache reads");
    browser.press("\u{e00c}");
    browser.wait_true(
        "return getComputedStyle(document.querySelector('.meter:focus-within .tooltip')).display === 'none'",
    );
    browser.click(".budgets [id^=extend]");
    browser.wait_text("dialog[open] h1", "Extend the budget");
    look(&browser, "dialog");
    for (name, path) in [
        ("all", "/cost-dashboard?alerts=all&ended=yes"),
        ("sessions", "/cost-dashboard/sessions"),
        ("session", "/cost-dashboard/session/session-one"),
        ("problem", "/cost-dashboard/session/nobody"),
    ] {
        browser.go(path);
        look(&browser, name);
    }
}

/// Looks at a page at all widths, light and dark.
#[track_caller]
fn look(browser: &Browser, name: &str) {
    for is_dark in [false, true] {
        for width in [360, 768, 1440] {
            browser.look(width, is_dark);
            browser.wait_true(&format!("return window.innerWidth === {width}"));
            let too_wide = browser.eval("return document.documentElement.scrollWidth - window.innerWidth");
            assert!(too_wide.as_i64().unwrap() <= 0, "{name} at {width} is {too_wide} too wide");
            let shade = if is_dark { "dark" } else { "light" };
            axe::check(browser, &format!("{name}, {width}, {shade}"));
            browser.shoot(&format!("{name}-{width}-{shade}"));
        }
    }
}
