//! The hook executables: one event in, one answer out, and never a failure that the client would notice.

pub mod alert_command;
pub mod client_version;
pub mod deadline;
pub mod journal;
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
        #[unsafe(no_mangle)]
        #[allow(unsafe_code, missing_docs, clippy::not_unsafe_ptr_arg_deref)]
        pub extern "C" fn main(_count: i32, arguments: *const *const ::std::ffi::c_char) -> i32 {
            use $crate::hook::run::Hook;
            // SAFETY: the system hands over an array of strings that ends with null, and both live as long as the process.
            let name = unsafe {
                let first = *arguments;
                if first.is_null() { None } else { Some(::std::ffi::CStr::from_ptr(first)) }
            };
            $crate::hook::run::run($hook, name)
        }
    };
}
