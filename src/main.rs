//! The `fusebox` command: parse, run, exit code.

use std::process::ExitCode;

#[cfg(target_env = "musl")]
#[global_allocator]
static MEMORY: fusebox::memory::Memory = fusebox::memory::Memory;

fn main() -> ExitCode {
    fusebox::cli::main()
}
