//! The `fluxwatch` program: parse, run, exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    fluxwatch::cli::main()
}
