//! Servers that are not ours, in other languages, under `harness conform`; and docs/DIALECTS.md, whose
//! commands are run as they stand there, against a server of a protocol that the harness does not know.

#[path = "interop/guide.rs"]
mod guide;
#[path = "interop/server.rs"]
mod server;

use std::process::Output;

use server::{Foreign, harness};

/// What `harness conform` says of this server, judged by its profile, in these cases.
fn judged(profile: &str, foreign: &Foreign, only: &str) -> Output {
    let target = format!("{profile}={}", foreign.url);
    let report = tempfile::tempdir().expect("a temporary directory");
    let mut command = harness();
    // Not too much at once: these servers do one thing at a time, and a case counts on being heard.
    command.args(["conform", "--target", &target, "--jobs", "4", "--quiet", "--report"]);
    command.arg(report.path()).args(["--only", only]);
    command.output().expect("the harness runs")
}

/// Starts the server and has it judged; where it cannot be started, that is told.
fn passes(profile: &str, program: &str, args: &[&str]) {
    let Some(foreign) = Foreign::start(program, args) else { return };
    let ran = judged(profile, &foreign, "**");
    assert_eq!(ran.status.code(), Some(0), "{}", server::said(&ran));
    foreign.ends_well();
}

#[test]
fn events_on_node() {
    passes("events-node", "events.mjs", &["--publish", "--heartbeat", "500ms/500ms"]);
}

#[test]
fn rooms_on_node() {
    passes("rooms-node", "rooms.mjs", &["--heartbeat", "500ms/1500ms"]);
}

#[test]
fn chat_in_python() {
    passes("chat-python", "chat.py", &["--heartbeat", "500ms/1500ms"]);
}

#[test]
fn native_in_python() {
    passes("native-python", "native.py", &["--heartbeat", "500ms/1500ms"]);
}

#[test]
fn each_holds_its_own_short_conversation() {
    let Some(ran) = server::smoke() else { return };
    assert!(ran.status.success(), "{}", server::said(&ran));
}

/// A server that is no good is no longer passed: the suite bites here, too.
#[test]
fn a_profile_that_promises_too_much_fails() {
    let args = ["--publish", "--heartbeat", "2s/2s"];
    let Some(foreign) = Foreign::start("events.mjs", &args) else { return };
    let ran = judged("events-node", &foreign, "events/heartbeat/*");
    assert_eq!(ran.status.code(), Some(1), "{}", server::said(&ran));
}
