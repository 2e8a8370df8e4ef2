//! The client's words: what it sends to a hook, and what it understands as an answer.
//! Source: `docs/client.md`, and the captured payloads in `tests/fixtures/hooks`.

pub mod input;
pub mod output;
pub mod seed;
