//! Webhooks: what a backend is told, in which order, and what it costs the others when it does not
//! listen.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use protocol::pusher::{App, auth};
use serde_json::{Value, json};

use super::{Socket, publish, serving};
use crate::common::{PATIENCE, until};

/// A backend that listens.
struct Backend {
    address: SocketAddr,
    requests: Receiver<Request>,
}

/// What it was told at once.
#[derive(Debug)]
struct Request {
    head: String,
    body: String,
}

impl Backend {
    /// Answers the requests with these statuses, then with 200.
    fn start(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (told, requests) = channel();
        thread::spawn(move || {
            let statuses = statuses.iter().copied().chain(std::iter::repeat(200));
            // It ends with the test's process, or when nobody looks any more.
            for (stream, status) in listener.incoming().zip(statuses) {
                if take(stream.expect("a connection"), status, &told).is_none() {
                    break;
                }
            }
        });
        Self { address, requests }
    }

    /// An application that tells this backend, with more options.
    fn app(&self, more: &str) -> String {
        format!("webhook=http://{}/hooks?x=1,{more}", self.address)
    }

    fn next(&self) -> Request {
        self.requests.recv_timeout(PATIENCE).expect("a request")
    }

    /// The next so many events, however many requests they take.
    fn events(&self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        while events.len() < count {
            let request = self.next();
            let body: Value = serde_json::from_str(&request.body).expect("JSON");
            events.extend(body["events"].as_array().expect("a list").clone());
        }
        assert_eq!(events.len(), count, "{events:?}");
        events
    }
}

/// Reads one request, and answers it.
fn take(mut stream: TcpStream, status: u16, told: &Sender<Request>) -> Option<()> {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).ok().filter(|&read| read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8(bytes.clone()).expect("UTF-8");
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && header(head, "Content-Length").parse() == Ok(body.len())
        {
            break (head.to_owned(), body.to_owned());
        }
    };
    let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes()).ok()?;
    told.send(Request { head, body }).ok()
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(given, _)| *given == name).map(|(_, value)| value).unwrap_or_default()
}

/// A client's event, which is a fence: what was told before it, was told before it.
fn whisper(socket: &mut Socket, n: u32) {
    socket.client.say(&json!({"event": "client-n", "channel": "private-f", "data": n}));
}

fn occupied(channel: &str) -> Value {
    json!({"name": "channel_occupied", "channel": channel})
}

fn vacated(channel: &str) -> Value {
    json!({"name": "channel_vacated", "channel": channel})
}

