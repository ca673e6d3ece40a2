//! One of the two sockets of a connection that is carried: in the clear, or under TLS towards a server.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::SockRef;

use crate::drive::tls::{Got, Session};

/// The kernel's buffers: small, so that no congestion is hidden, and large enough for some messages at
/// a time, so that none is made.
const BUFFER_BYTES: usize = 128 << 10;

#[derive(Debug)]
pub(super) struct Side {
    pub(super) stream: TcpStream,
    tls: Option<Session>,
    /// What the socket has yet to take.
    pub(super) waiting: Vec<u8>,
    /// There may be something to read.
    pub(super) is_readable: bool,
    /// Behind what there is to read is the end, or an error.
    pub(super) end_is_near: bool,
    /// It sends no more.
    pub(super) has_ended: bool,
    /// It takes no more; how that is, its read half will tell.
    pub(super) is_broken: bool,
    /// It has been told that no more will come.
    pub(super) is_told: bool,
}

impl Side {
    pub(super) fn new(stream: TcpStream, tls: Option<Session>) -> Self {
        let waiting = Vec::new();
        let [is_readable, end_is_near, has_ended, is_broken, is_told] = [false; 5];
        Self { stream, tls, waiting, is_readable, end_is_near, has_ended, is_broken, is_told }
    }

    /// Makes the kernel's buffers small.
    pub(super) fn shrink(stream: &TcpStream) -> io::Result<()> {
        let socket = SockRef::from(stream);
        socket.set_send_buffer_size(BUFFER_BYTES)?;
        socket.set_recv_buffer_size(BUFFER_BYTES)?;
        stream.set_nodelay(true)
    }

    /// Reads what has come; nothing when there is nothing now.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            let got = match &mut self.tls {
                None => self.stream.read(buffer).map(|bytes| {
                    // On a stream socket a read that returns less than it could has emptied it
                    // (epoll(7), question 9).
                    Got { bytes, is_all: 0 < bytes && bytes < buffer.len() }
                }),
                Some(tls) => tls.read(&mut self.stream, buffer),
            };
            match got {
                Ok(Got { bytes: 0, .. }) => {
                    self.has_ended = true;
                    return Ok(None);
                }
                Ok(got) => {
                    // Readiness tells of the end only once, perhaps with the last bytes.
                    self.is_readable = !got.is_all || self.end_is_near;
                    return Ok(Some(got.bytes));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes; what the socket does not take now waits.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let taken = if self.waiting.is_empty() { self.send(bytes) } else { 0 };
        if !self.is_broken {
            self.waiting.extend_from_slice(bytes.get(taken..).unwrap_or_default());
        }
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let taken = self.send(&waiting);
        self.waiting = waiting;
        self.waiting.drain(..taken);
        if let Some(tls) = &mut self.tls
            && let Err(error) = tls.flush(&mut self.stream)
            && error.kind() != io::ErrorKind::WouldBlock
        {
            self.is_broken = true;
        }
        if self.is_broken {
            self.waiting.clear();
        }
    }

    /// Whether all that was written has left, or never will.
    pub(super) fn is_flushed(&self) -> bool {
        self.is_broken || self.waiting.is_empty() && self.tls.as_ref().is_none_or(Session::is_idle)
    }

    /// Says that no more will come.
    pub(super) fn tell_end(&mut self) {
        self.is_told = true;
        if let Some(tls) = &mut self.tls {
            tls.say_end();
        }
        self.flush();
        // It may be gone already.
        let told = self.stream.shutdown(Shutdown::Write).is_ok();
        tracing::trace!(told, "an end");
    }

    /// Makes its end a reset: "If on and zero: the connection is reset" on close (socket(7), SO_LINGER).
    pub(super) fn reset(&self) {
        let lingering = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        debug_assert!(lingering.is_ok(), "a socket of our own");
    }

    fn send(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while !self.is_broken {
            let rest = bytes.get(taken..).unwrap_or_default();
            if rest.is_empty() {
                return taken;
            }
            let sent = match &mut self.tls {
                None => self.stream.write(rest),
                Some(tls) => tls.write(&mut self.stream, rest),
            };
            match sent {
                Ok(0) => return taken,
                Ok(count) => taken += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return taken,
                Err(_) => self.is_broken = true,
            }
        }
        bytes.len()
    }
}
