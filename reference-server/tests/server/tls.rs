//! The same over TLS: nothing may be lost, cut or left behind because bytes are encrypted on the way.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reference_server::{Config, Tls};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use serde_json::json;

use crate::common::{CLOSE, Client, PING, PONG, Server, TEXT, handshake, masked, metric_in};

type Secure = StreamOwned<ClientConnection, TcpStream>;

/// An authority, and what it has signed, as files.
struct Papers {
    directory: tempfile::TempDir,
    authority: CertificateDer<'static>,
}

impl Papers {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let cert = params.signed_by(&key, &authority).expect("a certificate");
        let write = |name, text: String| {
            std::fs::write(directory.path().join(name), text).expect("written");
        };
        write("cert.pem", cert.pem());
        write("key.pem", key.serialize_pem());
        write("other-key.pem", KeyPair::generate().expect("a key").serialize_pem());
        write(
            "garbage.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
        );
        write("empty.pem", String::new());
        let authority = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM");
        Self { directory, authority }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn tls(&self) -> Tls {
        Tls::from_files(&self.path("cert.pem"), &self.path("key.pem")).expect("good papers")
    }

    fn server(&self, mut config: Config) -> Server {
        config.tls = Some(self.tls());
        Server::start(config)
    }

    fn connect(&self, server: &Server, version: &'static SupportedProtocolVersion) -> Secure {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("known versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::new(config), name).expect("a session");
        StreamOwned::new(session, server.tcp())
    }

    fn client(&self, server: &Server, path: &str) -> Client<Secure> {
        let mut client = Client::over(self.connect(server, &TLS13));
        client.raw(handshake(path, "").as_bytes());
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }

    fn member(&self, server: &Server, room: &str) -> Client<Secure> {
        let mut client = self.client(server, "/ws");
        client.until("welcome");
        client.text(&json!({"type": "join", "room": room, "membership": "none"}).to_string());
        client.until("joined");
        client
    }

    fn get(&self, server: &Server, path: &str) -> String {
        let mut stream = self.connect(server, &TLS13);
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        // Without a close_notify this would be an error.
        stream.read_to_string(&mut answer).expect("an answer with an end of its own");
        answer
    }

    fn metric(&self, server: &Server, line: &str) -> Option<u64> {
        metric_in(&self.get(server, "/metrics"), line)
    }
}

#[test]
fn pages_messages_pings_and_closes_pass_through_both_versions() {
    let papers = Papers::new();
    let server = papers.server(Config::default());
    assert!(papers.get(&server, "/healthz").ends_with("\r\n\r\nok\n"));
    for version in [&TLS12, &TLS13] {
        let mut client = Client::over(papers.connect(&server, version));
        // Frames that come together with the request are kept.
        let request = [handshake("/echo", "").as_bytes(), &masked(0x80 | TEXT, b"early")].concat();
        client.raw(&request);
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        assert_eq!(client.frame().expect("an echo").text(), "early");
        client.frame_out(0x80 | PING, b"hi");
        let pong = client.frame().expect("a pong");
        assert_eq!((pong.opcode, pong.payload.as_slice()), (PONG, b"hi".as_slice()));
        client.frame_out(0x80 | CLOSE, &3000_u16.to_be_bytes());
        assert_eq!(client.close_code().0, 3000);
    }
}

#[test]
fn messages_of_all_sizes_come_back_whole() {
    let papers = Papers::new();
    let server = papers.server(Config::default());
    let mut client = papers.client(&server, "/echo");
    // Around what one record holds (2^14, RFC 8446 5.1), what is gathered, and far beyond.
    for length in [0, 1, 16_379, 16_380, 16_384, 16_385, 65_536, 200_000, 1 << 20] {
        let payload: Vec<u8> = (0..length).map(|at| b'a' + (at % 23) as u8).collect();
        client.frame_out(0x80 | TEXT, &payload);
        let echo = client.frame().expect("an echo");
        assert!(echo.payload == payload, "{length}");
    }
    // Many at once: they are read, and written, in few pieces.
    let text: Vec<u8> = (0..500).flat_map(|_| masked(0x80 | TEXT, b"again and again")).collect();
    client.raw(&text);
    for _ in 0..500 {
        assert_eq!(client.frame().expect("an echo").text(), "again and again");
    }
}

#[test]
fn a_reader_that_stops_is_cut_with_4008_and_delays_nobody() {
    let papers = Papers::new();
    let mut config = Config::default();
    config.limits.requests_per_s = 0;
    config.limits.queue_bytes = 100_000;
    let server = papers.server(config);
    let mut stuck = papers.member(&server, "r");
    let mut other = papers.member(&server, "r");
    let mut sender = papers.member(&server, "r");
    let text = "x".repeat(10_000);
    let request = json!({"type": "chat", "room": "r", "text": text}).to_string();
    let mut sent = 0;
    while papers.metric(&server, r#"tidemark_closes_total{code="4008"}"#) != Some(1) {
        sender.text(&request);
        sent += 1;
        for client in [&mut other, &mut sender] {
            assert_eq!(client.until("chat")["seq"], sent);
        }
        assert!(sent < 5000, "it is never cut");
    }
    assert!(stuck.until_cut_as_slow() < sent);
}

