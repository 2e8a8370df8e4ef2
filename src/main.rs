//! The `fusebox` command: parse, run, exit code.

use std::process::ExitCode;

// musl's own allocator is slow, above all with several threads (`fusebox import`).
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    fusebox::cli::main()
}
