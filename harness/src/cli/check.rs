//! placeholder
use crate::verdict::Exit;
#[derive(Debug, clap::Args)]
pub(super) struct Args { paths: Vec<String> }
pub(super) fn main(_args: &Args) -> Exit { Exit::Passed }
