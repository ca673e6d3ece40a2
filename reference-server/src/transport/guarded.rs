//! tide-websockets with what it lacks put around it: its reader and its writer between our socket and
//! our queue.
//!
//! The crate reads our socket and writes into the connection's queue, which never makes it wait: so
//! the lock that it holds while it sends is never held for long, and what does not read fills a
//! queue that is bounded in bytes. Limits are its own, which its handler leaves off. It writes no Close
//! frame that is wanted: those are ours, and come past it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use async_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use bytes::Bytes;
use futures_lite::{AsyncRead, AsyncWrite, Stream, future};
use parking_lot::Mutex;
use protocol::{Ending, Frame};
use tide::http::upgrade;
use tide_websockets::{
    Message as Theirs, WebSocketConnection,
    async_tungstenite::WebSocketStream,
    tungstenite::{
        Error,
        error::ProtocolError,
        protocol::{Role, WebSocketConfig},
    },
};
use tracing::debug;

use crate::{
    connection::{Connection, Order},
    conversation::Inlet,
    outbound::Pushed,
    socket::Socket,
};

/// The first byte's low half in a Close frame.
const CLOSE: u8 = 0x8;

/// The crate's half of a connection's queue, while there is one.
#[derive(Debug, Default)]
pub(crate) struct Outlet {
    sender: Mutex<Option<WebSocketConnection>>,
    /// Whether what was written must be flushed by whoever pushes.
    must_flush: AtomicBool,
    refused: AtomicBool,
}

impl Outlet {
    /// Sends a frame through the crate, if this connection's bytes go through it.
    pub(crate) fn push(&self, frame: &Bytes) -> Option<Pushed> {
        let sender = self.sender.lock().clone()?;
        let message = super::message(frame);
        // The queue takes everything at once; what may be waited for is another thread that is
        // taking a frame from the same crate's hands, for as long as that takes.
        let sent = future::block_on(sender.send(message));
        let is_refused = self.refused.load(Ordering::Acquire);
        Some(match (sent, self.must_flush.swap(false, Ordering::AcqRel)) {
            (_, true) => Pushed::Flush,
            (Ok(()), false) if !is_refused => Pushed::Queued,
            _ => Pushed::Refused,
        })
    }

    fn note(&self, pushed: &Pushed) {
        match pushed {
            Pushed::Flush => self.must_flush.store(true, Ordering::Release),
            Pushed::Refused => self.refused.store(true, Ordering::Release),
            Pushed::Queued => {}
        }
    }
}

/// The stream that the crate sees: the socket to read, the queue to write.
#[derive(Debug)]
struct Guard {
    socket: Socket,
    connection: Arc<Connection>,
}

impl AsyncRead for Guard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Guard {
    /// The crate writes one frame at a time, and as nothing is ever left over, always a whole one.
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        frame: &[u8],
    ) -> Poll<io::Result<usize>> {
        // It answers 1000 to every Close.
        if frame.first().is_some_and(|first| first & 0xf != CLOSE) {
            let pushed = self.connection.enqueue(Bytes::copy_from_slice(frame));
            self.connection.through_crate.note(&pushed);
        }
        // What the queue refuses has an end coming, and the crate would only keep it.
        Poll::Ready(Ok(frame.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What the crate reads.
#[derive(Debug)]
pub(crate) struct Reader {
    messages: WebSocketConnection,
    connection: Arc<Connection>,
}

impl Reader {
    /// Puts the crate between a connection's socket and its queue, both ways.
    pub(crate) async fn new(connection: Arc<Connection>, early: Vec<u8>) -> Self {
        let limits = &connection.server.config.limits;
        let config = WebSocketConfig {
            max_message_size: connection.speaks.message_bytes(limits),
            max_frame_size: connection.speaks.frame_bytes(limits),
            ..WebSocketConfig::default()
        };
        let socket = Socket::new(connection.clone());
        let guard = upgrade::Connection::new(Guard { socket, connection: connection.clone() });
        let stream =
            WebSocketStream::from_partially_read(guard, early, Role::Server, Some(config)).await;
        let messages = WebSocketConnection::from(stream);
        *connection.through_crate.sender.lock() = Some(messages.clone());
        Self { messages, connection }
    }

    /// The peer's Close is answered in kind (RFC 6455, 5.5.1), and not by the crate.
    fn answer(
        &self,
        close: Option<tide_websockets::tungstenite::protocol::CloseFrame<'_>>,
    ) -> Message {
        let close = close.map(|close| match close.code.is_allowed() {
            true => CloseFrame {
                code: u16::from(close.code).into(),
                reason: close.reason.into_owned().into(),
            },
            false => CloseFrame { code: CloseCode::Protocol, reason: "Protocol violation".into() },
        });
        let frame = match &close {
            Some(close) => Frame::close(close.code.into(), &close.reason).bytes().clone(),
            None => Bytes::from_static(&[0x80 | CLOSE, 0]),
        };
        // This connection's own task flushes it.
        self.connection.enqueue(frame);
        Message::Close(close)
    }
}

impl Inlet for Reader {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Order>> {
        Poll::Ready(match ready!(Pin::new(&mut self.messages).poll_next(cx)) {
            Some(Ok(Theirs::Text(text))) => Ok(Message::Text(text.into())),
            Some(Ok(Theirs::Binary(bytes))) => Ok(Message::Binary(bytes.into())),
            Some(Ok(Theirs::Ping(bytes))) => Ok(Message::Ping(bytes.into())),
            Some(Ok(Theirs::Pong(bytes))) => Ok(Message::Pong(bytes.into())),
            Some(Ok(Theirs::Close(close))) => Ok(self.answer(close)),
            Some(Err(error)) => {
                debug!(conn = self.connection.id, %error, "tide-websockets");
                Err(order_of(&error))
            }
            None => Err(Order::Lost),
        })
    }
}

impl Drop for Reader {
    /// What follows goes straight into the queue; and the crate holds the connection no longer.
    fn drop(&mut self) {
        self.connection.through_crate.sender.lock().take();
    }
}

/// What a failure to read calls for (RFC 6455, 7.1.7).
fn order_of(error: &Error) -> Order {
    let ending = match error {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
        | Error::Io(_)
        | Error::ConnectionClosed
        | Error::AlreadyClosed => return Order::Lost,
        Error::Utf8 => Ending::NOT_UTF8,
        Error::Capacity(_) => Ending::TOO_BIG,
        _ => Ending::PROTOCOL_ERROR,
    };
    Order::Close(ending)
}
