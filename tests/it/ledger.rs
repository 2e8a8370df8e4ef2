//! The ledger of all history: `fusebox import`, and the commands that read and purge it.

mod bad_input;
mod costs;
mod equal;
mod incremental;
mod purge;
mod records;
mod reprice;
mod rows;
