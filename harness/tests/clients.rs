//! The clients that people use - pusher-js, laravel-echo, pysher, the HTTP SDKs - tell their stories at the
//! reference server: interop/clients.

#[path = "interop/server.rs"]
#[expect(dead_code, reason = "it starts servers that are not ours, too")]
mod server;

use std::process::Command;

use server::{Foreign, harness, prepared, root, said};

/// The crowd that one client of pusher-js is among; fewer where nothing is optimised.
const CROWD: &str = if cfg!(debug_assertions) { "500" } else { "5000" };

/// Runs a program in interop/clients, beside a server of its own.
fn tells(command: &mut Command) {
    let mut serve = harness();
    serve.args(["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--until-stdin-closes"]);
    let Some(server) = Foreign::begin(serve) else { return };
    let environment = [
        ("TARGET", server.url.as_str()),
        ("HARNESS", env!("CARGO_BIN_EXE_harness")),
        ("CROWD", CROWD),
    ];
    let ran = command.envs(environment).current_dir(root().join("interop/clients")).output();
    let ran = ran.expect("it was there a moment ago");
    assert!(ran.status.success(), "{}", said(&ran));
    server.ends_well();
}

/// The stories of one file.
fn node(file: &str) {
    assert!(root().join("interop/clients").join(file).is_file(), "{file}");
    tells(Command::new("node").args(["--test", "--test-force-exit", file]));
}

#[test]
fn a_backend_publishes_and_asks() {
    node("http.test.mjs");
}

#[test]
fn channels_of_every_kind() {
    node("channels.test.mjs");
}

#[test]
fn whom_a_close_lets_come_back() {
    node("closing.test.mjs");
}

#[test]
fn clients_come_and_are_sent_away() {
    node("connecting.test.mjs");
}

#[test]
fn one_among_a_crowd() {
    node("crowd.test.mjs");
}

#[test]
fn laravel_echo() {
    node("echo.test.mjs");
}

#[test]
fn who_is_there() {
    node("presence.test.mjs");
}

#[test]
fn after_a_kill_everything_is_as_it_was() {
    node("reconnecting.test.mjs");
}

#[test]
fn clients_talk() {
    node("talking.test.mjs");
}

#[test]
fn users_sign_in() {
    node("users.test.mjs");
}

#[test]
fn webhooks_are_told() {
    node("webhooks.test.mjs");
}

#[test]
fn in_python() {
    let Some(python) = prepared() else { return };
    // A link to another place is what a Python environment knows itself by: it is not followed.
    let python = std::path::absolute(python).expect("a path");
    tells(Command::new(python).arg("stories.py"));
}

/// Whatever lies there is told by one of the tests above.
#[test]
fn no_story_is_forgotten() {
    let here = include_str!("clients.rs");
    for entry in std::fs::read_dir(root().join("interop/clients")).expect("a directory") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        let is_story = name.ends_with(".test.mjs") || name == "stories.py";
        assert!(!is_story || here.contains(&format!("{name:?}")), "{name}");
    }
}
