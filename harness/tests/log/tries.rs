//! Logs of runs: whole, interrupted, killed, on a disk that is full, of cases; and `harness report`.

use std::fs::File;
use std::path::Path;

use harness::check::{End, Profile};
use harness::log::{Last, Recorder};
use harness::observe::{ClientId, Observation, Time, What};
use nix::sys::signal::Signal;

use super::faults;
use super::kept::head;
use super::proxy::{Fault, Proxy};
use super::runs::{Call, Ran, Server, until};
use super::world::plan;

/// `harness report` on a run's report.
fn report(ran: &Ran, args: &[&str]) -> Ran {
    let directory = ran.report.path().join("report");
    Call::new(&["report", directory.to_str().expect("UTF-8")]).args(args).end()
}

fn broadcast() -> Call {
    Call::shortened("broadcast").args(&["--clients", "crowd=20", "--var", "rooms=2"])
}

#[test]
fn a_good_run_is_judged_again_as_it_was_and_shown_again() {
    let ran = broadcast().end();
    ran.assert_no_findings();
    assert_eq!(ran.json["log"]["whole"], true, "{ran}");
    let rechecked = report(&ran, &["--recheck"]);
    assert_eq!(rechecked.code, Some(0), "{rechecked}");
    assert!(rechecked.out.contains("recheck: the same  findings: 0  log: "), "{rechecked}");
    let shown = report(&ran, &[]);
    assert_eq!(shown.code, Some(0), "{shown}");
    assert!(!shown.out.is_empty() && ran.out.starts_with(&shown.out), "{shown}");
}

/// A run through a proxy with a fault: the checks find it, and find it again in the log.
fn assert_found_again(fault: impl Fn() -> Fault, class: &str) {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.address, fault());
    let call = Call::in_vain("broadcast").args(&["--clients", "crowd=20", "--var", "rooms=2"]);
    let ran = call.args(&["--target", &proxy.url()]).end();
    assert!(ran.found().iter().any(|(_, found, _)| *found == class), "{ran}");
    let rechecked = report(&ran, &["--recheck"]);
    assert_eq!(rechecked.code, Some(0), "{rechecked}");
    let count = format!("findings: {}  log", ran.count("/findings"));
    assert!(rechecked.out.contains(&count), "{rechecked}");
    assert_is_told_when_the_report_says_otherwise(&ran);
}

fn assert_is_told_when_the_report_says_otherwise(ran: &Ran) {
    let path = ran.report.path().join("report/run.json");
    let mut json = ran.json.clone();
    json["checks"][0]["facts"] = 1.into();
    std::fs::write(&path, json.to_string()).expect("written");
    let rechecked = report(ran, &["--recheck"]);
    assert_eq!(rechecked.code, Some(1), "{rechecked}");
    assert!(rechecked.out.contains("delivery: then "), "{rechecked}");
    assert!(rechecked.out.contains("recheck: different"), "{rechecked}");
    json["seed"] = 1_234_567.into();
    std::fs::write(&path, json.to_string()).expect("written");
    let rechecked = report(ran, &["--recheck"]);
    assert_eq!(rechecked.code, Some(2), "{rechecked}");
    assert!(rechecked.err.contains("the report of another run"), "{rechecked}");
}

#[test]
fn what_was_lost_is_lost_in_the_log() {
    assert_found_again(|| faults::drop_each("chat", 50), "loss");
}

#[test]
fn what_came_twice_comes_twice_in_the_log() {
    assert_found_again(|| faults::double_each("chat", 50), "duplicate");
}

#[test]
fn what_was_corrupt_is_corrupt_in_the_log() {
    assert_found_again(|| faults::corrupt_each(50), "corrupt");
}

#[test]
fn beyond_its_size_the_log_says_that_it_is_not_whole() {
    let ran = broadcast().args(&["--log-bytes", "20KiB"]).end();
    ran.assert_no_findings();
    assert_eq!(ran.json["log"]["whole"], false, "{ran}");
    assert!(ran.out.contains("log         not whole: it is kept whole up to 20480 bytes"), "{ran}");
    let rechecked = report(&ran, &["--recheck"]);
    assert_eq!(rechecked.code, Some(4), "{rechecked}");
    assert!(rechecked.out.contains("recheck: not certain"), "{rechecked}");
    assert!(rechecked.out.contains("are judged as they were"), "{rechecked}");
}

