//! The harness's books agree with the server's own, and cost little.

use super::runs::{Call, Server};

const DELIVERIES: &str = r#"tidemark_deliveries_total{kind="chat",to="others"}"#;
/// What a process of the harness needs without any client, in bytes.
const BASE_BYTES: u64 = 40 << 20;
/// What a client may cost: 15 MB per 1,000.
const CLIENT_BYTES: u64 = 15_000;

#[test]
fn the_servers_own_counter_equals_what_was_received() {
    let server = Server::start(&[]);
    let clients = "300";
    let ran = Call::shortened("broadcast")
        .args(&["--target", &server.url(), "--clients", &format!("crowd={clients}")])
        .args(&["--var", "rooms=6"])
        .end();
    // Its limits on times may be void on a busy machine; its books are not.
    assert!(matches!(ran.code, Some(0 | 4)), "{ran}");
    assert_eq!(ran.json["findings"], 0, "{ran}");
    let (owed, received) = (ran.count("/deliveries/owed"), ran.count("/deliveries/received"));
    assert_eq!(owed, received, "{ran}");
    assert_eq!(server.metric(DELIVERIES), received, "{ran}");
    assert!(received > 1000, "too few to mean anything: {ran}");
    let peak = ran.count("/generator/peak_rss_bytes");
    let clients: u64 = clients.parse().expect("a number");
    assert!(peak <= BASE_BYTES + clients * CLIENT_BYTES, "{peak} bytes: {ran}");
}
