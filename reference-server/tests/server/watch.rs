//! `--watch`: changes of real files, as they are told on `files`.

#![expect(clippy::indexing_slicing, reason = "a test may fail by a panic")]

use std::{fs, path::Path};

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

#[test]
fn a_file_is_told_when_it_comes_changes_and_goes() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("old.txt"), "old").expect("written");
    let server = watching(dir.path());
    let mut client = subscriber(&server);
    // Each is told before the next is done: the file that was there before is not news.
    let new = dir.path().join("new.txt");
    fs::write(&new, "one").expect("written");
    assert_eq!(told(&mut client), change("new.txt", "add"));
    fs::write(&new, "two").expect("written");
    assert_eq!(told(&mut client), change("new.txt", "change"));
    fs::write(dir.path().join("old.txt"), "other").expect("written");
    assert_eq!(told(&mut client), change("old.txt", "change"));
    fs::remove_file(&new).expect("removed");
    assert_eq!(told(&mut client), change("new.txt", "delete"));
    assert_eq!(server.metric(r#"tidemark_published_total{source="files"}"#), Some(4));
}

#[test]
fn directories_are_watched_as_deep_as_they_go_and_as_soon_as_they_come() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = watching(dir.path());
    let mut client = subscriber(&server);
    // Made and filled at once, faster than a watch can be put on each of them.
    fs::create_dir_all(dir.path().join("a/b/c")).expect("made");
    fs::write(dir.path().join("a/b/c/deep.txt"), "x").expect("written");
    assert_eq!(told(&mut client), change("a/b/c/deep.txt", "add"));
    fs::write(dir.path().join("a/b/late.txt"), "x").expect("written");
    assert_eq!(told(&mut client), change("a/b/late.txt", "add"));
    fs::rename(dir.path().join("a"), dir.path().join("z")).expect("moved");
    let mut moved: Vec<_> = (0..4).map(|_| told(&mut client)).collect();
    moved.sort();
    let expected = [
        change("a/b/c/deep.txt", "delete"),
        change("a/b/late.txt", "delete"),
        change("z/b/c/deep.txt", "add"),
        change("z/b/late.txt", "add"),
    ];
    assert_eq!(moved, expected);
    fs::remove_dir_all(dir.path().join("z")).expect("removed");
    let mut gone: Vec<_> = (0..2).map(|_| told(&mut client)).collect();
    gone.sort();
    assert_eq!(gone, [change("z/b/c/deep.txt", "delete"), change("z/b/late.txt", "delete")]);
}

#[test]
fn many_files_at_once_are_each_told_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = watching(dir.path());
    let mut client = subscriber(&server);
    for number in 0..300 {
        fs::write(dir.path().join(format!("{number:03}")), "x").expect("written");
    }
    let mut files: Vec<_> = (0..300).map(|_| told(&mut client).0).collect();
    files.sort();
    let expected: Vec<_> = (0..300).map(|number| format!("{number:03}")).collect();
    assert_eq!(files, expected);
}

#[test]
fn a_server_that_watched_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = watching(dir.path());
    server.shutdown.now();
    server.ended().expect("a clean end");
}
