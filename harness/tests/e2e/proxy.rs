//! A proxy between harness and server that knows WebSocket frames, so that a fault can be put between
//! a right server and the harness: what a check is for, it must find.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::SockRef;

/// The kernel's buffers of a proxied connection: small, so that the proxy hides no congestion, and
/// large enough for a few messages at a time, so that it makes none.
const BUFFER_BYTES: usize = 128 << 10;
/// For how long a write may stand still before the proxy counts its reader as stuck.
const STUCK: Duration = Duration::from_millis(100);
/// The longest that all others wait for one that is stuck.
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    ToClient,
    ToServer,
}

/// A whole frame, unmasked.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn json(message: &Value) -> Self {
        Self { opcode: TEXT, payload: message.to_string().into_bytes() }
    }
}

/// A frame on its way, and what becomes of it. A fault changes [`Hop::frames`].
#[derive(Debug)]
pub(crate) struct Hop<'a> {
    /// The connection's number, from 0.
    pub(crate) conn: usize,
    /// What its client called itself; empty before it did.
    pub(crate) name: &'a str,
    pub(crate) way: Way,
    /// What goes on in this frame's place: the frame itself, unless a fault changes it.
    pub(crate) frames: Vec<Frame>,
    /// What goes to others: connection and way.
    pub(crate) elsewhere: Vec<(usize, Way, Frame)>,
}

impl Hop<'_> {
    /// The message of a text frame to the client, if it is one of this type.
    pub(crate) fn told(&self, kind: &str) -> Option<Value> {
        if self.way != Way::ToClient {
            return None;
        }
        let message = self.message()?;
        (message["type"] == kind).then_some(message)
    }

    /// The message of a text frame.
    pub(crate) fn message(&self) -> Option<Value> {
        let frame = self.frames.first().filter(|frame| frame.opcode == TEXT)?;
        serde_json::from_slice(&frame.payload).ok()
    }

    pub(crate) fn opcode(&self) -> u8 {
        self.frames.first().map_or(0, |frame| frame.opcode)
    }
}

/// What goes wrong on the way.
pub(crate) type Fault = Box<dyn FnMut(&mut Hop<'_>) + Send>;

/// A running proxy. It ends with the value.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    fault: Mutex<Fault>,
    /// Both ends of each connection, and the client's name.
    conns: Mutex<BTreeMap<usize, Conn>>,
    next: AtomicUsize,
    ended: AtomicBool,
    /// All wait while one is stuck.
    together: bool,
    stuck: Mutex<usize>,
    freed: Condvar,
}

#[derive(Clone)]
struct Conn {
    client: Arc<Mutex<TcpStream>>,
    server: Arc<Mutex<TcpStream>>,
    name: String,
}

impl Proxy {
    /// Stands before the server at this address.
    pub(crate) fn start(server: SocketAddr, fault: Fault) -> Self {
        Self::with(server, fault, false)
    }

    /// One that keeps everybody waiting while one client does not read.
    pub(crate) fn that_waits_for_the_slowest(server: SocketAddr) -> Self {
        Self::with(server, Box::new(|_| {}), true)
    }

    fn with(server: SocketAddr, fault: Fault, together: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            fault: Mutex::new(fault),
            conns: Mutex::default(),
            next: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            together,
            stuck: Mutex::new(0),
            freed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                accepting.connect(client, server);
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts; where that fails it has ended already.
        drop(TcpStream::connect(self.address));
        for (_, conn) in std::mem::take(&mut *lock(&self.shared.conns)) {
            conn.end();
        }
    }
}

impl Conn {
    /// Ends both connections. The locks are not asked for: a writer may be stuck under them.
    fn end(&self) {
        for side in [&self.client, &self.server] {
            if let Ok(stream) = side.try_lock() {
                stop(&stream);
            }
        }
    }
}

