//! The hook executables: one event in, one answer out, and never a failure that the client would notice.

pub mod alert_command;
pub mod journal;
pub mod run;
