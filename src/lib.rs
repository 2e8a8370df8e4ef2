//! Fusebox: budgets, quotas and a circuit breaker for Claude Code, as small hook executables.
//!
//! Layers, each importing only what stands to its left:
//! [`domain`] ← [`transcript`], [`store`] ← [`app`] ← [`hook`], [`cli`]. [`config`] and [`mod@env`] stand beside `domain`.
//!
//! Start reading at [`hook::run`], which follows one event from standard input to its answer, and at
//! [`domain::verdict`], the one place that decides.

pub mod agents;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod env;
pub mod hook;
#[cfg(target_env = "musl")]
pub mod memory;
pub mod store;
pub mod transcript;
