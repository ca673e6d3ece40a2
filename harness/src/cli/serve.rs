//! `harness serve`: the reference server. The only file that links it.

use std::process::{Command, ExitCode};

/// The server's own options.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: reference_server::cli::Options,
}

pub(super) fn main(args: Args) -> ExitCode {
    reference_server::cli::run(args.options)
}

/// Whether the server of this build can be wrong on purpose. Never with optimizations for a release.
pub(super) const HAS_MUTANTS: bool = cfg!(all(feature = "mutants", debug_assertions));

/// The ways in which it can be: the ids.
pub(super) fn mutants() -> Vec<String> {
    let program = std::env::current_exe();
    let listed = program
        .and_then(|program| Command::new(program).args(["serve", "--mutant", "list"]).output());
    let listed = listed.map(|listed| String::from_utf8_lossy(&listed.stdout).into_owned());
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    listed.map(|text| text.lines().filter_map(first).collect()).unwrap_or_default()
}
