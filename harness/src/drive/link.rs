//! The write half of a client's connection: any thread may write, nothing ever waits.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use mio::net::TcpStream;
use parking_lot::Mutex;

/// Bytes that may wait for a socket that takes no more. A client that has asked for so much without
/// reading the answers is no use to anybody.
const WAITING_MAX: usize = 4 << 20;

/// A connection's socket, and what waits to be written to it.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    out: Mutex<Out>,
    paused: AtomicBool,
}

#[derive(Debug, Default)]
struct Out {
    waiting: Vec<u8>,
    broken: bool,
}

impl Link {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, out: Mutex::default(), paused: AtomicBool::new(false) }
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

    /// Writes, or keeps for [`Link::flush`] what the socket does not take now. Errors are the read
    /// half's to tell: the same connection ends there.
    pub(super) fn write(&self, bytes: &[u8]) {
        let mut out = self.out.lock();
        if out.broken {
            return;
        }
        if !out.waiting.is_empty() {
            out.keep(bytes);
            return;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match (&self.stream).write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return out.keep(rest),
                Err(_) => {
                    out.broken = true;
                    return;
                }
            }
        }
    }

    /// Ends the write half of TCP, in order; the read half goes on.
    pub(super) fn end_of_writing(&self) -> io::Result<()> {
        self.out.lock().broken = true;
        self.stream.shutdown(std::net::Shutdown::Write)
    }

    /// Writes what was kept. Called when the socket takes more.
    pub(super) fn flush(&self) {
        let waiting = std::mem::take(&mut self.out.lock().waiting);
        if !waiting.is_empty() {
            self.write(&waiting);
        }
    }
}

impl Out {
    fn keep(&mut self, bytes: &[u8]) {
        if self.waiting.len() + bytes.len() > WAITING_MAX {
            self.broken = true;
            self.waiting = Vec::new();
        } else {
            self.waiting.extend_from_slice(bytes);
        }
    }
}
