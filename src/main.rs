//! The `fusebox` command: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    fusebox::cli::main()
}
