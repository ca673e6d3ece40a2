//! A connection's bytes, in the clear or under TLS: read and written without waiting.

use std::{
    io::{self, IoSlice, Read, Write},
    net::{Shutdown, TcpStream},
    task::{Context, Poll, ready},
};

use async_io::Async;
use futures_lite::future::poll_fn;
use parking_lot::Mutex;
use rustls::ServerConnection;

use crate::tls::Tls;

/// The first byte of a TLS connection: a record that holds a handshake message (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// A socket, and what encrypts on it if anything does.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Async<TcpStream>,
    /// Locked for as long as one call encrypts or decrypts, never while anybody waits.
    tls: Option<Box<Mutex<ServerConnection>>>,
}

/// What one read came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Got {
    /// None: the peer sends no more.
    pub(crate) bytes: usize,
    /// Whether that was all there is: then another read before the next readiness would only cost a
    /// system call.
    pub(crate) is_all: bool,
}

/// How a TLS handshake ended, if not well.
#[derive(Debug)]
pub(crate) enum Unshaken {
    /// The peer speaks no TLS. What it sent is still there to be read.
    NoTls,
    /// It failed; the alert that says so is on its way.
    Failed(io::Error),
}

impl Stream {
    /// A socket that is to speak TLS, or not.
    pub(crate) fn new(socket: Async<TcpStream>, tls: Option<&Tls>) -> io::Result<Self> {
        let tls = tls.map(Tls::session).transpose()?.map(|session| Box::new(Mutex::new(session)));
        Ok(Self { socket, tls })
    }

    /// What lies under it: for its options, not for its bytes.
    pub(crate) fn socket(&self) -> &TcpStream {
        self.socket.get_ref()
    }

    /// Reads what is there.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<Got> {
        if let Some(session) = &self.tls {
            return decrypt(&mut session.lock(), self.socket(), buffer);
        }
        let bytes = self.socket().read(buffer)?;
        Ok(Got { bytes, is_all: is_short(bytes, buffer.len()) })
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.read(buffer) {
                Ok(got) => return Poll::Ready(Ok(got.bytes)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_readable(cx))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Ready when the socket may have more than the last read saw.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_readable(cx)
    }

