//! The test rig: a real Claude Code client against a scripted Messages API, on loopback only.
//!
//! `with_client(this_test!(), || { .. })` is the frame of a test; inside it `Api::start(Script)`,
//! `Client::new(&api)` and `client.prompt("..").run()`.

// Each test uses some of it.
#![allow(dead_code, unused_imports)]

mod api;
mod classify;
mod client;
mod http;
mod netns;
mod prompt;
mod reply;
mod scenario;
mod terminal;
mod transcripts;
mod usage;

use std::io::Write;
use std::path::PathBuf;

pub use api::{Api, Served};
pub use client::{Client, MODEL};
pub use netns::in_netns;
pub(crate) use netns::this_test;
pub use prompt::{Outcome, Prompt, Running};
pub use scenario::{Script, Turn};
pub use terminal::Terminal;
pub use transcripts::{Count, count, lines};
pub use usage::Usage;

/// Version of the client the tests are made for.
pub const CLIENT_VERSION: &str = "2.1.330";

/// The client to test with: `FUSEBOX_TEST_CLIENT`, else what `tests/install-client` installed.
pub fn client_path() -> Option<PathBuf> {
    let path = match std::env::var_os("FUSEBOX_TEST_CLIENT") {
        Some(path) => PathBuf::from(path),
        None => installed(),
    };
    path.is_file().then_some(path)
}

fn installed() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let package = match std::env::consts::ARCH {
        "aarch64" => "claude-code-linux-arm64",
        _ => "claude-code-linux-x64",
    };
    root.join(target)
        .join("client")
        .join(CLIENT_VERSION)
        .join("node_modules/@anthropic-ai")
        .join(package)
        .join("claude")
}

/// Runs `body` in a loopback-only namespace, or says loudly that it did not: the client is missing.
pub fn with_client(path: &str, body: impl FnOnce()) {
    if client_path().is_none() {
        return skip("no client: run tests/install-client or set FUSEBOX_TEST_CLIENT");
    }
    in_netns(path, body);
}

/// Notes that a test was skipped; fails it when `FUSEBOX_REQUIRE_CLIENT` is 1.
pub fn skip(why: &str) {
    let required = std::env::var_os("FUSEBOX_REQUIRE_CLIENT").is_some_and(|v| v == "1");
    assert!(!required, "FUSEBOX_REQUIRE_CLIENT=1, but {why}");
    // Not eprintln: the test harness would keep it to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
