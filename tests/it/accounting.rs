//! Accounting: transcripts are counted exactly once, whatever the order and size of reads.

mod alerts;
mod beside;
mod captured;
mod counters;
mod damage;
mod history;
mod hooks;
mod lines;
mod merging;
mod naive;
mod settling;
mod streams;
pub mod test_store;
mod values;
mod windows;
pub mod written;