    /// Ready when the socket may take more than it did.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_writable(cx)
    }

    /// Writes all of it, waiting as often as it must.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        poll_fn(|cx| {
            loop {
                let mut writer = self;
                let written = match bytes {
                    [] => writer.flush().map(|()| None),
                    some => writer.write(some).map(Some),
                };
                match written {
                    Ok(None) => return Poll::Ready(Ok(())),
                    Ok(Some(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Ok(Some(count)) => bytes = bytes.get(count..).unwrap_or_default(),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        ready!(self.poll_writable(cx))?;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        })
        .await
    }

    /// Stops sending; ready when everything before has left. To be polled again until then.
    pub(crate) fn poll_shut(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(session) = &self.tls {
            // "Each party MUST send a close_notify alert before closing its write side of the
            // connection" (RFC 8446, 6.1). Asked twice, it sends one.
            session.lock().send_close_notify();
            loop {
                let mut writer = self;
                match writer.flush() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        ready!(self.poll_writable(cx))?;
                    }
                    flushed => break flushed?,
                }
            }
        }
        Poll::Ready(self.socket().shutdown(Shutdown::Write))
    }

    /// Agrees with the peer on TLS, where that is spoken.
    pub(crate) async fn handshake(&self) -> Result<(), Unshaken> {
        let Some(session) = &self.tls else { return Ok(()) };
        let mut first = [0];
        let peeked = self.socket.peek(&mut first).await.map_err(Unshaken::Failed)?;
        if peeked > 0 && first != [TLS_HANDSHAKE] {
            return Err(Unshaken::NoTls);
        }
        poll_fn(|cx| self.poll_handshake(cx, session)).await.map_err(Unshaken::Failed)
    }

    /// Goes on in the clear, with a peer that speaks no TLS.
    pub(crate) fn give_up_tls(&mut self) {
        self.tls = None;
    }

    fn poll_handshake(
        &self,
        cx: &mut Context<'_>,
        session: &Mutex<ServerConnection>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut session = session.lock();
            match send(&mut session, self.socket()) {
                Ok(()) if session.is_handshaking() => {}
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_writable(cx))?;
                    continue;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
            match receive(&mut session, &mut Incoming::of(self.socket())) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_readable(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// Takes what the socket takes. Under TLS that is what has been encrypted: bytes may have been taken
/// and not left yet, and [`Write::flush`] says whether all have.
impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.tls {
            None => self.socket().write(bytes),
            Some(session) => encrypt(&mut session.lock(), self.socket(), &[IoSlice::new(bytes)]),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.tls {
            None => self.socket().write_vectored(slices),
            Some(session) => encrypt(&mut session.lock(), self.socket(), slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &self.tls {
            None => Ok(()),
            Some(session) => send(&mut session.lock(), self.socket()),
        }
    }
}

/// Fills the buffer with what can be decrypted of what is there.
fn decrypt(
    session: &mut ServerConnection,
    socket: &TcpStream,
    buffer: &mut [u8],
) -> io::Result<Got> {
    let mut incoming = Incoming::of(socket);
    let mut bytes = 0;
    loop {
        let free = buffer.get_mut(bytes..).unwrap_or_default();
        if free.is_empty() {
            return Ok(Got { bytes, is_all: false });
        }
        match session.reader().read(free) {
            Ok(0) => return Ok(Got { bytes, is_all: false }),
            Ok(read) => {
                bytes += read;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The end without a close_notify: a WebSocket says itself whether it is complete.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(Got { bytes, is_all: false });
            }
            Err(error) => return Err(error),
        }
        let received = if incoming.is_empty {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            receive(session, &mut incoming)
        };
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && bytes > 0 => {
                return Ok(Got { bytes, is_all: true });
            }
            // What stood before a breach of TLS goes down with it.
            Err(error) => return Err(error),
            Ok(_) => {}
        }
    }
}

/// Encrypts as much as there is place for, and sends what the socket takes. Refuses, like a full
/// socket, for as long as something encrypted before has not left: so little is held here.
fn encrypt(
    session: &mut ServerConnection,
    socket: &TcpStream,
    slices: &[IoSlice<'_>],
) -> io::Result<usize> {
    send(session, socket)?;
    let taken = session.writer().write_vectored(slices)?;
    match send(session, socket) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(taken),
    }
}

/// Sends what is encrypted already.
fn send(session: &mut ServerConnection, mut socket: &TcpStream) -> io::Result<()> {
    while session.wants_write() {
        match session.write_tls(&mut socket) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads once, and takes in what came; 0 at the end.
fn receive(session: &mut ServerConnection, incoming: &mut Incoming<'_>) -> io::Result<usize> {
    let read = loop {
        match session.read_tls(incoming) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    let processed = session.process_new_packets();
    // Parts of a handshake, answers to new keys, alerts: what the socket does not take now leaves
    // with the next bytes. If the socket is broken, the next read says so.
    send(session, incoming.socket).unwrap_or_default();
    processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(read)
}

/// The socket as TLS reads it, with a note on whether it has been emptied.
struct Incoming<'a> {
    socket: &'a TcpStream,
    is_empty: bool,
}

impl<'a> Incoming<'a> {
    fn of(socket: &'a TcpStream) -> Self {
        Self { socket, is_empty: false }
    }
}

impl Read for Incoming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.socket.read(buffer)?;
        self.is_empty = is_short(read, buffer.len());
        Ok(read)
    }
}

/// On a stream socket a read that returns less than it could has emptied it (epoll(7), question 9);
/// the end of the stream is always there to be read.
fn is_short(read: usize, asked: usize) -> bool {
    0 < read && read < asked
}
