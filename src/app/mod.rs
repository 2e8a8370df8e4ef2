//! The application: turns events and commands into decisions.
//!
//! [`handlers`] handles a hook's event, in the steps [`session`], [`transcript_reader`], [`record`] and
//! [`store_access`]. Commands use [`operate`], [`circuit_decisions`], [`report`], [`overview`], [`last_known`], [`explain`], [`history`],
//! [`price_check`], [`resync`] and [`verify`]; [`status`] is the JSON for scripts. [`status_line`] is the line below the client's prompt.

pub mod backfill;
pub mod circuit_decisions;
pub mod explain;
mod first_sight;
mod fork;
pub mod handlers;
pub mod held_by;
pub mod history;
pub mod holding;
pub mod human_check;
pub mod import;
pub mod installation;
pub mod last_known;
pub mod messages;
pub mod meters;
mod new_operation;
mod offline;
pub mod open_store;
pub mod operate;
pub mod operation_ledger;
pub mod operator;
pub mod overview;
pub mod plan;
mod platform_calls;
mod presence;
pub mod price_check;
pub mod process_tree;
pub mod project;
mod protect;
pub mod quota;
pub mod record;
pub mod record_plan;
pub mod recovery;
pub mod report;
pub mod resync;
pub mod session;
pub mod session_files;
pub mod snapshot;
pub mod status;
pub mod status_line;
pub mod store_access;
pub mod store_status;
mod temporary_store;
mod throttle;
pub mod transcript_reader;
pub mod unseen;
pub mod verify;
