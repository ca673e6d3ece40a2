//! What the command line says when something is wrong before the load begins.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use super::runs::{Call, Ran, Server};

/// A server that answers one request after the other with these bytes.
fn answers(bytes: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            // A client that says nothing gets the answer, too.
            drop(stream.read(&mut request));
            drop(stream.write_all(bytes.as_bytes()));
        }
    });
    address
}

fn against(bytes: &'static str) -> Ran {
    Call::run("join").args(&["--target", &format!("ws://{}", answers(bytes))]).end()
}

/// The run could not take place, and the words say why.
fn assert_no_run(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, Some(3), "{ran}");
    assert_says(ran, words);
}

fn assert_says(ran: &Ran, words: &[&str]) {
    for word in words {
        assert!(ran.err.contains(word), "`{word}` is not said: {ran}");
    }
    assert!(!ran.err.contains("panicked"), "{ran}");
}

#[test]
fn a_target_that_refuses_connections_is_named_with_the_cause() {
    let ran = Call::run("join").args(&["--target", "ws://127.0.0.1:1"]).end();
    assert_no_run(&ran, &["127.0.0.1:1", "refused"]);
}

#[test]
fn a_target_without_an_address_is_named_with_the_cause() {
    let ran = Call::run("join").args(&["--target", "ws://no-such-host.invalid:80"]).end();
    assert_no_run(&ran, &["no-such-host.invalid"]);
}

#[test]
fn a_forbidden_upgrade_shows_status_and_body() {
    let ran = against(
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 17\r\nConnection: close\r\n\r\nno entry for you!",
    );
    assert_no_run(&ran, &["403", "no entry for you!"]);
}

#[test]
fn a_wrong_version_shows_what_the_target_wants() {
    let ran = against(
        "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 12\r\nContent-Length: 0\r\n\r\n",
    );
    assert_no_run(&ran, &["426"]);
}

#[test]
fn an_answer_that_is_no_http_is_told() {
    assert_no_run(&against("SSH-2.0-OpenSSH_9.9\r\n"), &["no HTTP answer"]);
}

#[test]
fn a_target_that_hangs_up_is_told() {
    assert_no_run(&against(""), &["127.0.0.1"]);
}

#[test]
fn a_report_path_that_is_a_file_is_found_before_the_load() {
    let server = Server::start(&[]);
    let call = Call::new(&["run", "join", "--target", &server.url()]);
    let path = call.directory().join("file");
    std::fs::write(&path, "mine").expect("written");
    let path = path.to_str().expect("UTF-8").to_owned();
    let ran = call.args(&["--report", &path]).end();
    assert_eq!(ran.code, Some(5), "{ran}");
    assert_says(&ran, &[&path]);
    assert_eq!(std::fs::read_to_string(&path).expect("still there"), "mine");
    assert_eq!(server.metric("tidemark_connections_opened_total"), 0, "it was found too late");
}

/// A scenario with one mistake: exit code 2, and these words with the place.
fn assert_mistake(scenario: &str, words: &[&str]) {
    let call = Call::new(&["run", "mine.yaml"]);
    std::fs::write(call.directory().join("mine.yaml"), scenario).expect("written");
    let ran = call.end();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert_says(&ran, words);
}

#[test]
fn a_mistake_in_a_scenario_is_shown_at_its_place() {
    let head = "scenario: mine\nabout: One mistake.\nclients:\n  alice: {}\nsteps:\n";
    let with = |step: &str| format!("{head}{step}");
    assert_mistake(
        &with("  - as: alice\n    jion: lobby\n"),
        &["mine.yaml:7", "jion", "did you mean `join`"],
    );
    assert_mistake(
        &with("  - as: alcie\n    join: lobby\n"),
        &["mine.yaml:6", "alcie", "did you mean `alice`"],
    );
    assert_mistake(
        &with("  - as: alice\n    open: {}\n    within: 5 parsecs\n"),
        &["mine.yaml:8", "5 parsecs", "duration"],
    );
    assert_mistake(
        &with("  - as: alice\n    open: {}\nthresholds:\n  deliver.latncy: { p99: <50ms }\n"),
        &["mine.yaml:9", "deliver.latncy", "did you mean `deliver.latency`"],
    );
    assert_mistake(&with("  - as: alice\n\topen: {}\n"), &["mine.yaml:7"]);
    assert_mistake(&with("  - as: alice\n    join: $nowhere\n"), &["mine.yaml:7", "nowhere"]);
}

