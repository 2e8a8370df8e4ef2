//! What Fusebox does, from the outside world's values to decisions: meter, admit, brief, operate, report.

pub mod admit;
pub mod ahead;
pub mod ancestry;
mod asking;
pub mod attendance;
pub mod brief;
pub mod explain;
pub mod guard;
pub mod installation;
pub mod look;
pub mod meter;
pub mod opening;
pub mod operate;
pub mod operation_ledger;
pub mod operator;
pub mod project;
pub mod prompt_command;
pub mod protect;
pub mod rebuild;
pub mod recount;
pub mod report;
pub mod resync;
pub mod store_status;
pub mod throttle;
