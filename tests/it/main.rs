//! The integration tests: one binary. Behaviour is proven from outside: standard input, files, exit codes, output,
//! store.

mod budgets;
mod contract;
mod crashes;
mod guarded;
mod harness;
mod rig;
mod rig_selftest;
mod seed_payloads;
