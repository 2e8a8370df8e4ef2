//! The client's words: what it sends to a hook, and what it understands as an answer.
//! Source: the captured payloads in `tests/fixtures/hooks`, and `tests/fixtures/README.md`.

pub mod input;
pub mod output;
pub mod seed;
