//! The same seed has the same clients do the same: seen in the logs of two runs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use harness::log::{Line, Note, Reader};
use harness::observe::{ClientId, RoomId, What};
use tempfile::TempDir;

use super::runs::{Call, Ran};

/// What each client did, by its name, in its order.
type Deeds = BTreeMap<String, Vec<String>>;

/// What was sent, as far as a run chooses it: names, rooms, texts, states, operations, and the times
/// of the schedule, counted from its first.
fn deeds(log: &Path) -> Deeds {
    let file = File::open(log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    let mut reader = Reader::new(BufReader::new(file)).expect("a log");
    let (names, mut rooms) = (reader.head().clients.clone(), Vec::new());
    let mut deeds: Deeds = names.iter().map(|name| (name.clone(), Vec::new())).collect();
    let mut first = None;
    while let Some(line) = reader.next_line().expect("a whole log") {
        let seen = match line {
            Line::Note(Note::Room(_, name)) => {
                rooms.push(name);
                continue;
            }
            Line::Seen(seen) => seen,
            Line::Note(_) => continue,
        };
        let name_of = |room: RoomId| rooms[room.0 as usize].clone();
        let deed = match &seen.what {
            What::Joining { room, since } => {
                format!("join {:?} {since}", room.map(name_of))
            }
            What::Leaving { room } => format!("leave {}", name_of(*room)),
            What::Sending { message, room, intended, .. } => {
                let first = *first.get_or_insert(intended.0);
                // The clock counts whole microseconds.
                let after_ms = (intended.0 - first + 500) / 1_000;
                format!("say {} in {} at {after_ms} ms", message.seq, name_of(*room))
            }
            What::PresenceSending { room, state } => {
                format!("presence {state} in {}", name_of(*room))
            }
            What::Storing { room, request, ops } => {
                format!("store {request} {ops} in {}", name_of(*room))
            }
            What::Closing { abrupt } => format!("close {abrupt}"),
            _ => continue,
        };
        let ClientId(client) = seen.client;
        deeds.get_mut(&names[client as usize]).expect("a client").push(deed);
    }
    deeds
}

const SCENARIO: &str = "\
scenario: busy
vars: { rooms: 3 }
clients:
  crowd: { clients: 9, name: user-$index-$run, vars: { room: room-$shard(rooms)-$run } }
  keeper: { vars: { room: room-0-$run } }
steps:
  - { as: crowd, open: {} }
  - { as: crowd, join: $room }
  - { as: keeper, each: [ { open: {} }, { join: $room } ] }
  - as: keeper
    presence: { patch: { run: $run } }
  - as: keeper
    store: { put: { $me: 1 } }
  - phase:
      name: talk
      for: 1s
      run:
        - { as: crowd, every: 100/s, say: { size: 96B } }
        - { as: keeper, every: 10/s, say: { text: \"hello $n\" } }
  - { as: crowd, drop: {} }
  - as: crowd
    reconnect: { after: 20ms, jitter: true, rejoin: true }
  - { settle: 10s }
";

fn busy(seed: &str) -> Ran {
    let ran = Call::own("busy.yaml", SCENARIO).args(&["--seed", seed]).end();
    assert!(ran.json["log"]["whole"] == true, "{ran}");
    ran
}

#[test]
fn a_run_is_repeated_by_its_seed_to_the_names() {
    let [one, same, other] = ["7", "7", "8"].map(busy);
    let [one, same, other] =
        [one, same, other].map(|ran| deeds(&ran.report.path().join("report/log.ndjson")));
    let said = one.values().flatten().filter(|deed| deed.starts_with("say")).count();
    assert_eq!(said, 110, "{one:#?}");
    assert_eq!(one, same);
    assert!(one.keys().all(|name| !other.contains_key(name)), "another seed has other names");
}

/// What a run has left on disk is another's: they must not meet.
#[test]
fn a_run_whose_server_keeps_its_data_meets_nobody_of_an_earlier_one() {
    let data = tempfile::tempdir().expect("a directory");
    let data = format!("--server-args=--data {}", data.path().display());
    let scenario = "scenario: kept\nclients: { alice: {} }\nsteps:\n  \
                    - { as: alice, each: [ { open: {} }, { join: room-$run } ] }\n";
    let [one, other] = [0; 2].map(|_| {
        let ran = Call::own("kept.yaml", scenario).args(&["--seed", "7", &data]).end();
        let again = ran.json["again"].as_str().unwrap_or_default();
        assert!(again.contains("--server-args '--data /"), "{again}");
        deeds(&ran.report.path().join("report/log.ndjson"))
    });
    assert!(one.keys().all(|name| !other.contains_key(name)), "{one:#?}\n{other:#?}");
}

const REQUIREMENTS: &str = "\
requirements: native
about: What nobody owes.
list:
  NAT-1: { level: MUST, text: What is never said is heard., source: this test }
";

/// A case that fails at any server.
fn case(slug: &str, rate: u32) -> String {
    format!(
        "scenario: {slug}\nabout: Some talk, and then nothing.\nrequires: [NAT-1]\n\
         vars: {{ room: {slug}-$run }}\nclients: {{ alice: {{}}, bob: {{}} }}\nsteps:\n  \
         - {{ as: alice, each: [ {{ open: {{}} }}, {{ join: $room }} ] }}\n  \
         - {{ as: bob, each: [ {{ open: {{}} }}, {{ join: $room }} ] }}\n  \
         - phase:\n      name: talk\n      for: 1s\n      run:\n        \
         - {{ as: alice, every: {rate}/s, say: {{ text: \"number $n of $run\" }} }}\n        \
         - {{ as: bob, every: 7/s, say: {{ size: 200B }} }}\n  \
         - {{ as: bob, expect: {{ frame: {{ type: silence }} }}, within: 300ms }}\n"
    )
}

fn suite() -> TempDir {
    let suite = tempfile::tempdir().expect("a directory");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let read = |path: &str| std::fs::read_to_string(shipped.join(path)).expect("shipped");
    for (path, text) in [
        ("requirements/native.yaml", REQUIREMENTS.to_owned()),
        ("dialects/native.yaml", read("dialects/native.yaml")),
        ("conformance/common/sanity.yaml", read("conformance/common/sanity.yaml")),
        ("conformance/native/talk/slow.yaml", case("slow", 5)),
        ("conformance/native/talk/quick.yaml", case("quick", 40)),
        ("conformance/native/talk/quicker.yaml", case("quicker", 60)),
    ] {
        let path = suite.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("written");
    }
    suite
}

fn conform(suite: &TempDir, args: &[&str]) -> Ran {
    let call = Call::new(&["conform", "--seed", "7"]);
    let report = call.report_path();
    let suite = suite.path().to_str().expect("UTF-8");
    call.args(&["--report", report.to_str().expect("UTF-8"), "--suite", suite]).args(args).end()
}

#[test]
fn a_case_is_repeated_by_its_seed_whatever_runs_beside_it() {
    let suite = suite();
    let beside = conform(&suite, &["--jobs", "3"]);
    assert_eq!(beside.code, Some(1), "{beside}");
    let alone = conform(&suite, &["--only", "native/talk/quick"]);
    assert_eq!(alone.code, Some(1), "{alone}");
    let log = |ran: &Ran| ran.report.path().join("report/logs/native.talk.quick.ndjson");
    let (one, same) = (deeds(&log(&beside)), deeds(&log(&alone)));
    let said = one.values().flatten().filter(|deed| deed.starts_with("say")).count();
    assert_eq!(said, 47, "{one:#?}");
    assert_eq!(one, same);
    // Two cases that run side by side are two different crowds.
    let other = deeds(&beside.report.path().join("report/logs/native.talk.slow.ndjson"));
    assert!(one.keys().all(|name| !other.contains_key(name)), "{other:#?}");
    assert_logs_are_judged_again(&beside);
}

/// Each log by itself, and all of them.
fn assert_logs_are_judged_again(ran: &Ran) {
    let directory = ran.report.path().join("report");
    let results = std::fs::read_to_string(directory.join("results.json")).expect("results");
    for name in ["slow", "quick", "quicker"] {
        let log = format!("logs/native.talk.{name}.ndjson");
        assert!(results.contains(&format!("\"log\": \"{log}\"")), "{results}");
        let one = directory.join(log);
        let rechecked = Call::new(&["report", one.to_str().expect("UTF-8"), "--recheck"]).end();
        assert_eq!(rechecked.code, Some(0), "{rechecked}");
    }
    let all = Call::new(&["report", directory.to_str().expect("UTF-8"), "--recheck"]).end();
    assert_eq!(all.code, Some(0), "{all}");
    assert_eq!(all.out.matches("recheck: the same  findings: 1").count(), 3, "{all}");
}
