//! The program: its options, its exit codes, and its end.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
};

use crate::common::{Client, PATIENCE, handshake, until};

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference-server"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a program that ends by itself.
fn output(args: &[&str]) -> Output {
    program(args).output().expect("it runs")
}

/// A program that serves; it is killed with the value.
pub(crate) struct Serving {
    child: Child,
    address: SocketAddr,
}

impl Serving {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::of(program(&[&["--listen", "127.0.0.1:0"], args].concat()))
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.spawn().expect("it runs");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on ws://").expect("its address");
        let address = address.parse().expect("an address");
        Self { child, address }
    }

    /// Ends it as it is, without a chance to do anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    pub(crate) fn client(&self, path: &str) -> Client {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut client = Client::over(stream);
        client.raw(handshake(path, "").as_bytes());
        assert!(client.head().starts_with("HTTP/1.1 101"));
        client
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer
    }

    pub(crate) fn signal(&self, name: &str) {
        let killed = Command::new("kill").arg(name).arg(self.child.id().to_string()).status();
        assert!(killed.expect("kill runs").success());
    }

    pub(crate) fn exit_code(mut self) -> Option<i32> {
        let mut ended = None;
        until("it ends", || {
            ended = self.child.try_wait().expect("a child of ours");
            ended.is_some()
        });
        ended.and_then(|status| status.code())
    }

    /// Waits until it says that nobody should come any more.
    fn until_not_ready(&self) {
        until("it is not ready", || self.get("/readyz").starts_with("HTTP/1.1 503"));
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It has usually ended already.
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}

#[test]
fn on_sigterm_everybody_is_sent_away_with_1001_and_the_exit_is_clean() {
    // Long enough to be looked at on a busy machine.
    let serving = Serving::start(&["--drain", "3s"]);
    let mut clients: Vec<_> = (0..20).map(|_| serving.client("/echo")).collect();
    for client in &mut clients {
        client.text("hello");
        client.frame().expect("an echo");
    }
    serving.signal("-TERM");
    // Not ready at once, while the first are still being sent away.
    serving.until_not_ready();
    for client in &mut clients {
        assert_eq!(client.close_code(), (1001, "going away".to_owned()));
    }
    assert_eq!(serving.exit_code(), Some(0));
}

#[test]
fn a_second_sigterm_ends_at_once() {
    let serving = Serving::start(&["--drain", "1h"]);
    let _held = serving.client("/echo");
    serving.signal("-TERM");
    serving.until_not_ready();
    serving.signal("-TERM");
    assert_eq!(serving.exit_code(), Some(0));
}

#[test]
fn a_hangup_is_ignored_and_an_interrupt_is_a_clean_stop() {
    let serving = Serving::start(&["--drain", "10ms"]);
    serving.signal("-HUP");
    assert!(serving.get("/healthz").starts_with("HTTP/1.1 200"));
    serving.signal("-INT");
    assert_eq!(serving.exit_code(), Some(0));
}

#[test]
fn it_ends_with_standard_input_only_when_asked_to() {
    let mut serving = Serving::start(&["--until-stdin-closes"]);
    let mut client = serving.client("/echo");
    drop(serving.child.stdin.take());
    assert_eq!(client.close_code().0, 1001);
    assert_eq!(serving.exit_code(), Some(0));

    let mut serving = Serving::start(&[]);
    drop(serving.child.stdin.take());
    assert!(serving.get("/healthz").starts_with("HTTP/1.1 200"));
}

#[test]
fn closed_output_is_no_reason_to_panic() {
    let mut serving = Serving::start(&["--log", "trace", "--drain", "10ms"]);
    drop((serving.child.stdout.take(), serving.child.stderr.take()));
    let mut client = serving.client("/echo");
    client.text("hello");
    client.frame().expect("an echo");
    serving.signal("-TERM");
    assert_eq!(serving.exit_code(), Some(0));
}

