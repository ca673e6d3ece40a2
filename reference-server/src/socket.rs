//! The stream that tungstenite sees: it reads the socket, and writes into the connection's queue.
//!
//! So pongs and answers to Close frames, which tungstenite writes while reading, take their place
//! among everything else that is sent.

use std::{
    io::{self, Read},
    net::TcpStream,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use async_io::Async;
use bytes::Bytes;
use futures_lite::{AsyncRead, AsyncWrite};

use crate::connection::Connection;

#[derive(Debug)]
pub(crate) struct Socket {
    connection: Arc<Connection>,
    /// Whether the last read took everything there was: then another one before the next readiness
    /// would only cost a system call.
    is_drained: bool,
}

impl Socket {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self { connection, is_drained: false }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.is_drained {
                ready!(self.connection.socket.poll_readable(cx))?;
                self.is_drained = false;
            }
            match self.connection.socket.get_ref().read(buffer) {
                Ok(read) => {
                    self.connection.server.metrics.bytes_in.inc_by(read as u64);
                    self.is_drained = 0 < read && read < buffer.len();
                    return Poll::Ready(Ok(read));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_drained = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
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
        // The task that reads flushes its own queue after each turn.
        self.connection.push(Bytes::copy_from_slice(frames));
        Poll::Ready(Ok(frames.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Reads and forgets; ready when the peer has stopped sending, or the socket is broken.
pub(crate) fn discard(socket: &Async<TcpStream>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    let mut nowhere = [0; 4096];
    loop {
        match socket.get_ref().read(&mut nowhere) {
            Ok(0) => return Poll::Ready(Ok(())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(socket.poll_readable(cx))?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}
