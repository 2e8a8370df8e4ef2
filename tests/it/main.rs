//! The integration tests, one binary.

mod accounting;
