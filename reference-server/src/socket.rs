//! The stream that tungstenite sees: it reads the socket, and writes into the connection's queue.
//!
//! So pongs and answers to Close frames, which tungstenite writes while reading, take their place
//! among everything else that is sent.

use std::{
    cell::RefCell,
    io::{self, Read},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_lite::{AsyncRead, AsyncWrite};

use crate::{connection::Connection, stream::Stream};

/// What one system call reads.
const READ_BYTES: usize = 16 * 1024;

thread_local! {
    /// The buffer that connections share while they read; none keeps one of this size.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

#[derive(Debug)]
pub(crate) struct Socket {
    connection: Arc<Connection>,
    /// What was read and not yet taken. Not a byte of memory while there is nothing.
    rest: Vec<u8>,
    taken: usize,
    /// Whether the last read took everything there was: then another one before the next readiness
    /// would only cost a system call.
    is_drained: bool,
}

impl Socket {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self { connection, rest: Vec::new(), taken: 0, is_drained: false }
    }
}

impl Socket {
    /// Gives out what is left of the last read.
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let mut left = self.rest.get(self.taken..).unwrap_or_default();
        // Reading from memory does not fail.
        let taken = left.read(buffer).unwrap_or_default();
        self.taken += taken;
        if self.taken == self.rest.len() {
            (self.rest, self.taken) = (Vec::new(), 0);
        }
        taken
    }

    fn read(&mut self, shared: &mut [u8], buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.connection.stream.read(shared)?;
        self.connection.server.metrics.bytes_in.inc_by(got.bytes as u64);
        self.is_drained = got.is_all;
        #[cfg(all(feature = "mutants", debug_assertions))]
        crate::mutants::reads(&self.connection, shared.get_mut(..got.bytes));
        let mut fresh = shared.get(..got.bytes).unwrap_or_default();
        let taken = fresh.read(buffer)?;
        self.rest.extend_from_slice(fresh);
        Ok(taken)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Ok(self.take(buffer)));
        }
        loop {
            if self.is_drained {
                ready!(self.connection.stream.poll_readable(cx))?;
                self.is_drained = false;
            }
            match READ.with_borrow_mut(|shared| self.read(shared, buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_drained = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return Poll::Ready(read),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        frames: &[u8],
    ) -> Poll<io::Result<usize>> {
        let length = frames.len();
        #[cfg(all(feature = "mutants", debug_assertions))]
        let frames = &*crate::mutants::writes(&self.connection, frames);
        // The task that reads flushes its own queue after each turn.
        self.connection.push(Bytes::copy_from_slice(frames));
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Reads and forgets; ready when the peer has stopped sending, or the socket is broken.
pub(crate) fn discard(stream: &Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    while ready!(READ.with_borrow_mut(|nowhere| stream.poll_read(cx, nowhere)))? > 0 {}
    Poll::Ready(Ok(()))
}
