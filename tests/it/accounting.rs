//! Accounting: transcripts are counted exactly once, whatever the order and size of reads.

mod alerts;
mod captured;
mod counters;
mod damage;
mod hooks;
mod lines;
mod merging;
mod naive;
mod settling;
mod test_store;
mod values;
mod windows;
mod written;
