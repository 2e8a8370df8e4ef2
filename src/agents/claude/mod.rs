//! Claude Code: its payloads, and the answers that it understands.
//!
//! Source: the captured payloads in `tests/fixtures/hooks`, and `tests/fixtures/README.md`. [`plain`] is the protocol of
//! other programs that call the hooks with a payload of their own.

pub mod output;
pub mod payload;
pub mod plain;
