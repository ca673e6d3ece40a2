//! Runs that end otherwise than planned: interrupted, with a server that dies or hangs, twice.

use std::net::SocketAddr;

use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

use super::proxy::Proxy;
use super::runs::{Call, Ran, Running, Server, lives, until};
use super::{faults, runs};

/// A scenario that would take minutes: whoever meets its end met it early.
const LONG: &str = "scenario: long
about: Ten people who talk for two minutes.
clients:
  crowd: { clients: 10, name: user-$index }
vars: { room: lobby-$run }
steps:
  - as: crowd
    open: {}
  - as: crowd
    join: $room
  - phase:
      name: talk
      for: 120s
      run:
        - as: crowd
          every: 100/s
          say: { size: 64B }
checks: { delivery: exactly-once, membership: fail }
";

fn long(args: &[&str]) -> Running {
    Call::own("long.yaml", LONG).args(args).start()
}

/// Waits until the load flows.
fn flows(server: &Server) {
    until("messages are delivered", || {
        server.metric(r#"tidemark_deliveries_total{kind="chat",to="others"}"#) > 200
    });
}

fn assert_whole_report(ran: &Ran) {
    for field in ["scenario", "target", "seed", "duration_s", "checks", "metrics", "generator"] {
        assert!(!ran.json[field].is_null(), "no {field}: {ran}");
    }
    assert!(ran.count("/deliveries/received") > 0, "{ran}");
    assert!(ran.report.path().join("report/junit.xml").exists(), "{ran}");
}

fn assert_interrupted(ran: &Ran, code: i32) {
    assert_eq!(ran.code, Some(code), "{ran}");
    assert_eq!(ran.json["interrupted"], true, "{ran}");
    assert_eq!(ran.json["findings"], 0, "an interrupt is no finding: {ran}");
    assert_whole_report(ran);
}

#[test]
fn an_interrupted_run_leaves_a_partial_report_and_no_child() {
    let run = long(&[]);
    run.until_it_tells("talk");
    let children = run.children();
    assert!(!children.is_empty(), "a server was started");
    run.signal(Signal::SIGINT);
    let ran = run.end();
    assert_eq!(ran.code, Some(130), "{ran}");
    assert_eq!(ran.json["interrupted"], true, "{ran}");
    for child in children {
        until("the child has ended", || !lives(child));
    }
}

#[test]
fn an_interrupt_and_a_termination_say_which_they_were() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let server = Server::start(&[]);
        let run = long(&["--target", &server.url()]);
        flows(&server);
        run.signal(signal);
        assert_interrupted(&run.end(), code);
        until("every client is gone", || server.metric("tidemark_connections") == 0);
    }
}

#[test]
fn a_server_that_is_killed_fails_the_run_with_the_time_of_death() {
    let server = Server::start(&[]);
    let run = long(&["--target", &server.url()]);
    flows(&server);
    server.signal(Signal::SIGKILL);
    let ran = run.end();
    ran.assert_failed("protocol", "killed");
    assert_whole_report(&ran);
    let told = ran.json.to_string();
    assert!(told.contains("the target died"), "no word of its death: {ran}");
}

#[test]
fn a_child_server_that_is_killed_fails_the_run() {
    let run = long(&[]);
    run.until_it_tells("talk");
    for child in run.children() {
        let id = nix::unistd::Pid::from_raw(i32::try_from(child).expect("a process id"));
        nix::sys::signal::kill(id, Signal::SIGKILL).expect("a child of our run");
    }
    let ran = run.end();
    ran.assert_failed("protocol", "killed");
}

#[test]
fn a_server_that_hangs_fails_the_run_as_unresponsive() {
    let server = Server::start(&[]);
    let run = long(&["--target", &server.url()]);
    flows(&server);
    server.signal(Signal::SIGSTOP);
    let begun = std::time::Instant::now();
    let ran = run.end();
    server.signal(Signal::SIGCONT);
    ran.assert_failed("protocol", "unresponsive");
    // Not at its own end: two minutes are left of it, whatever held this machine up.
    assert!(begun.elapsed().as_secs() < 100, "not at the deadline: {ran}");
    assert_whole_report(&ran);
}

#[test]
fn a_network_that_swallows_everything_fails_the_run_as_unresponsive() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.address, faults::fall_silent_after(500));
    let ran = long(&["--target", &proxy.url()]).end();
    ran.assert_failed("protocol", "unresponsive");
}

#[test]
fn a_second_run_meets_nothing_of_the_first() {
    let server = Server::start(&[]);
    for seed in ["7", "7", "8"] {
        let ran = Call::shortened("join").args(&["--target", &server.url(), "--seed", seed]).end();
        ran.assert_passed();
    }
    let first = long(&["--target", &server.url()]);
    flows(&server);
    // While another run of the same scenarios speaks.
    Call::shortened("join").args(&["--target", &server.url()]).end().assert_passed();
    first.signal(Signal::SIGINT);
    assert_interrupted(&first.end(), 130);
}

#[test]
fn a_target_that_starts_late_is_waited_for() {
    // Bound, and nobody listens: nobody but who asks for this very port gets it.
    let kept = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    kept.set_reuse_address(true).expect("an option");
    kept.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    let address = kept.local_addr().ok().and_then(|it| it.as_socket()).expect("an address");
    let url = format!("ws://{address}");
    let run = Call::shortened("join").args(&["--target", &url, "--wait", "120s"]).start();
    let server = Server::start(&["--listen", &address.to_string()]);
    run.end().assert_passed();
    assert!(runs::get(server.address, "/healthz").contains("200"), "it lives");
}