#[test]
fn a_request_is_signed_and_holds_what_happened_and_when() {
    let backend = Backend::start(&[]);
    let server = serving(&[&backend.app("webhook_delay=0s")]);
    let mut socket = Socket::open(&server);
    socket.subscribe("presence-x", Some(r#"{"user_id":"ada"}"#));
    let first = backend.next();
    assert!(first.head.starts_with("POST /hooks?x=1 HTTP/1.1\r\n"), "{}", first.head);
    assert_eq!(header(&first.head, "Host"), backend.address.to_string());
    assert_eq!(header(&first.head, "Content-Type"), "application/json");
    assert_eq!(header(&first.head, "X-Pusher-Key"), "app-key");
    let signature = auth::webhook(&App::default(), first.body.as_bytes());
    assert_eq!(header(&first.head, "X-Pusher-Signature"), signature);
    let body: Value = serde_json::from_str(&first.body).expect("JSON");
    assert!(body["time_ms"].as_u64().is_some_and(|at| at > 1_500_000_000_000), "{body}");
    assert_eq!(body["events"][0], occupied("presence-x"));
    server.until_metric(r#"tidemark_webhook_events_total{outcome="delivered"}"#, 2);
}

#[test]
fn everything_is_told_in_the_order_in_which_it_happened() {
    let backend = Backend::start(&[]);
    let server = serving(&[&backend.app("webhook_delay=0s,subscription_count")]);
    let mut socket = Socket::open(&server);
    let member = |name: &str| json!({"name": name, "channel": "presence-x", "user_id": "ada"});
    socket.subscribe("presence-x", Some(r#"{"user_id":"ada"}"#));
    assert_eq!(backend.events(2), [occupied("presence-x"), member("member_added")]);
    socket.subscribe("cache-c", None);
    socket.hears("pusher:cache_miss");
    socket.hears("pusher_internal:subscription_count");
    let count = |channel: &str, count: u32| json!({"name": "subscription_count", "channel": channel, "subscription_count": count});
    let miss = json!({"name": "cache_miss", "channel": "cache-c"});
    assert_eq!(backend.events(3), [occupied("cache-c"), miss, count("cache-c", 1)]);
    socket.client.say(&json!({"event": "client-n", "channel": "presence-x", "data": {"a": 1}}));
    let said = json!({"name": "client_event", "channel": "presence-x", "event": "client-n",
        "data": "{\"a\":1}", "socket_id": socket.id, "user_id": "ada"});
    assert_eq!(backend.events(1), [said]);
    socket.unsubscribe("presence-x");
    assert_eq!(backend.events(2), [member("member_removed"), vacated("presence-x")]);
    drop(socket);
    let mut end = backend.events(2);
    end.sort_by_key(|event| event["name"].to_string());
    assert_eq!(end, [vacated("cache-c"), count("cache-c", 0)]);
}

#[test]
fn an_empty_channel_is_told_of_after_the_delay_unless_somebody_returns() {
    let backend = Backend::start(&[]);
    let patient = backend.app("webhook_delay=1h");
    let soon = backend.app("id=2,key=k2,webhook_delay=30ms");
    let server = serving(&[&patient, &soon]);
    let mut socket = Socket::open(&server);
    socket.subscribe("private-f", None);
    for _ in 0..3 {
        socket.subscribe("news", None);
        socket.unsubscribe("news");
    }
    whisper(&mut socket, 1);
    let told = backend.events(3);
    assert_eq!(told[..2], [occupied("private-f"), occupied("news")]);
    assert_eq!(told[2]["name"], "client_event", "it was left and found again in between");
    // Where the delay is over soon, it is told by the timer: nobody does anything there.
    let mut socket = Socket::of(&server, &App::new("2", "k2", "app-secret"));
    socket.subscribe("news", None);
    socket.unsubscribe("news");
    assert_eq!(backend.events(2), [occupied("news"), vacated("news")]);
}

#[test]
fn what_is_not_taken_is_said_again_as_it_was_before_anything_else_is() {
    let backend = Backend::start(&[500, 404, 302]);
    let server = serving(&[&backend.app("webhook_delay=0s")]);
    let mut socket = Socket::open(&server);
    socket.subscribe("private-f", None);
    let first = backend.next();
    for n in 0..5 {
        whisper(&mut socket, n);
    }
    for _ in 0..3 {
        let again = backend.next();
        assert_eq!((again.head, again.body), (first.head.clone(), first.body.clone()));
    }
    let rest = backend.events(5);
    let numbers: Vec<&Value> = rest.iter().map(|event| &event["data"]).collect();
    assert_eq!(numbers, ["0", "1", "2", "3", "4"]);
    assert_eq!(server.metric("tidemark_webhook_failures_total"), Some(3));
    server.until_metric(r#"tidemark_webhook_events_total{outcome="delivered"}"#, 6);
}

#[test]
fn a_backend_that_does_not_listen_delays_nobody() {
    // One that takes no connection from its backlog, and one that is not there.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gone = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addresses = [&silent, &gone].map(|it| it.local_addr().expect("an address"));
    drop(gone);
    let apps = addresses.iter().zip(1..).map(|(address, id)| {
        format!("id={id},key=k{id},webhook=http://{address}/,webhook_delay=0s")
    });
    let apps: Vec<String> = apps.collect();
    let apps: Vec<&str> = apps.iter().map(String::as_str).collect();
    // Should it be waited for, the test does not end.
    let server = serving(&apps);
    for id in ["1", "2"] {
        let app = App::new(id, format!("k{id}"), "app-secret");
        let [mut ada, mut bob] = [(); 2].map(|()| Socket::of(&server, &app));
        for socket in [&mut ada, &mut bob] {
            socket.subscribe("private-f", None);
        }
        for n in 0..8 {
            whisper(&mut ada, n);
            assert_eq!(bob.hears("client-n"), n);
        }
    }
    let failures = || server.metric("tidemark_webhook_failures_total");
    until("one is found to be gone", || failures() > Some(0));
    let _still_open = silent;
}

#[test]
fn what_waits_when_the_server_stops_is_still_told() {
    let backend = Backend::start(&[]);
    let server = serving(&[&backend.app("webhook_delay=0s")]);
    let mut socket = Socket::open(&server);
    socket.subscribe("news", None);
    publish(&server, "news", "n", "x");
    socket.hears("n");
    server.shutdown.signal();
    assert_eq!(socket.client.close_code().0, 1001);
    drop(socket);
    server.ended().expect("a clean end");
    assert_eq!(backend.events(2), [occupied("news"), vacated("news")]);
}

#[test]
fn what_waits_for_another_try_when_the_server_stops_gets_it_and_so_does_what_waits_behind_it() {
    // After the fifth refusal it waits for three seconds.
    let backend = Backend::start(&[500; 5]);
    let server = serving(&[&backend.app("webhook_delay=1h")]);
    let mut socket = Socket::open(&server);
    socket.subscribe("news", None);
    let tries: Vec<String> = (0..5).map(|_| backend.next().body).collect();
    socket.subscribe("more", None);
    server.shutdown.signal();
    drop(socket);
    server.ended().expect("a clean end");
    assert_eq!(backend.next().body, tries[4]);
    assert_eq!(backend.events(1), [occupied("more")]);
}