impl Shared {
    /// Connects a client with the server; its two directions are carried by a thread each.
    fn connect(self: &Arc<Self>, client: TcpStream, server: SocketAddr) {
        // A server that is gone: the client sees its connection end.
        let Ok(server) = TcpStream::connect(server) else { return };
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("a TCP stream");
            let socket = SockRef::from(stream);
            socket.set_send_buffer_size(BUFFER_BYTES).expect("a small buffer");
            socket.set_recv_buffer_size(BUFFER_BYTES).expect("a small buffer");
            stream.set_write_timeout(Some(STUCK)).expect("a timeout");
        }
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        let (from_client, from_server) = (twin(&client), twin(&server));
        let (client, server) = (Arc::new(Mutex::new(client)), Arc::new(Mutex::new(server)));
        let name = String::new();
        lock(&self.conns).insert(id, Conn { client, server, name });
        let ways = [(from_client, Way::ToServer), (from_server, Way::ToClient)];
        for (stream, way) in ways {
            let shared = Arc::clone(self);
            thread::spawn(move || shared.carry(id, way, &stream));
        }
    }

    /// Carries one direction to its end.
    fn carry(&self, id: usize, way: Way, stream: &TcpStream) {
        let Some(conn) = lock(&self.conns).get(&id).cloned() else { return };
        let ending = self.carry_frames(id, way, &mut BufReader::new(stream));
        let (_, target) = conn.sides(way);
        match ending {
            // What was sent last is still delivered.
            Ok(()) => drop(stream_of(target).shutdown(Shutdown::Write)),
            // A broken direction breaks the other.
            Err(_) => {
                stop(&stream_of(target));
                stop(stream);
            }
        }
    }

    fn carry_frames(&self, id: usize, way: Way, stream: &mut impl Read) -> io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte)? == 0 {
                return self.write(id, way, &head);
            }
            head.extend(byte);
        }
        self.write(id, way, &head)?;
        // An answer that is no upgrade is no WebSocket stream.
        if way == Way::ToClient && !head.starts_with(b"HTTP/1.1 101") {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest)?;
            return self.write(id, way, &rest);
        }
        while let Some(frame) = read_frame(stream)? {
            self.pass(id, way, frame)?;
        }
        Ok(())
    }

    /// Asks the fault what becomes of a frame, and does it.
    fn pass(&self, id: usize, way: Way, frame: Frame) -> io::Result<()> {
        let name = self.name(id, way, &frame);
        let mut hop =
            Hop { conn: id, name: &name, way, frames: vec![frame], elsewhere: Vec::new() };
        let mut fault = lock(&self.fault);
        (*fault)(&mut hop);
        drop(fault);
        let Hop { frames, elsewhere, .. } = hop;
        for frame in frames {
            self.write(id, way, &bytes(way, &frame))?;
        }
        for (id, way, frame) in elsewhere {
            // Somebody who has gone meanwhile gets nothing.
            drop(self.write(id, way, &bytes(way, &frame)));
        }
        Ok(())
    }

    /// The client's name, learned from its own `name` request.
    fn name(&self, id: usize, way: Way, frame: &Frame) -> String {
        let mut conns = lock(&self.conns);
        let Some(conn) = conns.get_mut(&id) else { return String::new() };
        if way == Way::ToServer && conn.name.is_empty() && frame.opcode == TEXT {
            let message: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
            if message["type"] == "name" {
                conn.name = message["username"].as_str().unwrap_or_default().to_owned();
            }
        }
        conn.name.clone()
    }

    fn write(&self, id: usize, way: Way, mut bytes: &[u8]) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        let conn = lock(&self.conns).get(&id).cloned().ok_or_else(gone)?;
        let (_, target) = conn.sides(way);
        let mut stream = lock(target);
        if self.together && way == Way::ToClient {
            self.wait_for_the_stuck();
        }
        let mut stuck = None;
        while !bytes.is_empty() {
            match stream.write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if is_timeout(&error) && !self.ended.load(Ordering::SeqCst) => {
                    stuck.get_or_insert_with(|| Stuck::new(self));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn wait_for_the_stuck(&self) {
        let begun = Instant::now();
        let mut stuck = lock(&self.stuck);
        while *stuck > 0 && begun.elapsed() < PATIENCE {
            let (again, _) =
                self.freed.wait_timeout(stuck, STUCK).unwrap_or_else(PoisonError::into_inner);
            stuck = again;
        }
    }
}

impl Conn {
    /// Where a direction comes from and goes to.
    fn sides(&self, way: Way) -> (&Mutex<TcpStream>, &Mutex<TcpStream>) {
        match way {
            Way::ToClient => (&self.server, &self.client),
            Way::ToServer => (&self.client, &self.server),
        }
    }
}

/// Counts a client that does not read, for as long as it lives.
struct Stuck<'a>(&'a Shared);

impl<'a> Stuck<'a> {
    fn new(shared: &'a Shared) -> Self {
        *lock(&shared.stuck) += 1;
        Self(shared)
    }
}

impl Drop for Stuck<'_> {
    fn drop(&mut self) {
        *lock(&self.0.stuck) -= 1;
        self.0.freed.notify_all();
    }
}

/// Reads a frame; none at the end of the stream.
fn read_frame(stream: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut first = [0];
    if stream.read(&mut first)? == 0 {
        return Ok(None);
    }
    let mut second = [0];
    stream.read_exact(&mut second)?;
    let ([first], [second]) = (first, second);
    let length = match second & 0x7f {
        126 => {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            usize::from(u16::from_be_bytes(length))
        }
        127 => {
            let mut length = [0; 8];
            stream.read_exact(&mut length)?;
            usize::try_from(u64::from_be_bytes(length)).expect("a 64-bit system")
        }
        short => usize::from(short),
    };
    let mut mask = [0; 4];
    if second & 0x80 != 0 {
        stream.read_exact(&mut mask)?;
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    // The fragments of a message keep their FIN bit with their opcode: they travel as they came.
    Ok(Some(Frame { opcode: first ^ 0x80, payload }))
}

/// A frame as it goes out. Towards the server it is masked, with a key of zeros.
fn bytes(way: Way, frame: &Frame) -> Vec<u8> {
    let masked = if way == Way::ToServer { 0x80 } else { 0 };
    let mut bytes = vec![frame.opcode ^ 0x80];
    match (u8::try_from(frame.payload.len()), u16::try_from(frame.payload.len())) {
        (Ok(length @ 0..=125), _) => bytes.push(masked | length),
        (_, Ok(length)) => {
            bytes.push(masked | 126);
            bytes.extend(length.to_be_bytes());
        }
        _ => {
            bytes.push(masked | 127);
            bytes.extend((frame.payload.len() as u64).to_be_bytes());
        }
    }
    if way == Way::ToServer {
        bytes.extend([0; 4]);
    }
    bytes.extend(&frame.payload);
    bytes
}

fn twin(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a descriptor")
}

fn stream_of(side: &Mutex<TcpStream>) -> TcpStream {
    twin(&lock(side))
}

fn stop(stream: &TcpStream) {
    // It may have ended by itself.
    drop(stream.shutdown(Shutdown::Both));
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A test that has failed elsewhere does not make this one fail.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
