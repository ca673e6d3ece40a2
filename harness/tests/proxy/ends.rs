//! How connections and the proxy itself end: nothing is lost with the end, and nothing stays behind.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::programs::{Middle, Program};
use super::server::harness;

/// Longer than anything here takes when all is well.
const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(10);

const ASKS: &[u8] = b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("an address"));
    (listener, url)
}

fn connect(url: &str) -> TcpStream {
    let address = url.split_once("://").expect("a URL").1;
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// The server's side of a client's connection, when it has asked for a WebSocket and got it.
fn upgrade(client: &mut TcpStream, server: &TcpListener) -> TcpStream {
    client.write_all(ASKS).expect("it takes it");
    let (mut behind, _) = server.accept().expect("the proxy");
    let mut head = [0; ASKS.len()];
    behind.read_exact(&mut head).expect("what was asked");
    behind.write_all(b"HTTP/1.1 101 x\r\n\r\n").expect("it takes it");
    client.read_exact(&mut [0; 18]).expect("the answer");
    behind
}

/// A server that speaks TLS, and the file of its certificate.
fn behind_tls(papers: &tempfile::TempDir) -> (Program, String) {
    let key = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a key");
    let write = |name: &str, text: String| {
        let path = papers.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    };
    let cert = write("c.pem", key.cert.pem());
    let key = write("k.pem", key.signing_key.serialize_pem());
    let server = ["serve", "--listen", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
    let server = Program::start(&[&server[..], &["--log", "off", "--until-stdin-closes"]].concat());
    (server, cert)
}

/// The end of what a client says does not overtake it while TLS is still being agreed upon.
#[test]
fn a_client_that_says_all_at_once_and_ends_is_answered_by_a_target_behind_tls() {
    let papers = tempfile::tempdir().expect("a directory");
    let (server, cert) = behind_tls(&papers);
    let middle = Middle::start(&server.url, &[], &["--quiet", "--ca", &cert]);
    let mut client = connect(&middle.url);
    client.write_all(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n").expect("it takes it");
    client.shutdown(Shutdown::Write).expect("an end");
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).expect("to its end");
    assert!(heard.starts_with(b"HTTP/1.1 "), "{}", String::from_utf8_lossy(&heard));
}

/// A proxy that has said where it listens, with all that it says from then on.
fn start(args: &[&str]) -> (Child, BufReader<std::process::ChildStdout>, String) {
    let mut command = harness();
    command.arg("proxy").args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the harness starts");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    let url = line.trim().strip_prefix("listening on ").expect("an announcement").to_owned();
    (child, out, url)
}

fn said(child: Child) -> String {
    let output = child.wait_with_output().expect("our own child");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    said
}

#[test]
fn why_tls_was_not_agreed_upon_is_told() {
    let papers = tempfile::tempdir().expect("a directory");
    let (server, _) = behind_tls(&papers);
    let (child, _out, url) = start(&["--target", &server.url, "--until-stdin-closes"]);
    let mut client = connect(&url);
    let ended = client.read_to_end(&mut Vec::new());
    assert!(ended.map_or(true, |count| count == 0));
    let said = said(child);
    assert!(said.contains("#1: its certificate is not signed by anybody trusted here"), "{said}");
}

#[test]
fn both_sides_gone_of_a_half_open_connection_leave_nothing_behind() {
    let (server, target) = listener();
    let (child, _out, url) =
        start(&["--target", &target, "--fault", "half_open", "--until-stdin-closes"]);
    let sockets = || {
        let all = std::fs::read_dir(format!("/proc/{}/fd", child.id())).expect("our own child");
        let links = all.filter_map(|it| std::fs::read_link(it.ok()?.path()).ok());
        links.filter(|it| it.to_string_lossy().starts_with("socket:")).count()
    };
    let before = sockets();
    let mut client = connect(&url);
    let behind = upgrade(&mut client, &server);
    assert_eq!(sockets(), before + 2);
    drop(client);
    drop(behind);
    let begun = Instant::now();
    while sockets() > before {
        assert!(begun.elapsed() < PATIENCE, "its sockets are still there");
        std::thread::sleep(TICK);
    }
    said(child);
}

/// Nobody reads what it prints, so that what happens waits; then it is told to end.
#[test]
fn all_that_happened_is_recorded_when_a_signal_ends_it() {
    const FRAMES: usize = 2000;
    let (server, target) = listener();
    let scratch = tempfile::tempdir().expect("a directory");
    let record = scratch.path().join("record").display().to_string();
    let faults = ["--fault", "drop opcode=text", "--record", &record];
    // So that it ends with this test, too, however that ends.
    let (child, mut out, url) =
        start(&[&["--target", &target, "--until-stdin-closes"][..], &faults[..]].concat());
    let mut client = connect(&url);
    let mut behind = upgrade(&mut client, &server);
    // A binary frame behind them shows that all have been dropped.
    let mut frames = b"\x81\x7e\x00\x80".to_vec();
    frames.extend([b'x'; 128]);
    frames = frames.repeat(FRAMES);
    frames.extend(b"\x82\x01!");
    behind.write_all(&frames).expect("it takes it");
    let mut heard = [0; 3];
    client.read_exact(&mut heard).expect("a frame");
    assert_eq!(&heard, b"\x82\x01!");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a process"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("our own child");
    out.read_to_string(&mut String::new()).expect("text");
    let said = said(child);
    assert!(said.contains(&format!("{FRAMES} times")), "{said}");
    let recorded = std::fs::read_to_string(&record).expect("a record");
    assert_eq!(recorded.lines().count(), FRAMES);
}