#[test]
fn a_mistake_on_the_command_line_is_a_usage_error() {
    let cases: [(&[&str], &[&str]); 6] = [
        (&["run", "no-such-scenario"], &["no-such-scenario"]),
        (&["run", "brodcast"], &["broadcast"]),
        (&["run", "join", "--clients", "nobody=3"], &["nobody"]),
        (&["run", "join", "--dialect", "no-such-dialect"], &["no-such-dialect"]),
        (&["run", "join", "--target", "no url"], &["no url"]),
        (&["run"], &["Usage"]),
    ];
    for (args, words) in cases {
        let ran = Call::new(args).end();
        assert_eq!(ran.code, Some(2), "{args:?}: {ran}");
        assert_says(&ran, words);
    }
}

#[test]
fn check_finds_every_shipped_file_right_and_a_wrong_one_wrong() {
    let ran = Call::new(&["check"]).end();
    assert_eq!(ran.code, Some(0), "{ran}");
    let call = Call::new(&["check", "mine.yaml"]);
    let text = "scenario: mine\nclients: { a: {} }\nsteps:\n  - as: a\n    opne: {}\n";
    std::fs::write(call.directory().join("mine.yaml"), text).expect("written");
    let ran = call.end();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(format!("{}{}", ran.out, ran.err).contains("did you mean `open`"), "{ran}");
}

#[test]
fn a_reader_that_has_gone_changes_no_exit_code() {
    let good = Call::run("join").start_without_reader().end();
    assert_eq!(good.code, Some(0), "{good}");
    assert_eq!(good.json["verdict"], "passed", "{good}");
    let help = Call::new(&["--help"]).start_without_reader().end();
    assert!(!help.err.contains("panicked"), "{help}");
}

#[test]
fn no_colour_is_written_where_none_is_wanted() {
    let ran = Call::run("join").env("CLICOLOR_FORCE", "0").end();
    assert_eq!(ran.code, Some(0), "{ran}");
    for text in [&ran.out, &ran.err] {
        assert!(!text.contains('\u{1b}'), "an escape sequence: {text:?}");
    }
}

#[test]
fn standard_output_ends_with_a_line_for_scripts() {
    let ran = Call::run("join").end();
    let last = ran.out.lines().last().unwrap_or_default();
    assert!(last.starts_with("verdict: passed  findings: 0  report: "), "{ran}");
    let report = ran.report.path().join("report");
    for file in ["run.json", "junit.xml"] {
        assert!(report.join(file).metadata().is_ok_and(|it| it.len() > 0), "no {file}: {ran}");
    }
    let hlogs = std::fs::read_dir(&report).expect("a report").flatten();
    let hlogs = hlogs.filter(|file| file.path().extension().is_some_and(|it| it == "hlog"));
    assert!(hlogs.count() > 0, "no histogram log: {ran}");
}

#[test]
fn a_run_in_which_nobody_could_hear_anything_proves_nothing() {
    let text = "scenario: mine
clients: { alone: {} }
vars: { room: cell-$run }
steps:
  - as: alone
    each: [ { open: {} }, { join: $room }, { say: { size: 64B } } ]
checks: { delivery: exactly-once }
";
    let ran = Call::own("mine.yaml", text).end();
    assert_eq!(ran.code, Some(4), "{ran}");
    assert_eq!(ran.json["verdict"], "inconclusive", "{ran}");
}

#[test]
fn a_limit_of_descriptors_that_is_too_low_is_told_with_the_command_that_fixes_it() {
    let call = Call::new(&["run", "broadcast"]);
    let ran = call.under_shell("ulimit -n 300").end();
    assert_no_run(&ran, &["ulimit -n", "--clients"]);
}