#[test]
fn without_a_log_there_is_nothing_to_judge() {
    let call = broadcast();
    let stale = call.report_path();
    std::fs::create_dir_all(&stale).expect("a directory");
    std::fs::write(stale.join("log.ndjson"), "of an earlier run\n").expect("written");
    let ran = call.args(&["--log-bytes", "0"]).end();
    ran.assert_no_findings();
    assert!(ran.json["log"].is_null(), "{ran}");
    assert_eq!(names_in(&stale).iter().filter(|name| name.contains("log.nd")).count(), 0);
    let rechecked = report(&ran, &["--recheck"]);
    assert_eq!(rechecked.code, Some(2), "{rechecked}");
    assert!(rechecked.err.contains("there is no log"), "{rechecked}");
    for odd in ["64MB", "-1", "2TiB"] {
        let refused = broadcast().args(&[&format!("--log-bytes={odd}")]).end();
        assert_eq!(refused.code, Some(2), "{refused}");
        assert!(refused.err.contains("64MiB or 2GiB"), "{refused}");
    }
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A run that would go on for a minute.
fn long() -> Call {
    Call::run("broadcast").args(&["--clients", "crowd=20", "--var", "rooms=2"])
}

fn flows(server: &Server) {
    until("messages flow", || server.metric("tidemark_messages_total") > 50);
}

#[test]
fn the_log_of_an_interrupted_run_has_all_that_was_seen_until_then() {
    let server = Server::start(&[]);
    let running = long().args(&["--target", &server.url()]).start();
    flows(&server);
    running.signal(Signal::SIGINT);
    let ran = running.end();
    assert_eq!(ran.code, Some(130), "{ran}");
    assert_eq!(ran.json["log"]["whole"], true, "{ran}");
    let rechecked = report(&ran, &["--recheck"]);
    assert_eq!(rechecked.code, Some(0), "{rechecked}");
}

#[test]
fn a_run_that_is_killed_leaves_what_was_written_until_then() {
    let server = Server::start(&[]);
    let call = long().args(&["--target", &server.url()]);
    let directory = call.report_path();
    let running = call.start();
    flows(&server);
    let left = || {
        let left = names_in(&directory).into_iter().find(|name| name.starts_with(".log.ndjson."));
        directory.join(left.expect("the log so far"))
    };
    until("the log grows", || std::fs::metadata(left()).is_ok_and(|it| it.len() > 8_000));
    running.signal(Signal::SIGKILL);
    let ran = running.end();
    assert_eq!(ran.code, None, "{ran}");
    let left = left();
    let rechecked = Call::new(&["report", left.to_str().expect("UTF-8"), "--recheck"]).end();
    assert_eq!(rechecked.code, Some(4), "{rechecked}");
    assert!(rechecked.out.contains("the log ends before the run did"), "{rechecked}");
}

/// A file may grow to 64 KiB, and no further: as on a disk that is full.
#[test]
fn a_disk_that_takes_no_more_changes_no_verdict() {
    let ran = broadcast().under_shell("trap '' XFSZ; ulimit -f 128").end();
    ran.assert_no_findings();
    assert_ne!(ran.code, Some(5), "{ran}");
    assert_eq!(ran.json["log"]["whole"], false, "{ran}");
    assert!(ran.out.contains("not whole: the log ends early: File too large"), "{ran}");
    let rechecked = report(&ran, &["--recheck"]);
    assert_eq!(rechecked.code, Some(4), "{rechecked}");
}

#[test]
fn a_full_device_is_told_of_in_the_end() {
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    let head = head(&plan(), Profile::default(), 1);
    let mut recorder = Recorder::start(full, 1 << 20, &head).expect("a thread");
    for at in 0..10_000 {
        recorder.seen(Observation { at: Time(at), client: ClientId(0), what: What::Spoke });
    }
    let last = Last { end: End::default(), met: 0, hidden: 0, checks: Vec::new() };
    let kept = recorder.end(last);
    assert!(kept.why.expect("it is not whole").contains("No space left"));
    assert_eq!((kept.bytes, kept.observations), (0, 10_000));
}

#[test]
fn no_secret_stands_in_a_log() {
    const SECRET: &str = "hunter2-hunter2";
    let scenario = format!(
        "scenario: secretive\nvars: {{ token: {SECRET}, room: room-$run }}\n\
         clients: {{ alice: {{}}, bob: {{ name: bob-{SECRET} }} }}\nsteps:\n  \
         - {{ as: alice, each: [ {{ open: {{}} }}, {{ join: $room }} ] }}\n  \
         - {{ as: bob, each: [ {{ open: {{}} }}, {{ join: $room }} ] }}\n  \
         - {{ as: alice, presence: {{ patch: {{ shown: $token }} }} }}\n  \
         - {{ as: alice, store: {{ put: {{ k: $token }} }} }}\n  \
         - {{ as: alice, say: {{ text: $token }} }}\n  - {{ settle: 5s }}\n"
    );
    let var = format!("token={SECRET}");
    let ran = Call::own("secretive.yaml", &scenario).args(&["--var", &var]).end();
    assert_eq!(ran.code, Some(0), "{ran}");
    let log = std::fs::read_to_string(ran.report.path().join("report/log.ndjson")).expect("a log");
    assert!(!log.contains("hunter2") && log.contains("presence_sending"), "{log}");
    assert!(!ran.json.to_string().contains("hunter2"), "{ran}");
    let rechecked = report(&ran, &["--recheck"]);
    assert_eq!(rechecked.code, Some(0), "{rechecked}");
}
