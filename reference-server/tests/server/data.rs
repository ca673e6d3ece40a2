//! `--data`: what was answered is there again, whatever became of the process.

#![expect(clippy::indexing_slicing, reason = "a test may fail by a panic")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use reference_server::{Config, Data};
use serde_json::{Value, json};

use crate::{
    common::{Client, PING, Server, masked, until},
    program::{Serving, fails},
};

fn join(client: &mut Client, room: &str) -> Value {
    client.say(&json!({"type": "join", "room": room}));
    client.until("joined")
}

/// Stores, and gives the version that the answer tells.
fn store(client: &mut Client, room: &str, key: &str, value: &str) -> u64 {
    let key = json!(key);
    client.text(&format!(
        r#"{{"type":"store","room":"{room}","id":1,"ops":[{{"put":{{"key":{key},"value":{value}}}}}]}}"#
    ));
    client.until("ok")["version"].as_u64().expect("a version")
}

fn insert(client: &mut Client, key: &str, value: &str) -> u64 {
    let key = json!(key);
    client.text(&format!(r#"{{"UpdateStorage":{{"Insert":{{"key":{key},"value":{value}}}}}}}"#));
    client.until_tagged("StorageUpdated")["version"].as_u64().expect("a version")
}

/// Joins a room of `rooms` that has storage: its version, and its entries.
fn snapshot(client: &mut Client, room: &str) -> (u64, BTreeMap<String, Value>) {
    client.say(&json!({"JoinRoom": room}));
    client.until_tagged("RoomJoined");
    let snapshot = client.until_tagged("StorageUpdated");
    let inserted = snapshot["operations"].as_array().expect("operations").iter().map(|operation| {
        let Value::Object(insert) = operation["Insert"].clone() else {
            panic!("not only Inserts: {operation}")
        };
        (insert["key"].as_str().expect("a key").to_owned(), insert["value"].clone())
    });
    (snapshot["version"].as_u64().expect("a version"), inserted.collect())
}

fn dir_arg(dir: &tempfile::TempDir) -> &str {
    dir.path().to_str().expect("UTF-8")
}

#[test]
fn all_that_was_answered_is_there_after_a_kill() {
    let dir = tempfile::tempdir().expect("a directory");
    let args = ["--data", dir_arg(&dir), "--requests-per-s", "0"];
    let mut answered = (0, 0);
    for round in 1..=3 {
        let serving = Serving::start(&args);
        let mut native = serving.client("/ws");
        let joined = join(&mut native, "r");
        assert_eq!(joined["storage"]["version"], answered.0);
        assert_eq!(joined["seq"], 0, "another life of the room");
        let entries = joined["storage"]["entries"].as_object().expect("entries");
        assert_eq!(entries.len() as u64, answered.0);
        let mut rooms = serving.client("/ws/rooms");
        if round == 1 {
            rooms.say(&json!({"JoinRoom": "r"}));
            rooms.until_tagged("RoomJoined");
        } else {
            let (version, entries) = snapshot(&mut rooms, "r");
            assert_eq!((version, entries.len() as u64), (answered.1, answered.1));
            assert_eq!(entries["k-1-7"], json!({"round": 1, "number": 7}));
        }
        for number in 0..50 {
            let (key, value) = (
                format!("k-{round}-{number}"),
                json!({"round": round, "number": number}).to_string(),
            );
            answered.0 = store(&mut native, "r", &key, &value);
            answered.1 = insert(&mut rooms, &key, &value);
        }
        // While both are connected, and in the middle of more.
        native.raw(b"\x81");
        serving.kill();
    }
    assert_eq!(answered, (150, 150));
}

#[test]
fn a_kill_in_the_middle_of_a_storm_takes_nothing_back_that_was_answered() {
    let dir = tempfile::tempdir().expect("a directory");
    // The whole storm has room: nobody is cut because its thread got no processor.
    let args = ["--data", dir_arg(&dir), "--requests-per-s", "0", "--queue-bytes", "67108864"];
    let serving = Serving::start(&args);
    let rooms = ["one", "two", "three"];
    let answers = rooms.map(|_| Arc::new(AtomicU64::new(0)));
    let mut counters = answers.iter();
    let writers = rooms.map(|room| {
        let mut client = serving.client("/ws");
        join(&mut client, room);
        let answers = counters.next().expect("one for each room").clone();
        thread::spawn(move || {
            let mut writing = Client::over(client.stream.try_clone().expect("a descriptor"));
            let storm = thread::spawn(move || {
                for number in 0..100_000 {
                    let op = json!({"put": {"key": number.to_string(), "value": number}});
                    let request = json!({"type": "store", "room": room, "id": number, "ops": [op]});
                    let frame = masked(0x81, request.to_string().as_bytes());
                    // Until the server is gone.
                    if writing.stream.write_all(&frame).is_err() {
                        break;
                    }
                }
            });
            let mut answered = 0;
            while let Some(frame) = client.last_frame() {
                if frame.opcode == PING {
                    continue;
                }
                let message: Value = serde_json::from_slice(&frame.payload).expect("JSON");
                if message["type"] == "ok" {
                    answered = message["version"].as_u64().expect("a version");
                    answers.store(answered, Ordering::Relaxed);
                }
            }
            storm.join().expect("no panic");
            answered
        })
    });
    until("three hundred writes are answered in each room", || {
        answers.iter().all(|answers| answers.load(Ordering::Relaxed) >= 300)
    });
    serving.kill();
    let answered = writers.map(|writer| writer.join().expect("no panic"));

    let serving = Serving::start(&args);
    let mut client = serving.client("/ws");
    for (room, answered) in rooms.into_iter().zip(answered) {
        let joined = join(&mut client, room);
        let version = joined["storage"]["version"].as_u64().expect("a version");
        assert!(version >= answered && answered > 0, "{room}: {version}, {answered} answered");
        // Each version has one more key: all are there, up to the last one, and none beyond.
        let entries = joined["storage"]["entries"].as_object().expect("entries");
        assert_eq!(entries.len() as u64, version);
        assert!((0..version).all(|number| entries[&number.to_string()] == number));
    }
}

#[test]
fn values_come_back_as_the_text_that_they_were() {
    let dir = tempfile::tempdir().expect("a directory");
    let values = ["12345678901234567890123456789", "1e2", "{ \"a\" : [ 1.50 ] }", "\"\\u00e9\""];
    let serving = Serving::start(&["--data", dir_arg(&dir)]);
    let mut client = serving.client("/ws");
    join(&mut client, "r");
    for (value, key) in values.iter().zip(["a", "b", "c", "d"]) {
        store(&mut client, "r", key, value);
    }
    serving.kill();
    let serving = Serving::start(&["--data", dir_arg(&dir)]);
    let mut client = serving.client("/ws");
    client.json();
    client.say(&json!({"type": "join", "room": "r"}));
    let joined = client.frame().expect("joined");
    for value in values {
        assert!(joined.text().contains(value), "{value} in {}", joined.text());
    }
}

/// Leaves a room that has nobody else in it, and waits for its end.
fn leave(client: &mut Client, server: &Server, room: &str) {
    client.say(&json!({"type": "leave", "room": room}));
    client.until("left");
    server.until_metric("tidemark_rooms", 0);
}

/// A server in this process that forgets rooms as soon as they are empty.
fn forgetful(dir: &Path, max_rooms: usize) -> Server {
    let data = Some(Data::open(dir).expect("a store"));
    let mut config = Config { data, max_rooms, ..Config::default() };
    config.limits.history_window = Duration::ZERO;
    Server::start(config)
}

#[test]
fn storage_outlives_an_empty_room_and_a_deleted_key_stays_deleted() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = forgetful(dir.path(), Config::default().max_rooms);
    let mut native = server.native();
    join(&mut native, "r");
    store(&mut native, "r", "keep", "1");
    store(&mut native, "r", "drop", "2");
    native.say(&json!({"type": "store", "room": "r", "ops": [{"delete": {"key": "drop"}}]}));
    native.until("stored");
    native.say(&json!({"type": "leave", "room": "r"}));
    native.until("left");
    let mut rooms = server.client("/ws/rooms/r");
    rooms.until_tagged("RoomJoined");
    insert(&mut rooms, "other", "true");
    rooms.text(r#""LeaveRoom""#);
    rooms.until_tagged("RoomLeft");
    server.until_metric("tidemark_rooms", 0);
    let again = join(&mut native, "r");
    assert_eq!(again["storage"], json!({"version": 3, "entries": {"keep": 1}}));
    // The dialects' rooms of one name have nothing to do with each other.
    let (version, entries) = snapshot(&mut rooms, "r");
    assert_eq!((version, entries), (1, BTreeMap::from([("other".to_owned(), json!(true))])));
}

#[test]
fn a_room_with_a_code_is_not_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = forgetful(dir.path(), 1);
    let mut client = server.native();
    client.say(&json!({"type": "create"}));
    let room = client.until("joined")["room"].as_str().expect("a room").to_owned();
    assert_eq!(store(&mut client, &room, "k", "1"), 1);
    leave(&mut client, &server, &room);
    // It has left the one place there is on disk.
    join(&mut client, "named");
    assert_eq!(store(&mut client, "named", "k", "1"), 1);
}

#[test]
fn without_the_option_storage_dies_with_its_room() {
    let mut config = Config::default();
    config.limits.history_window = Duration::ZERO;
    let server = Server::start(config);
    let mut native = server.native();
    join(&mut native, "r");
    store(&mut native, "r", "k", "1");
    leave(&mut native, &server, "r");
    assert_eq!(join(&mut native, "r")["storage"], json!({"version": 0, "entries": {}}));
}

#[test]
fn a_change_that_cannot_be_kept_is_refused_and_told_to_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = forgetful(dir.path(), 1);
    let mut client = server.native();
    join(&mut client, "one");
    store(&mut client, "one", "k", "1");
    leave(&mut client, &server, "one");
    // One room has something on disk, and no more may.
    join(&mut client, "two");
    client.say(&json!({"type": "store", "room": "two", "id": 1,
                       "ops": [{"put": {"key": "k", "value": 1}}]}));
    let refused = client.json();
    assert_eq!((&refused["type"], &refused["re"]), (&json!("error"), &json!(1)));
    client.say(&json!({"type": "chat", "room": "two", "text": "next"}));
    assert_eq!(client.until("chat")["seq"], 1, "nothing came before it");
    leave(&mut client, &server, "two");
    assert_eq!(join(&mut client, "two")["storage"], json!({"version": 0, "entries": {}}));
    leave(&mut client, &server, "two");
    assert_eq!(join(&mut client, "one")["storage"], json!({"version": 1, "entries": {"k": 1}}));
    assert_eq!(server.metric("tidemark_not_kept_total"), Some(1));
}

#[test]
fn a_directory_that_cannot_be_used_is_told_in_one_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let serving = Serving::start(&["--data", dir_arg(&dir)]);
    fails(&["--listen", "127.0.0.1:0", "--data", dir_arg(&dir)], 3, "another process has it open");
    serving.signal("-TERM");
    assert_eq!(serving.exit_code(), Some(0));

    let file = dir.path().join("file");
    fs::write(&file, "").expect("written");
    fails(&["--data", file.to_str().expect("UTF-8")], 2, "not a directory");

    for entry in fs::read_dir(dir.path().join("storage")).expect("the store").flatten() {
        if entry.path().is_file() {
            fs::write(entry.path(), "this is no store").expect("written");
        }
    }
    fails(&["--listen", "127.0.0.1:0", "--data", dir_arg(&dir)], 3, "damaged");
}
