//! The circuit breaker: detects an agent that goes round in circles.
//!
//! A [`call`] has a [`signature`], an [`outcome`] and an [`effect`]. Calls make up a [`history`], which the [`rules`]
//! check independently, and [`circuit`] acts on the result. A [`policy`] holds the limits.

pub mod action;
pub mod call;
pub mod circuit;
mod comments;
pub mod effect;
pub mod fingerprint;
pub mod history;
pub mod outcome;
mod phase;
pub mod policy;
pub mod repeated_text;
pub mod repetitions;
mod rule_match;
pub mod rules;
pub mod signature;
mod transition;
pub mod volatile;
mod volatile_word;
