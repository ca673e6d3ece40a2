//! A client's connection, in the clear or under TLS: any thread may write, nothing ever waits.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use mio::net::TcpStream;
use parking_lot::Mutex;

use super::tls::{Got, Session};

/// Bytes that may wait for a socket that takes no more. A client that has asked for so much without
/// reading the answers is no use to anybody.
const WAITING_MAX: usize = 4 << 20;

/// A connection's socket, and what waits to be written to it.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    out: Mutex<Out>,
    /// Whether there is TLS in `out`.
    is_secure: bool,
    paused: AtomicBool,
}

#[derive(Debug)]
struct Out {
    waiting: Vec<u8>,
    broken: bool,
    tls: Option<Session>,
}

impl Link {
    pub(super) fn new(stream: TcpStream, tls: Option<Session>) -> Self {
        let is_secure = tls.is_some();
        let out = Mutex::new(Out { waiting: Vec::new(), broken: false, tls });
        Self { stream, out, is_secure, paused: AtomicBool::new(false) }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Has the read half leave the socket alone, or not.
    pub(super) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Reads what has come. Only the swarm's thread reads.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<Got> {
        let mut stream = &self.stream;
        if !self.is_secure {
            let bytes = stream.read(buffer)?;
            // On a stream socket a read that returns less than it could has emptied it (epoll(7),
            // question 9).
            return Ok(Got { bytes, is_all: 0 < bytes && bytes < buffer.len() });
        }
        let mut out = self.out.lock();
        let got = match &mut out.tls {
            Some(tls) => tls.read(&mut stream, buffer),
            None => stream.read(buffer).map(|bytes| Got { bytes, is_all: false }),
        };
        // What was said before the handshake was over may leave now.
        out.send_waiting(&self.stream);
        got
    }

    /// Writes, or keeps for [`Link::flush`] what the socket does not take now. Errors are the read
    /// half's to tell: the same connection ends there.
    pub(super) fn write(&self, bytes: &[u8]) {
        let mut out = self.out.lock();
        let taken = if out.waiting.is_empty() { out.send(&self.stream, bytes) } else { 0 };
        out.keep(bytes.get(taken..).unwrap_or_default());
    }

    /// Ends the write half, in order; the read half goes on.
    pub(super) fn end_of_writing(&self) -> io::Result<()> {
        self.say_end();
        self.break_off();
        self.stream.shutdown(std::net::Shutdown::Write)
    }

    /// Writes what was kept. Called when the socket takes more.
    pub(super) fn flush(&self) {
        self.out.lock().send_waiting(&self.stream);
    }

    /// Sends nothing more, not even what is kept.
    pub(super) fn break_off(&self) {
        self.out.lock().broken = true;
    }

    /// Says below the WebSocket that nothing more will be sent, where that is said: under TLS.
    pub(super) fn say_end(&self) {
        let mut out = self.out.lock();
        if let Some(tls) = &mut out.tls {
            tls.say_end();
        }
        out.send_waiting(&self.stream);
    }
}

impl Out {
    /// Sends what the socket takes; says how much of `bytes` that was.
    fn send(&mut self, mut socket: &TcpStream, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while !self.broken {
            let rest = bytes.get(taken..).unwrap_or_default();
            let sent = match &mut self.tls {
                _ if rest.is_empty() => return taken,
                Some(tls) => tls.write(&mut socket, rest),
                None => socket.write(rest),
            };
            match sent {
                Ok(0) => return taken,
                Ok(count) => taken += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return taken,
                Err(_) => self.broken = true,
            }
        }
        taken
    }

    /// Sends what was kept, and what TLS holds.
    fn send_waiting(&mut self, mut socket: &TcpStream) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let sent = self.send(socket, &waiting);
        waiting.drain(..sent);
        if self.broken {
            return;
        }
        self.waiting = waiting;
        let flushed = self.tls.as_mut().map_or(Ok(()), |tls| tls.flush(&mut socket));
        self.broken = flushed.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock);
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.broken || bytes.is_empty() {
            return;
        }
        if self.waiting.len() + bytes.len() > WAITING_MAX {
            self.broken = true;
            self.waiting = Vec::new();
        } else {
            self.waiting.extend_from_slice(bytes);
        }
    }
}
