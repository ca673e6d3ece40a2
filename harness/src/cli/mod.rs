//! The command line: one file per sub-command.

mod check;
mod conform;
mod progress;
mod proxy;
mod quick;
mod report;
mod run;
mod selftest;
mod serve;
mod shrink;
mod summarize;
mod trial;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::verdict::{EXITS, Exit};

/// Tests realtime WebSocket servers: replays scenarios with thousands of clients and judges what
/// they saw
#[derive(Debug, Parser)]
#[command(name = "harness", version, after_help = exits())]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios, against a target or the reference server
    Run(run::Args),
    /// Test any server at once, with no file: say how to join and how to say something
    Quick(quick::Args),
    /// Judge servers requirement by requirement
    Conform(conform::Args),
    /// Show a run's report again, or judge its log again
    Report(report::Args),
    /// Look for mistakes in scenarios, dialects, requirements, cases and profiles
    Check(check::Args),
    /// Show that mutants of the reference server are found out, and that the good one is not accused
    Selftest(selftest::Args),
    /// Stand between any client and any server, and do wrong what rules say
    Proxy(proxy::Args),
    /// Be the reference server
    Serve(serve::Args),
}

/// Parses a command line, program name first, and does what it says.
pub fn main(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let program = match Program::try_parse_from(args) {
        Ok(program) => program,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Passed };
            // A terminal that is gone takes no help text either.
            return error.print().map_or_else(|_| Exit::Usage, |()| code).code().into();
        }
    };
    match program.command {
        Command::Run(args) => run::main(&args).code().into(),
        Command::Quick(args) => quick::main(&args).code().into(),
        Command::Conform(args) => conform::main(&args).code().into(),
        Command::Report(args) => report::main(&args).code().into(),
        Command::Check(args) => check::main(&args).code().into(),
        Command::Proxy(args) => proxy::main(&args).code().into(),
        Command::Selftest(args) => selftest::main(&args).code().into(),
        Command::Serve(args) => serve::main(args),
    }
}

fn exits() -> String {
    let lines = EXITS.iter().map(|(_, code, meaning)| format!("  {code:>3}  {meaning}"));
    let lines: Vec<String> = lines.collect();
    format!("Exit codes:\n{}", lines.join("\n"))
}

/// Prints a result. A reader that has gone (`| head`) changes no verdict.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        tracing::debug!(%error, "standard output");
    }
}

/// Prints what the user should know beside the result.
fn tell(text: &str) {
    let mut out = std::io::stderr().lock();
    if let Err(error) = writeln!(out, "{text}") {
        tracing::debug!(%error, "standard error");
    }
}
