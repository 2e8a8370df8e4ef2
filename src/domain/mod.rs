//! The rules of Fusebox as pure values and functions, without access to files, network, environment or clock.
//!
//! A message becomes an [`usage::Amount`], amounts add up in counters ([`counter`]), a counter compared with a
//! [`budget::Budget`] is a [`budget::BudgetState`], and [`verdict`] decides what a state means for a call.

pub mod alert;
pub mod amount;
pub mod breaker;
pub mod budget;
pub mod counter;
pub mod escalation;
pub mod event;
pub mod message;
pub mod money;
pub mod operation;
pub mod plan;
pub mod platform;
pub mod prompt_command;
pub mod protection;
pub mod reservation;
pub mod scope;
pub mod settlement;
pub mod throttle;
pub mod time;
pub mod usage;
pub mod verdict;
pub mod window;
