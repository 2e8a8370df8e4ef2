//! axe-core looks for what not everyone can use.

use std::path::PathBuf;

use serde_json::Value;

use super::browser::Browser;

const VERSION: &str = "4.14.1";

/// The script that `tests/install-axe` installs.
fn script() -> String {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(target).join("axe").join(VERSION);
    path.extend(["node_modules", "axe-core", "axe.min.js"]);
    std::fs::read_to_string(&path).unwrap_or_else(|_| {
        panic!("axe {VERSION} is not installed: run tests/install-axe, or leave this test out (-- --skip ::live_)")
    })
}

/// Whether axe finds nothing serious or critical on the page.
#[track_caller]
pub fn check(browser: &Browser, what: &str) {
    browser.eval(&format!("{}; return typeof axe;", script()));
    let found = browser.eval_async(
        "const done = arguments[arguments.length - 1];
         axe.run(document, {resultTypes: ['violations']}).then(
           (found) => done(found.violations.map((v) => [v.impact, v.id, v.nodes.map((n) => n.html + ' ' + n.failureSummary)])),
           (error) => done([['critical', String(error), []]]));",
    );
    let is_serious = |finding: &&Value| finding[0] == "serious" || finding[0] == "critical";
    let serious: Vec<&Value> = found.as_array().unwrap().iter().filter(is_serious).collect();
    assert!(serious.is_empty(), "{what}: {serious:#?}");
}
