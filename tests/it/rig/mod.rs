//! The test rig: a real Claude Code client with a scripted Messages API, on loopback only.
//!
//! A test is a function that takes a `Version`; `client_tests!(..)` runs it with each client. It uses
//! `Api::start(Script)`, `Client::new(version, &api)` and `client.prompt("..").run()`.

// Each test uses only a part of it.
#![allow(dead_code, unused_imports)]

mod api;
mod classify;
mod client;
mod drive;
mod http;
mod netns;
mod player;
mod prompt;
mod recorder;
mod recording;
mod reply;
mod scenario;
mod terminal;
mod transcripts;
mod usage;
mod version;

pub use api::{Api, Served};
pub use client::{Client, MODEL};
pub use netns::in_netns;
pub(crate) use netns::this_test;
pub use prompt::{Outcome, Prompt, Running};
pub use scenario::{Script, Turn};
pub use terminal::Terminal;
pub use transcripts::{Count, count, lines};
pub use usage::Usage;
pub use version::Version;
pub(crate) use version::{client_tests, with_client, with_recording};
