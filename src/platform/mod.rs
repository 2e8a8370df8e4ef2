//! The process and its operating system: clock, variables, folders, other processes, children, opening files safely,
//! the hook's deadline.
//!
//! Code that depends on the system is in `linux.rs` and `macos.rs`, which have the same functions. All unsafe code of
//! Fusebox is in this folder.

pub mod child;
mod clock;
pub mod deadline;
mod env;
pub mod files;
pub mod folder;
pub mod process;

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;

#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod system;

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("Fusebox runs on Linux and macOS");

pub use clock::{Stopwatch, clock, store_clock, test_panic, test_patience};
pub use env::{Env, is_test_runner, machine_fingerprint, program_dir, uid};
pub use system::SYSTEM;

/// An operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Linux.
    Linux,
    /// macOS.
    MacOs,
}
