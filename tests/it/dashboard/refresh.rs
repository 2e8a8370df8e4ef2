//! Pages that are read again, in a browser.

use serde_json::json;

use super::browser::Browser;
use super::{HOME, ONE, TWO, two_sessions};
use crate::harness::Home;
use crate::redis::Server;
use crate::serve::{Serve, spend_now};

#[test]
fn live_new_numbers_appear_by_themselves_and_nothing_else_changes() {
    let home = Home::new();
    two_sessions(&home);
    let serve = Serve::start(&home, &["--refresh", "1"]);
    let browser = Browser::open(&home, &serve);
    browser.look(1440, false);
    browser.go("/cost-dashboard?sort=used&order=asc");
    let first = ".budgets tbody tr:first-child";
    browser.wait_text(first, "100 / 1,000 tokens");
    // The focus, the folded panel, and the place on the page stay.
    browser.click("#alert-panel summary");
    browser.eval("document.querySelector('.budgets tbody tr:first-child .tip').focus(); window.scrollTo(0, 60); window.mark = 1");
    browser.eval("window.focused = document.activeElement; window.place = window.scrollY");
    spend_now(&home, TWO, 900, 230);
    browser.wait_text(first, "330 / 1,000 tokens");
    assert_eq!(browser.eval("return document.activeElement === window.focused"), json!(true));
    assert_eq!(browser.eval("return window.scrollY === window.place"), json!(true));
    assert_eq!(browser.eval("return document.getElementById('alert-panel').open"), json!(false));
    assert_eq!(browser.eval("return window.mark"), json!(1), "the page was not loaded anew");
    assert_eq!(browser.path(), "/cost-dashboard?sort=used&order=asc");
    // The order stays, too, also if the rows change places.
    spend_now(&home, TWO, 901, 2000);
    browser.wait_text(".budgets tbody tr:last-child", "2,330 / 1,000 tokens");
}

#[test]
fn live_columns_are_sorted_by_mouse_and_keyboard() {
    let home = Home::new();
    two_sessions(&home);
    let serve = Serve::start(&home, &["--refresh", "0"]);
    let browser = Browser::open(&home, &serve);
    browser.go(HOME);
    let first = ".budgets tbody tr:first-child";
    browser.wait_text(first, "1,450");
    browser.click("#sort-Agent");
    browser.wait_true("return document.querySelector('th.who').ariaSort === 'ascending'");
    browser.wait_text(first, ONE);
    browser.click("#sort-Agent");
    browser.wait_text(first, TWO);
    assert_eq!(browser.path(), "/cost-dashboard?sort=agent&order=desc");
    browser.eval("document.getElementById('sort-Used').focus()");
    browser.press("\u{e007}");
    browser.wait_text(first, "1,450");
    browser.wait_true("return document.activeElement.id === 'sort-Used'");
    assert_eq!(browser.path(), "/cost-dashboard?sort=used");
    browser.eval("history.back()");
    browser.wait_text(first, TWO);
}

#[test]
fn live_a_hidden_page_and_an_open_form_are_left_alone() {
    let home = Home::new();
    two_sessions(&home);
    let serve = Serve::start(&home, &["--refresh", "1"]);
    let browser = Browser::open(&home, &serve);
    browser.sign_in(&serve.token());
    browser.click(".budgets [id^=extend]");
    browser.fill("dialog[open] #amount", "12");
    spend_now(&home, TWO, 900, 11);
    // In this time, a page that is looked at is read at least twice.
    let reads = || {
        let log = std::fs::read_to_string(home.path("serve.log")).unwrap();
        log.matches("path=\"/cost-dashboard\"").count()
    };
    let wait = || {
        browser.eval("window.ticks = 0; setInterval(() => window.ticks++, 1000)");
        browser.wait_true("return window.ticks >= 3");
    };
    let before = reads();
    wait();
    assert_eq!(reads(), before, "a form is open");
    assert_eq!(browser.eval("return document.getElementById('amount').value"), json!("12"));
    browser.press("\u{e00c}");
    browser.wait_text(".budgets", "111 / 1,000 tokens");
    let come_back = browser.hide();
    let before = reads();
    spend_now(&home, TWO, 901, 22);
    wait();
    assert_eq!(reads(), before, "the page is hidden");
    come_back();
    browser.wait_text(".budgets", "133 / 1,000 tokens");
}

#[test]
fn live_the_last_numbers_stay_while_the_store_is_gone() {
    let mut redis = Server::start();
    let home = Home::new().var("FUSEBOX_STORE_REDIS_URL", &redis.url());
    two_sessions(&home);
    let serve = Serve::start(&home, &["--refresh", "1"]);
    let browser = Browser::open(&home, &serve);
    browser.go(HOME);
    browser.wait_text(".budgets", "1,450 / 1,000 tokens");
    redis.kill();
    browser.wait_text("#failure", "The store has not answered since");
    assert!(browser.text(".budgets").contains("1,450 / 1,000 tokens"));
    browser.go("/cost-dashboard/session/session-one");
    browser.wait_text("#failure", "These are the numbers of");
    browser.wait_text(".budgets", "1,450 / 1,000 tokens");
    browser.go(HOME);
    redis.restart();
    spend_now(&home, TWO, 900, 5);
    browser.wait_true("return document.getElementById('failure') === null");
}

#[test]
fn live_the_page_says_when_the_server_is_gone_and_when_the_store_never_answered() {
    let mut redis = Server::start();
    let home = Home::new().var("FUSEBOX_STORE_REDIS_URL", &redis.url());
    redis.kill();
    let serve = Serve::start(&home, &["--refresh", "1"]);
    let browser = Browser::open(&home, &serve);
    browser.go(HOME);
    browser.wait_text("#no-numbers", "No numbers yet");
    redis.restart();
    browser.wait_text("#nothing-recorded", "Nothing has been recorded yet");
    browser.wait_text("#nothing-recorded", "fusebox init");
    spend_now(&home, ONE, 1, 50);
    browser.wait_text(".cards", "Active agents");
    serve.stop(libc::SIGKILL);
    browser.wait_text("#offline", "The server does not answer. These are the numbers of");
    assert!(browser.text(".cards").contains("Active agents"));
}
