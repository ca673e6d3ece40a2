//! How connections end that do not ask for it: silence, slowness, and the server's own end.

use std::{
    io::{ErrorKind, Write},
    net::{Shutdown as Direction, TcpListener},
    thread,
    time::{Duration, Instant},
};

use reference_server::Config;

use crate::common::{PING, PONG, Server, TEXT, masked, until};

fn with_heartbeat(interval_ms: u64, timeout_ms: u64) -> Config {
    let mut config = Config::default();
    config.limits.heartbeat_interval = Duration::from_millis(interval_ms);
    config.limits.heartbeat_timeout = Duration::from_millis(timeout_ms);
    config
}

#[test]
fn a_silent_client_is_given_up_after_the_timeout_and_within_one_interval_more() {
    let server = Server::start(with_heartbeat(100, 350));
    // Before the server counts: whatever holds this thread up makes it later.
    let start = Instant::now();
    let mut client = server.client("/echo");
    let mut pings = 0;
    let code = loop {
        let frame = client.frame().expect("a Close before the end");
        if frame.opcode != PING {
            break u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
        }
        pings += 1;
    };
    // A server that was late skips ticks, or gives time for the ping that it sent late.
    assert!(code == 4000 && (1..=6).contains(&pings), "{code}, {pings} pings");
    // Late is this machine's fault, early would be the server's.
    assert!(start.elapsed() > Duration::from_millis(340), "{:?}", start.elapsed());
}

#[test]
fn a_client_that_never_reads_is_cut_with_4008_and_its_queue_is_bounded() {
    let mut config = Config::default();
    config.limits.queue_bytes = 100_000;
    let server = Server::start(config);
    let mut client = server.client("/echo");
    // As much as the server takes: what its queue, its socket and ours hold together, and no more.
    let message = masked(0x80 | TEXT, &[b'a'; 10_000]);
    let mut rest = message.as_slice();
    client.stream.set_write_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    until("it is cut", || {
        match client.stream.write(rest) {
            Ok(written) if written < rest.len() => rest = &rest[written..],
            Ok(_) => rest = &message,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        server.metric(r#"tidemark_closes_total{code="4008"}"#) == Some(1)
    });
    assert_eq!(client.close_code(), (4008, "slow reader".to_owned()));
    let high = server.metric("tidemark_queue_high_water_bytes").expect("a number");
    assert!((100_000..400_000).contains(&high), "{high}");
}

#[test]
fn a_flood_of_pings_is_answered_for_a_while_and_then_is_abuse() {
    let server = Server::plain();
    let mut client = server.client("/echo");
    // Until it has had enough, however long it takes for so many.
    let mut flooding = client.stream.try_clone().expect("a descriptor");
    let pings = masked(0x80 | PING, b"!").repeat(500);
    let flood = thread::spawn(move || while flooding.write_all(&pings).is_ok() {});
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
    client.stream.shutdown(Direction::Both).expect("open");
    flood.join().expect("no panic");
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
    until("the port is free again", || TcpListener::bind(address).is_ok());
}