/// Asserts a failure that is told in one line.
pub(crate) fn fails(args: &[&str], code: i32, told: &str) {
    let output = output(args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{args:?}: {error}");
    assert!(error.starts_with("error: ") && error.contains(told), "{args:?}: {error}");
}

#[test]
fn mistakes_are_told_in_one_line() {
    fails(&["--lisen", "x"], 2, "--listen");
    fails(&["--listen", "nonsense"], 2, "ADDR:PORT");
    fails(&["--heartbeat", "5s"], 2, "200ms/500ms");
    fails(&["--heartbeat", "5s/x"], 2, "`x`");
    fails(&["--heartbeat", "other=5s/6s"], 2, "native, project, rooms, chat, events");
    fails(&["--mount", "other=/x"], 2, "native, project, rooms, chat, events");
    fails(&["--mount", "chat"], 2, "events=/live");
    fails(&["--mount", "chat=x"], 2, "no path");
    fails(&["--mount", "chat=/ws"], 2, "native at /ws");
    fails(&["--mount", "chat=/a", "--mount", "rooms=/a"], 2, "chat at /a");
    fails(&["--watch", "/no/such/place"], 2, "--watch");
    fails(&["--pusher-app", "colour=red"], 2, "webhook_delay=");
    fails(&["--pusher-app", "id=1", "--pusher-app", "id=1,key=b"], 2, "two applications");
    fails(&["--pusher-app", "webhook=https://x/"], 2, "http://");
    fails(&["--drain", "soon"], 2, "--drain");
    fails(&["--log", "loud"], 2, "--log");
    fails(&["--max-connections", "100000000"], 2, "ulimit -n 100000");
    fails(&["--transport", "quic"], 2, "naive");
    if cfg!(feature = "tide-websockets") {
        fails(&["--transport", "naive", "--watch", "."], 2, "--watch");
    } else {
        fails(&["--transport", "naive"], 2, "--features tide-websockets");
    }
    fails(&["--tls-cert", "cert.pem"], 2, "--tls-key");
    fails(&["--tls-key", "key.pem"], 2, "--tls-cert");
    fails(&["--tls-cert", "nowhere.pem", "--tls-key", "key.pem"], 2, "--tls-cert nowhere.pem: ");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    fails(&["--listen", &address], 3, "in use");
}

#[test]
fn help_names_the_environment_and_the_environment_counts() {
    let help = output(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let options = [
        "--listen",
        "--heartbeat",
        "TIDEMARK_MAX_CONNECTIONS",
        "--until-stdin-closes",
        "TIDEMARK_MOUNT",
        "TIDEMARK_DATA",
        "TIDEMARK_WATCH",
        "TIDEMARK_PUBLISH",
        "TIDEMARK_ADMIN",
        "TIDEMARK_PUSHER_APP",
    ];
    for option in options {
        assert!(help.contains(option), "{option}\n{help}");
    }
    let mut command = program(&[]);
    command.env("TIDEMARK_LISTEN", "127.0.0.1:0").env("TIDEMARK_MAX_CONNECTIONS", "1");
    command.env("TIDEMARK_ADMIN", "1").env("TIDEMARK_PUBLISH", "0");
    command.env("TIDEMARK_MOUNT", "chat=/a,rooms=/b");
    command.env("TIDEMARK_PUSHER_APP", "id=2,key=k2;id=3,key=k3,secret=s3");
    let serving = Serving::of(command);
    assert!(serving.get("/admin/rooms").starts_with("HTTP/1.1 200 "));
    assert!(serving.get("/publish/files").starts_with("HTTP/1.1 404 "));
    assert!(serving.get("/a").starts_with("HTTP/1.1 426 "));
    assert!(serving.get("/b/lobby").starts_with("HTTP/1.1 426 "));
    assert!(serving.get("/apps/3/channels").starts_with("HTTP/1.1 401 "));
    assert!(serving.get("/apps/1/channels").starts_with("HTTP/1.1 404 "));
    let _only = serving.client("/echo");
    let mut stream = TcpStream::connect(serving.address).expect("it listens");
    stream.write_all(handshake("/echo", "").as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
}

/// No build is wrong on purpose but those that say so.
#[test]
fn only_builds_with_mutants_know_of_any() {
    let listed = output(&["--mutant", "list"]);
    let unknown = output(&["--mutant", "nobody"]);
    assert_eq!(unknown.status.code(), Some(2));
    let told = String::from_utf8_lossy(&unknown.stderr);
    if cfg!(all(feature = "mutants", debug_assertions)) {
        assert!(listed.status.success());
        let ids = String::from_utf8_lossy(&listed.stdout);
        assert!(ids.lines().any(|id| id == "join-hole"), "{ids}");
        assert!(told.contains("join-hole"), "{told}");
    } else {
        assert_eq!(listed.status.code(), Some(2));
        assert!(told.contains("unexpected argument"), "{told}");
    }
}
