//! The integration tests: one binary. Behaviour is proven from outside: standard input, files, exit codes, output,
//! store.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod accounting;
mod alerts_command;
mod budgets;
mod client_facts;
mod clock;
mod config_command;
mod contract;
mod crashes;
mod docs;
mod doctor;
mod faults;
mod fuzz;
mod guarded;
mod harness;
mod init;
mod installed;
mod killed;
mod ladder;
mod manual;
mod nested_clients;
mod paths;
mod prompt_clients;
mod prompt_commands;
mod protection;
mod random;
mod rig;
mod rig_selftest;
mod seed_payloads;
mod settings_example;
mod settings_layers;
mod terminal;
mod uninstall;
