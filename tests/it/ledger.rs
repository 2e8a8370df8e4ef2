//! The ledger of all history: `fusebox import`, and the commands that read and purge it.

mod bad_input;
mod equal;
mod incremental;
mod records;
mod rows;
