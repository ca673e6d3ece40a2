//! The reference server over tide-websockets: guarded it passes what the default passes, naive it is
//! found out.

use super::runs::{Call, Ran};

/// Shipped scenarios, and what makes them small.
const SCENARIOS: [(&str, &[&str], &str); 4] = [
    ("broadcast", &["--clients", "crowd=40", "--var", "rooms=4"], ""),
    ("timeout-disconnect", &["--clients", "crowd=5", "--heartbeat", "200ms/600ms"], ""),
    ("slow-consumer", &["--clients", "listeners=4"], "--queue-bytes 262144"),
    ("storage", &["--clients", "writers=20", "--clients", "late=5"], ""),
];

fn run(transport: &str, (scenario, args, server_args): (&str, &[&str], &str)) -> Ran {
    let server_args = format!("--transport {transport} {server_args}");
    Call::shortened(scenario).args(args).args(&["--server-args", &server_args]).end()
}

#[test]
fn guarded_it_passes() {
    for scenario in SCENARIOS {
        run("tide-websockets", scenario).assert_no_findings();
    }
}

#[test]
fn naive_it_serves_clients_who_behave_and_fails_those_who_do_not() {
    let [broadcast, timeout, slow, storage] = SCENARIOS;
    for scenario in [broadcast, storage] {
        run("naive", scenario).assert_no_findings();
    }
    // It never pings, and gives nobody up.
    run("naive", timeout).assert_failed("heartbeat", "ping");
    // One reader that stops holds up the whole room, those who speak in it too.
    run("naive", slow).assert_failed("protocol", "unresponsive");
}