#[test]
fn a_reader_that_pauses_gets_everything_and_the_close_behind_it() {
    let papers = Papers::new();
    let mut config = Config::default();
    config.limits.queue_bytes = 64 << 20;
    let server = papers.server(config);
    let mut client = papers.client(&server, "/echo");
    // More than both kernels hold: the rest waits in the queue, and some of it encrypted.
    let payload = vec![b'x'; 1 << 20];
    let mut frames = masked(0x80 | TEXT, &payload).repeat(8);
    frames.extend(masked(0x80 | CLOSE, &1000_u16.to_be_bytes()));
    let mut sending = client.stream.sock.try_clone().expect("a descriptor");
    client.stream.conn.set_buffer_limit(None);
    client.stream.conn.writer().write_all(&frames).expect("kept");
    while client.stream.conn.wants_write() {
        client.stream.conn.write_tls(&mut sending).expect("sent");
    }
    for _ in 0..8 {
        assert!(client.frame().expect("an echo").payload == payload);
    }
    assert_eq!(client.close_code().0, 1000);
    // Not cut off: said to be over (RFC 8446, 6.1).
    assert_eq!(client.stream.read(&mut [0; 16]).expect("a close_notify"), 0);
}

#[test]
fn plain_http_is_told_so() {
    let papers = Papers::new();
    let server = papers.server(Config::default());
    let answer = server.get("/healthz");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("wss://"), "{answer}");
}

#[test]
fn whoever_never_finishes_the_handshake_is_let_go() {
    let papers = Papers::new();
    let config = Config { handshake: Duration::from_millis(500), ..Config::default() };
    let server = papers.server(config);
    // Nothing at all, and the first half of a record.
    let streams = [[].as_slice(), &[22, 3, 1, 0, 200, 1]].map(|said| {
        let mut stream = server.tcp();
        stream.write_all(said).expect("sent");
        stream
    });
    for mut stream in streams {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("an end, and not by a reset");
        assert!(!rest.starts_with(b"HTTP"), "in the clear: {rest:?}");
    }
}

#[test]
fn what_is_not_tls_ends_its_own_connection_alone() {
    let papers = Papers::new();
    let server = papers.server(Config::default());
    let mut other = papers.client(&server, "/echo");
    let mut stream = server.tcp();
    stream.write_all(&[22, 3, 1, 0, 4, 9, 9, 9, 9]).expect("sent");
    let mut alert = Vec::new();
    stream.read_to_end(&mut alert).expect("an alert, then the end");
    assert_eq!(alert.first(), Some(&21), "{alert:?}");
    assert_eq!(papers.metric(&server, "tidemark_tls_failed_total"), Some(1));

    // A record that nobody can decrypt, in the middle of a conversation.
    let mut broken = papers.client(&server, "/echo");
    broken.text("hello");
    broken.frame().expect("an echo");
    broken.stream.sock.write_all(&[23, 3, 3, 0, 5, 1, 2, 3, 4, 5]).expect("sent");
    let end = broken.stream.read(&mut [0; 16]).expect_err("an alert");
    assert_eq!(end.kind(), io::ErrorKind::InvalidData, "{end}");
    other.text("still here");
    assert_eq!(other.frame().expect("an echo").text(), "still here");
}

#[test]
fn a_crowd_hears_everything_once_in_one_order() {
    let papers = Papers::new();
    let mut config = Config::default();
    config.limits.requests_per_s = 0;
    let server = papers.server(config);
    let mut listeners: Vec<_> = (0..8).map(|_| papers.member(&server, "r")).collect();
    let count = 300;
    let mut sender = papers.member(&server, "r");
    let sending = thread::spawn(move || {
        for number in 0..count {
            let request = json!({"type": "chat", "room": "r", "text": number.to_string()});
            sender.text(&request.to_string());
        }
        (0..count).for_each(|_| drop(sender.until("chat")));
    });
    for listener in &mut listeners {
        for number in 0..count {
            let event = listener.until("chat");
            assert_eq!(event["seq"], number + 1);
            assert_eq!(event["text"], number.to_string());
        }
    }
    sending.join().expect("no panic");
    server.shutdown.signal();
    for listener in &mut listeners {
        assert_eq!(listener.close_code(), (1001, "going away".to_owned()));
    }
}

#[test]
fn papers_that_cannot_be_used_are_told_apart() {
    let papers = Papers::new();
    let told = |cert: &str, key: &str| {
        let told = Tls::from_files(&papers.path(cert), &papers.path(key)).err();
        told.unwrap_or_else(|| panic!("{cert} and {key} were taken"))
    };
    for (cert, key, option, fact) in [
        ("nowhere.pem", "key.pem", "--tls-cert ", "No such file"),
        ("cert.pem", "nowhere.pem", "--tls-key ", "No such file"),
        ("empty.pem", "key.pem", "--tls-cert ", "no certificate"),
        ("key.pem", "key.pem", "--tls-cert ", "no certificate"),
        ("cert.pem", "cert.pem", "--tls-key ", "no private key"),
        ("garbage.pem", "key.pem", "--tls-cert ", "certificate"),
        ("cert.pem", "other-key.pem", "--tls-key ", "not the key of the certificate"),
    ] {
        let told = told(cert, key);
        assert!(told.starts_with(option) && told.contains(fact), "{cert}, {key}: {told}");
        assert!(
            told.contains(
                Path::new(cert).file_stem().and_then(|it| it.to_str()).unwrap_or_default()
            ) || told.contains(key),
            "{told}"
        );
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}
