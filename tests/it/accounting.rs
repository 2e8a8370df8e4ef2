//! Accounting: what transcripts say is counted exactly once, in whatever order and portions it is read.

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
