//! `harness serve`: the reference server. The only file that links it.

use std::process::ExitCode;

/// The server's own options.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: reference_server::cli::Options,
}

pub(super) fn main(args: Args) -> ExitCode {
    reference_server::cli::run(args.options)
}
