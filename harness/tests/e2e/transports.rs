//! The reference server over tide-websockets: guarded it passes what the default passes, naive it is
//! found out.

use super::runs::{Call, Ran};
use super::secure::{SLEEPER_SERVER, sleeper};

/// Shipped scenarios, and what makes them small.
const SCENARIOS: [(&str, &[&str]); 3] = [
    ("broadcast", &["--clients", "crowd=40", "--var", "rooms=4"]),
    ("timeout-disconnect", &["--clients", "crowd=5", "--heartbeat", "200ms/600ms"]),
    ("storage", &["--clients", "writers=20", "--clients", "late=5"]),
];

fn run(transport: &str, (scenario, args): (&str, &[&str])) -> Ran {
    let server_args = format!("--transport {transport}");
    Call::shortened(scenario).args(args).args(&["--server-args", &server_args]).end()
}

/// With one client that stops reading.
fn sleep(transport: &str) -> Ran {
    let server_args = format!("--transport {transport} {SLEEPER_SERVER}");
    sleeper(&["--server-args", &server_args])
}

#[test]
fn guarded_it_passes() {
    for scenario in SCENARIOS {
        run("tide-websockets", scenario).assert_no_findings();
    }
    sleep("tide-websockets").assert_no_findings();
}

#[test]
fn a_case_for_what_the_naive_transport_does_not_have_is_unsupported() {
    let ran = Call::new(&["conform", "--only", "events/watch/what-the-server-writes"])
        .args(&["--server-args", "--transport naive"])
        .end();
    // Nothing was judged, and nothing went wrong.
    assert_eq!(ran.code, Some(4), "{ran}");
    assert!(ran.out.contains("1 unsupported"), "{ran}");
}

#[test]
fn naive_it_serves_clients_who_behave_and_fails_those_who_do_not() {
    let [broadcast, timeout, storage] = SCENARIOS;
    for scenario in [broadcast, storage] {
        run("naive", scenario).assert_no_findings();
    }
    // It never pings, and gives nobody up.
    run("naive", timeout).assert_failed("heartbeat", "ping");
    // One reader that stops holds up the whole room, those who speak in it too.
    sleep("naive").assert_failed("protocol", "unresponsive");
}
