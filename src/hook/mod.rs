//! The hook executables: one event in, one answer out, and never a failure that the client would notice.

pub mod alert_command;
pub mod client_version;
pub mod deadline;
pub mod journal;
#[cfg(target_env = "musl")]
pub mod memory;
pub mod registration;
pub mod run;
pub mod wire;

/// The `main` of a hook executable: `fusebox::hook_main!(Hook::PreToolUse);`
///
/// A C `main`, not a Rust one: what Rust sets up before `main` (a look at the stack's mapping, handlers for its
/// overflow) costs as much as the rest of a hook together, and [`hook::run`](crate::hook::run::run) does what is
/// needed of it.
#[macro_export]
macro_rules! hook_main {
    ($hook:expr) => {
        #[cfg(target_env = "musl")]
        #[global_allocator]
        static MEMORY: $crate::hook::memory::Memory = $crate::hook::memory::memory();

        #[unsafe(no_mangle)]
        #[allow(unsafe_code, missing_docs)]
        pub extern "C" fn main(_count: i32, _arguments: *const *const u8) -> i32 {
            use $crate::hook::run::Hook;
            $crate::hook::run::run($hook)
        }
    };
}
