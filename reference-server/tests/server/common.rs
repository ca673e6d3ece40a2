//! A server in this process, and a client that says exactly what it is told to.

#![expect(clippy::indexing_slicing, reason = "a test may fail by a panic")]

use std::{
    io::{self, Read, Write},
    net::{Shutdown as Direction, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use reference_server::{Config, Shutdown, Transport, serve};
use serde_json::Value;

/// How long anything may take before a test fails: never waited for when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often a test looks whether what it waits for has come about.
const TICK: Duration = Duration::from_millis(5);

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A server on a port of its own; it ends with the value.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: Shutdown,
    task: Option<async_std::task::JoinHandle<io::Result<()>>>,
}

impl Server {
    pub(crate) fn start(config: Config) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").expect("a free port"), config)
    }

    pub(crate) fn on(listener: TcpListener, mut config: Config) -> Self {
        // All tests can be passed with another transport than the default: see transports.rs.
        if let Ok(transport) = std::env::var("TIDEMARK_TRANSPORT")
            && config.transport == Transport::Direct
        {
            config.transport = transport.parse().expect("a transport of this build");
        }
        // A client whose thread gets no processor for a while still finds its Close.
        config.linger = PATIENCE;
        let address = listener.local_addr().expect("an address");
        let shutdown = Shutdown::new();
        let task = async_std::task::spawn(serve(config, listener, shutdown.clone()));
        Self { address, shutdown, task: Some(task) }
    }

    pub(crate) fn plain() -> Self {
        Self::start(Config::default())
    }

    pub(crate) fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        stream
    }

    /// Sends a request as it stands, and reads the answer to its end.
    pub(crate) fn ask(&self, request: &str) -> String {
        let mut stream = self.tcp();
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer, then the end");
        String::from_utf8(answer).expect("text")
    }

    pub(crate) fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    /// Sends JSON with this method, or another body of another type.
    pub(crate) fn send(&self, method: &str, path: &str, kind: &str, body: &str) -> Answer {
        let length = body.len();
        Answer::of(&self.ask(&format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )))
    }

    pub(crate) fn publish(&self, channel: &str, body: &Value) -> Answer {
        self.send("POST", &format!("/publish/{channel}"), "application/json", &body.to_string())
    }

    /// The value of one line of `/metrics`.
    pub(crate) fn metric(&self, line: &str) -> Option<u64> {
        metric_in(&self.get("/metrics"), line)
    }

    /// Waits until a line of `/metrics` has this value.
    pub(crate) fn until_metric(&self, line: &str, value: u64) {
        until(&format!("{line} {value}"), || self.metric(line) == Some(value));
    }

    pub(crate) fn client(&self, path: &str) -> Client {
        let mut client = Client::over(self.tcp());
        client.raw(handshake(path, "").as_bytes());
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }

    /// A native client that has been welcomed.
    pub(crate) fn native(&self) -> Client {
        let mut client = self.client("/ws");
        assert_eq!(client.json()["type"], "welcome");
        client
    }

    /// Waits for the server's end.
    pub(crate) fn ended(mut self) -> io::Result<()> {
        let task = self.task.take().expect("it ends once");
        async_std::task::block_on(async_std::future::timeout(PATIENCE, task)).expect("in time")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.now();
    }
}

/// The value of one line of this page of metrics.
pub(crate) fn metric_in(page: &str, line: &str) -> Option<u64> {
    let mut values = page.lines().filter_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    values.next().and_then(|value| value.parse().ok())
}

/// Waits until the condition holds; fails when it never does.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(TICK);
    }
}

/// An answer to a request that is no handshake.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn of(answer: &str) -> Self {
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let json = serde_json::from_str(body).unwrap_or(Value::Null);
        Self { status: status.expect("a status"), json }
    }
}

/// A handshake as it should be, with more header lines.
pub(crate) fn handshake(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("UTF-8")
    }
}

pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    pub(crate) fn frame_out(&mut self, first: u8, payload: &[u8]) {
        self.raw(&masked(first, payload));
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.frame_out(0x80 | TEXT, text.as_bytes());
    }

    /// Reads the head of the answer to the handshake.
    pub(crate) fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.buffer.split_off(end + 4);
                let head = std::mem::replace(&mut self.buffer, rest);
                return String::from_utf8(head).expect("text");
            }
            assert!(self.more(), "the end, after {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    /// The next frame; none at the end of the stream.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = parse(&self.buffer) {
                self.buffer.drain(..length);
                return Some(frame);
            }
            if !self.more() {
                assert!(self.buffer.is_empty(), "cut inside a frame");
                return None;
            }
        }
    }

    /// The next frame of a server that may end in the middle of one.
    pub(crate) fn last_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = parse(&self.buffer) {
                self.buffer.drain(..length);
                return Some(frame);
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// The next text frame as JSON, passing over pings.
    pub(crate) fn json(&mut self) -> Value {
        loop {
            let frame = self.frame().expect("a frame");
            if frame.opcode == PING {
                continue;
            }
            assert_eq!(frame.opcode, TEXT, "{frame:?}");
            return serde_json::from_slice(&frame.payload).expect("JSON");
        }
    }

    /// Sends a message as JSON.
    pub(crate) fn say(&mut self, message: &Value) {
        self.text(&message.to_string());
    }

    /// Reads on until the message of `rooms` that has this name, and gives what is in it.
    pub(crate) fn until_tagged(&mut self, tag: &str) -> Value {
        loop {
            let message = self.json();
            if let Some(content) = message.get(tag) {
                return content.clone();
            }
        }
    }

    /// Reads on until a message of this type.
    pub(crate) fn until(&mut self, kind: &str) -> Value {
        loop {
            let message = self.json();
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Reads on until the Close frame, and then the end of the stream; says what it said.
    pub(crate) fn close_code(&mut self) -> (u16, String) {
        let close = loop {
            let frame = self.frame().expect("a Close frame before the end");
            if frame.opcode == CLOSE {
                break frame;
            }
        };
        assert_eq!(self.frame(), None, "nothing follows a Close");
        match close.payload.split_at_checked(2) {
            None => (1005, String::new()),
            Some((code, reason)) => {
                (u16::from_be_bytes([code[0], code[1]]), String::from_utf8_lossy(reason).into())
            }
        }
    }

    /// Reads whole messages of a room without a gap, and then why there are no more; says how many
    /// there were.
    pub(crate) fn until_cut_as_slow(&mut self) -> u64 {
        let mut last = 0;
        loop {
            let frame = self.frame().expect("a Close before the end");
            match frame.opcode {
                TEXT => {
                    let event: Value = serde_json::from_slice(&frame.payload).expect("JSON");
                    assert_eq!(event["seq"], last + 1);
                    last += 1;
                }
                PING => {}
                _ => {
                    assert_eq!(frame.payload.get(..2), Some(4008_u16.to_be_bytes().as_slice()));
                    return last;
                }
            }
        }
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(read) => {
                self.buffer.extend(&buffer[..read]);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Client {
    pub(crate) fn stop_sending(&mut self) {
        self.stream.shutdown(Direction::Write).expect("open");
    }
}

/// A client's frame: `first` is the first byte, as it goes out.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | short as u8),
        middle @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    assert_eq!(second & 0x80, 0, "a server does not mask");
    let (header, length) = match second {
        126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into()),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        short => (2, usize::from(short)),
    };
    let payload = bytes.get(header..header + length)?.to_vec();
    assert_eq!(first & 0xf0, 0x80, "a server sends whole frames");
    Some((Frame { opcode: first & 0xf, payload }, header + length))
}
