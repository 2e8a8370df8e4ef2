//! The circuit breaker: does an agent get anywhere, or does it go round in circles?
//!
//! What is known of a call stands in [`call`], made of its [`signature`], its [`outcome`] and its [`effect`]. Calls make a
//! [`history`], the [`rules`] look at it, each for itself, and [`circuit`] draws the consequence. A [`policy`] has the
//! numbers.

pub mod action;
pub mod call;
pub mod circuit;
mod comments;
pub mod effect;
mod fingerprint;
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
