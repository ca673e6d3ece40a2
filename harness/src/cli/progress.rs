//! One line on a terminal that says how a run stands.

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

use crate::drive::Live;

/// A longer line would not be one on most terminals.
const COLUMNS: usize = 76;

/// Shows the line, over the one before. Nothing where nobody watches: in CI, in a file, on a terminal
/// that cannot.
pub(super) fn show(quiet: bool, live: &Live) {
    if quiet || !watched() {
        return;
    }
    let Live { elapsed, connected, sent, deliveries, findings } = live;
    write(&format!(
        "\r\x1b[K  {:>4.0} s   clients {connected}   sent {sent}   delivered {} of {}   findings {findings}",
        elapsed.as_secs_f64(),
        deliveries.received,
        deliveries.owed,
    ));
}

/// Shows this line, over the one before, likewise.
pub(super) fn line(quiet: bool, text: &str) {
    if !quiet && watched() {
        let text: String = text.chars().take(COLUMNS).collect();
        write(&format!("\r\x1b[K  {text}"));
    }
}

/// Takes the line away.
pub(super) fn clear(quiet: bool) {
    if !quiet && watched() {
        write("\r\x1b[K");
    }
}

fn watched() -> bool {
    static WATCHED: OnceLock<bool> = OnceLock::new();
    *WATCHED.get_or_init(|| {
        let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        std::io::stderr().is_terminal() && !ci && !dumb
    })
}

fn write(text: &str) {
    let mut out = std::io::stderr().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        tracing::debug!(%error, "standard error");
    }
}
