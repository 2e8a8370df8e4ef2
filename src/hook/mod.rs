//! The hook executables: one event in, one answer out. The client never sees a failure.

pub mod alert_command;
pub mod failure_count;
pub mod journal;
pub mod run;
pub mod status_line;
