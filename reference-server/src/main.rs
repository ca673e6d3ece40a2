//! The program `reference-server`.

use std::process::ExitCode;

fn main() -> ExitCode {
    reference_server::cli::main(std::env::args_os())
}
