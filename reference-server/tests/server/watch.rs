//! `--watch`: changes of real files, as they are told on `files`.

#![expect(clippy::indexing_slicing, reason = "a test may fail by a panic")]

use std::{collections::BTreeSet, fs, path::Path};

use reference_server::Config;
use serde_json::json;

use crate::common::{Client, Server};

fn watching(dir: &Path) -> Server {
    Server::start(Config { watch: Some(dir.to_owned()), ..Config::default() })
}

fn subscriber(server: &Server) -> Client {
    let mut client = server.client("/ws/events");
    client.json();
    client.say(&json!({"type": "subscribe", "channel": "files"}));
    assert_eq!(client.json()["status"], "subscribed");
    client
}

/// The next change that is told.
fn told(client: &mut Client) -> (String, String) {
    let event = client.json();
    assert_eq!((&event["type"], &event["channel"]), (&json!("event"), &json!("files")));
    let data = &event["data"];
    assert!(data["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{event}");
    let text = |field: &str| data[field].as_str().expect("a text").to_owned();
    (text("file"), text("event"))
}

fn change(file: &str, event: &str) -> (String, String) {
    (file.to_owned(), event.to_owned())
}

/// Reads on until all of these have been told, in any order. A file that was written in pieces far
/// apart, as on a busy machine, may have changed again since: `before` was told last.
fn expect(client: &mut Client, before: &[&str], expected: &[(&str, &str)]) {
    let mut missing: BTreeSet<_> =
        expected.iter().map(|(file, event)| change(file, event)).collect();
    let mut old: BTreeSet<String> = before.iter().map(|file| (*file).to_owned()).collect();
    while !missing.is_empty() {
        let told = told(client);
        let again = told.1 == "change" && old.contains(&told.0);
        assert!(missing.remove(&told) || again, "{told:?}, still missing {missing:?}");
        old.insert(told.0);
    }
}

#[test]
fn a_file_is_told_when_it_comes_changes_and_goes() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("old.txt"), "old").expect("written");
    let server = watching(dir.path());
    let mut client = subscriber(&server);
    // Each is told before the next is done: the file that was there before is not news.
    let new = dir.path().join("new.txt");
    fs::write(&new, "one").expect("written");
    expect(&mut client, &[], &[("new.txt", "add")]);
    fs::write(&new, "two").expect("written");
    expect(&mut client, &["new.txt"], &[("new.txt", "change")]);
    fs::write(dir.path().join("old.txt"), "other").expect("written");
    expect(&mut client, &["new.txt"], &[("old.txt", "change")]);
    fs::remove_file(&new).expect("removed");
    expect(&mut client, &["new.txt", "old.txt"], &[("new.txt", "delete")]);
    let published = server.metric(r#"tidemark_published_total{source="files"}"#);
    assert!(published.is_some_and(|count| count >= 4), "{published:?}");
}

#[test]
fn directories_are_watched_as_deep_as_they_go_and_as_soon_as_they_come() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = watching(dir.path());
    let mut client = subscriber(&server);
    // Made and filled at once, faster than a watch can be put on each of them.
    fs::create_dir_all(dir.path().join("a/b/c")).expect("made");
    fs::write(dir.path().join("a/b/c/deep.txt"), "x").expect("written");
    expect(&mut client, &[], &[("a/b/c/deep.txt", "add")]);
    fs::write(dir.path().join("a/b/late.txt"), "x").expect("written");
    expect(&mut client, &["a/b/c/deep.txt"], &[("a/b/late.txt", "add")]);
    fs::rename(dir.path().join("a"), dir.path().join("z")).expect("moved");
    let moved = [
        ("a/b/c/deep.txt", "delete"),
        ("a/b/late.txt", "delete"),
        ("z/b/c/deep.txt", "add"),
        ("z/b/late.txt", "add"),
    ];
    expect(&mut client, &["a/b/late.txt"], &moved);
    fs::remove_dir_all(dir.path().join("z")).expect("removed");
    expect(&mut client, &[], &[("z/b/c/deep.txt", "delete"), ("z/b/late.txt", "delete")]);
}

#[test]
fn many_files_at_once_are_each_told_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = watching(dir.path());
    let mut client = subscriber(&server);
    let names: Vec<_> = (0..300).map(|number| format!("{number:03}")).collect();
    for name in &names {
        fs::write(dir.path().join(name), "x").expect("written");
    }
    let added: Vec<_> = names.iter().map(|name| (name.as_str(), "add")).collect();
    expect(&mut client, &[], &added);
}

#[test]
fn a_server_that_watched_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = watching(dir.path());
    server.shutdown.now();
    server.ended().expect("a clean end");
}
