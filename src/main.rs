//! The `fusebox` command: parse, run, exit code.

use std::process::ExitCode;

#[cfg(target_env = "musl")]
#[global_allocator]
static MEMORY: fusebox::hook::memory::Memory = fusebox::hook::memory::memory();

fn main() -> ExitCode {
    fusebox::cli::main()
}
