//! How connections end that do not ask for it: silence, slowness, and the server's own end.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use reference_server::Config;

use crate::common::{PING, PONG, Server, TEXT, masked};

fn with_heartbeat(interval_ms: u64, timeout_ms: u64) -> Config {
    let mut config = Config::default();
    config.limits.heartbeat_interval = Duration::from_millis(interval_ms);
    config.limits.heartbeat_timeout = Duration::from_millis(timeout_ms);
    config
}

#[test]
fn a_silent_client_is_given_up_after_the_timeout_and_within_one_interval_more() {
    let server = Server::start(with_heartbeat(100, 350));
    let mut client = server.client("/echo");
    let start = Instant::now();
    let mut pings = 0;
    let code = loop {
        let frame = client.frame().expect("a Close before the end");
        if frame.opcode != PING {
            break u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
        }
        pings += 1;
    };
    assert_eq!((code, pings), (4000, 3));
    // Late is this machine's fault, early would be the server's.
    assert!(start.elapsed() > Duration::from_millis(340), "{:?}", start.elapsed());
}

#[test]
fn a_client_that_answers_pings_lives_on() {
    let server = Server::start(with_heartbeat(50, 5000));
    let mut client = server.client("/echo");
    for _ in 0..10 {
        let ping = client.frame().expect("a ping");
        assert_eq!(ping.opcode, PING);
        client.frame_out(0x80 | PONG, &ping.payload);
    }
    client.text("still here");
    while client.frame().expect("an echo").opcode != TEXT {}
}

#[test]
fn a_client_that_never_reads_is_cut_with_4008_and_its_queue_is_bounded() {
    let mut config = Config::default();
    config.limits.queue_bytes = 100_000;
    let server = Server::start(config);
    let mut client = server.client("/echo");
    // What the server's queue, its socket and ours take together.
    let message = masked(0x80 | TEXT, &[b'a'; 10_000]);
    client.stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    while client.stream.write_all(&message).is_ok() {
        if server.metric(r#"tidemark_closes_total{code="4008"}"#) == Some(1) {
            break;
        }
    }
    assert_eq!(client.close_code(), (4008, "slow reader".to_owned()));
    let high = server.metric("tidemark_queue_high_water_bytes").expect("a number");
    assert!((100_000..400_000).contains(&high), "{high}");
}

#[test]
fn a_flood_of_pings_is_answered_for_a_while_and_then_is_abuse() {
    let server = Server::plain();
    let mut client = server.client("/echo");
    client.raw(&masked(0x80 | PING, b"!").repeat(1500));
    let mut pongs = 0;
    let code = loop {
        let frame = client.frame().expect("a Close before the end");
        if frame.opcode != PONG {
            break u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
        }
        pongs += 1;
    };
    assert_eq!(code, 4009);
    assert!(pongs >= 999, "{pongs}");
}

#[test]
fn a_server_in_this_process_ends_and_lets_go_of_everything() {
    let server = Server::start(Config { drain: Duration::from_millis(50), ..Config::default() });
    let mut clients: Vec<_> = (0..5).map(|_| server.client("/echo")).collect();
    let (address, shutdown) = (server.address, server.shutdown.clone());
    shutdown.signal();
    for client in &mut clients {
        assert_eq!(client.close_code().0, 1001);
    }
    drop(clients);
    server.ended().expect("a clean end");
    // The port is free again.
    std::net::TcpListener::bind(address).expect("free");
}
