//! The integration tests: one binary. Behaviour is proven from outside: standard input, files, exit codes, output,
//! store.

mod guarded;
mod rig;
mod rig_selftest;
