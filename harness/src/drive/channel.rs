//! A connection of its own, beside those of the swarm: in the clear or under TLS, for async code.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_io::Async;
use futures_lite::{AsyncRead, AsyncWrite, future};

use super::director::Target;
use super::tls::Session;

/// Reads and writes; closing it stops sending.
#[derive(Debug)]
pub(super) struct Channel {
    socket: Async<TcpStream>,
    tls: Option<Session>,
}

impl Channel {
    /// Connects, and agrees on TLS where the target speaks it.
    pub(super) async fn open(target: &Target) -> io::Result<Self> {
        let socket = Async::<TcpStream>::connect(target.address).await?;
        let tls = target.tls.as_ref().map(|tls| tls.session()).transpose()?;
        let mut channel = Self { socket, tls };
        future::poll_fn(|cx| channel.poll_shaken(cx)).await?;
        Ok(channel)
    }

    fn poll_shaken(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flushed(cx))?;
            let Some(tls) = &mut self.tls else { return Poll::Ready(Ok(())) };
            match tls.shake(&mut self.socket.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_readable(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
                Ok(()) => return self.poll_flushed(cx),
            }
        }
    }

    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(tls) = &mut self.tls else { return Poll::Ready(Ok(())) };
        loop {
            match tls.flush(&mut self.socket.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_writable(cx))?;
                }
                flushed => return Poll::Ready(flushed),
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut socket = self.socket.get_ref();
        match &mut self.tls {
            None => socket.read(buffer),
            Some(tls) => tls.read(&mut socket, buffer).map(|got| got.bytes),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut socket = self.socket.get_ref();
        match &mut self.tls {
            None => socket.write(bytes),
            Some(tls) => match tls.write(&mut socket, bytes)? {
                0 if !bytes.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
                taken => Ok(taken),
            },
        }
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_readable(cx))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return Poll::Ready(read),
            }
        }
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_writable(cx))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flushed(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(tls) = &mut self.tls {
            tls.say_end();
        }
        ready!(self.poll_flushed(cx))?;
        Poll::Ready(self.socket.get_ref().shutdown(Shutdown::Write))
    }
}
