//! The task of one connection: it reads, lets the session answer, and sees the connection to its end.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self,
        error::{CapacityError, ProtocolError},
        protocol::{Message, Role, WebSocketConfig},
    },
};
use bytes::Bytes;
use futures_lite::{Stream, future};
use protocol::{Ending, Frame, Reason, Sign, Time};
use tracing::{debug, error};

use crate::{
    Turn,
    connection::{Connection, Order},
    handler::{Flow, Handler},
    outbound::Flushed,
    server::Server,
    socket::{Socket, discard},
    upgrade::Asked,
};

/// Eagerly allocated by tungstenite for each connection, 128 KiB unless told otherwise. System calls
/// read more than this, see `socket.rs`; it grows for a longer message.
const READ_BYTES: usize = 1024;
/// Messages of one connection that make one turn, if they are there; then others have theirs.
const MESSAGES_AT_ONCE: usize = 64;
/// And their bytes: what a turn may add to the queue of one peer before it is flushed.
const BYTES_AT_ONCE: usize = 128 * 1024;

/// Pings that one connection may send in a second, unless requests are not limited either.
const PINGS_PER_S: u32 = 1000;

/// RFC 6455, 7.4.1: "the server is terminating the connection because it encountered an unexpected
/// condition".
const CRASHED: Ending = Ending::new(1011, "internal error", Reason::Closed);
/// What is counted for an end without a Close frame (RFC 6455, 7.1.5).
const ABNORMAL: u16 = 1006;
/// What is counted for a Close frame without a code (RFC 6455, 7.1.5).
const NO_STATUS: u16 = 1005;

/// Serves a connection whose handshake has been answered with `answer`, to its very end.
pub(crate) async fn run(connection: Arc<Connection>, answer: Bytes, early: Vec<u8>, asked: Asked) {
    // The handshake's answer is the first thing in the queue, so that whatever the session has to
    // say at once leaves together with it.
    connection.push(answer);
    #[cfg(feature = "tide-websockets")]
    if connection.server.config.transport == crate::Transport::TideWebsockets {
        let reader = crate::transport::guarded::Reader::new(connection.clone(), early).await;
        return converse(connection, reader, asked).await;
    }
    let limits = &connection.server.config.limits;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_message_size(connection.speaks.message_bytes(limits))
        .max_frame_size(connection.speaks.frame_bytes(limits));
    #[cfg(all(feature = "mutants", debug_assertions))]
    let config = crate::mutants::framing(&connection.server, config);
    let socket = Socket::new(connection.clone());
    let stream =
        WebSocketStream::from_partially_read(socket, early, Role::Server, Some(config)).await;
    converse(connection, stream, asked).await;
}

/// Where a connection's messages come from.
pub(crate) trait Inlet {
    /// The next one, or why there are no more. After a Close its answer is in the queue when this
    /// has been called once more.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Order>>;
}

impl Inlet for WebSocketStream<Socket> {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Order>> {
        Poll::Ready(match ready!(Pin::new(self).poll_next(cx)) {
            Some(message) => message.map_err(|error| order_of(&error)),
            None => Err(Order::Lost),
        })
    }
}

async fn converse(connection: Arc<Connection>, mut inlet: impl Inlet, asked: Asked) {
    let server = connection.server.clone();
    let mut turn = Turn::new(server.clone());
    let speaks = connection.speaks;
    let mut handler = speaks.open(server.now(), asked.opening(), &connection, &turn);
    drop(asked);
    debug!(conn = connection.id, speaks = speaks.name(), "open");

    connection.start_heartbeat();

    let mut intake = Intake::default();
    let order = loop {
        let step = future::poll_fn(|cx| {
            let step = poll_turn(cx, &connection, &mut inlet, &mut handler, &mut turn, &mut intake);
            server.metrics.heard(speaks, mem::take(&mut intake.messages));
            let done = turn.flush_some();
            connection.flush_own();
            match step {
                Poll::Pending if done && !turn.is_held_up() => Poll::Pending,
                Poll::Pending => Poll::Ready(None),
                Poll::Ready(order) => Poll::Ready(order),
            }
        })
        .await;
        turn.flush().await;
        turn.wait_for_readers(Some(&connection)).await;
        match step {
            Some(order) => break order,
            None => future::yield_now().await,
        }
    };
    drop(inlet);
    #[cfg(all(feature = "mutants", debug_assertions))]
    let order = crate::mutants::ends(&connection, order);
    debug!(conn = connection.id, ?order, "end");
    finish(&connection, order, &mut handler, &mut turn);
    turn.flush().await;
    drop((handler, turn));
    linger(&connection, order).await;
}

/// Handles the messages that are there, up to a turn's worth. Ready with an order ends the
/// connection, ready without one wants to go on after others have had their turn.
fn poll_turn(
    cx: &mut Context<'_>,
    connection: &Arc<Connection>,
    inlet: &mut impl Inlet,
    handler: &mut Handler,
    turn: &mut Turn,
    intake: &mut Intake,
) -> Poll<Option<Order>> {
    if let Poll::Ready(order) = connection.poll_order(cx) {
        return Poll::Ready(Some(order));
    }
    let mut bytes = 0;
    for _ in 0..MESSAGES_AT_ONCE {
        let message = match ready!(inlet.poll_message(cx)) {
            Ok(message) => message,
            Err(order) => return Poll::Ready(Some(order)),
        };
        bytes += message.len();
        intake.messages += u64::from(message.is_text() || message.is_binary());
        let now = connection.server.now();
        let lives = sign_of(&message).is_none_or(|sign| connection.speaks.lives_by(sign));
        #[cfg(all(feature = "mutants", debug_assertions))]
        let lives = crate::mutants::lives(connection, &message, lives);
        if lives {
            connection.see(now.time);
        }
        if message.is_ping() && intake.is_ping_flood(now.time, &connection.server) {
            return Poll::Ready(Some(Order::Close(Ending::ABUSE)));
        }
        if let Message::Close(frame) = message {
            let code = frame.map_or(NO_STATUS, |frame| frame.code.into());
            // What comes of it is known already: the peer has said its last.
            let after = inlet.poll_message(cx);
            debug!(conn = connection.id, ?after, "after Close");
            return Poll::Ready(Some(Order::Closed(code)));
        }
        let handled =
            catch_unwind(AssertUnwindSafe(|| handler.received(now, message, connection, turn)));
        match handled {
            Ok(Flow::Continue) => {}
            Ok(Flow::Alive) => connection.see(now.time),
            Ok(Flow::Close(ending)) => {
                return Poll::Ready(Some(Order::Close(ending)));
            }
            Err(_panic) => {
                error!(conn = connection.id, "a handler panicked");
                connection.server.metrics.panics.inc();
                return Poll::Ready(Some(Order::Close(CRASHED)));
            }
        }
        if bytes > BYTES_AT_ONCE {
            break;
        }
    }
    Poll::Ready(None)
}

/// What a message is as a sign of life; a Close is not asked for one.
fn sign_of(message: &Message) -> Option<Sign> {
    match message {
        Message::Text(_) => Some(Sign::Text),
        Message::Binary(_) => Some(Sign::Binary),
        Message::Ping(_) => Some(Sign::Ping),
        Message::Pong(_) => Some(Sign::Pong),
        Message::Close(_) | Message::Frame(_) => None,
    }
}

/// What came in on a connection, as far as it is counted.
#[derive(Debug, Default)]
struct Intake {
    /// Whole messages since they were last added to the metrics.
    messages: u64,
    since: Time,
    /// Pings since then, for a second: each makes us send, whoever reads it.
    pings: u32,
}

impl Intake {
    fn is_ping_flood(&mut self, now: Time, server: &Server) -> bool {
        if now.since(self.since) >= Duration::from_secs(1) {
            (self.since, self.pings) = (now, 0);
        }
        self.pings += 1;
        server.config.limits.requests_per_s > 0 && self.pings > PINGS_PER_S
    }
}

/// What a failure to read calls for (RFC 6455, 7.1.7, _Fail the WebSocket Connection_).
fn order_of(error: &tungstenite::Error) -> Order {
    use tungstenite::Error;
    let ending = match error {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
        | Error::Io(_)
        | Error::ConnectionClosed
        | Error::AlreadyClosed => return Order::Lost,
        Error::Utf8(_) => Ending::NOT_UTF8,
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Ending::TOO_BIG,
        _ => Ending::PROTOCOL_ERROR,
    };
    Order::Close(ending)
}

/// Tells the rooms, and puts the last frame into the queue.
fn finish(connection: &Connection, order: Order, handler: &mut Handler, turn: &mut Turn) {
    let now = connection.server.now();
    let speaks = connection.speaks;
    let slow = speaks.ending(Ending::SLOW);
    let order = match order {
        Order::Close(ending) => Order::Close(speaks.ending(ending)),
        order => order,
    };
    let (reason, code) = match order {
        Order::Close(ending) => (ending.told, ending.code),
        Order::Slow => (slow.told, slow.code),
        Order::Closed(code) => (Reason::Closed, code),
        Order::Lost => (Reason::Closed, ABNORMAL),
    };
    connection.server.metrics.closed(code);
    #[cfg(all(feature = "mutants", debug_assertions))]
    let _ending = crate::mutants::ending(connection);
    if catch_unwind(AssertUnwindSafe(|| handler.end(now, reason, turn))).is_err() {
        error!(conn = connection.id, "a handler panicked at its end");
        connection.server.metrics.panics.inc();
    }
    let mut outbound = connection.outbound.lock();
    match order {
        Order::Close(ending) => {
            if let Some(farewell) = speaks.farewell(ending) {
                outbound.push(farewell.bytes().clone(), connection.queue_bytes());
            }
            let close = Frame::close(ending.code, ending.reason);
            outbound.close(close.bytes().clone(), connection.queue_bytes());
        }
        Order::Slow => {
            outbound.cut(Frame::close(slow.code, slow.reason).bytes().clone());
        }
        Order::Closed(_) | Order::Lost => outbound.seal(),
    }
}

/// Sends what is left, then stops sending and discards what still comes, for a bounded time: closing
/// a socket with unread input sends a reset, which can destroy the Close frame on its way.
async fn linger(connection: &Arc<Connection>, order: Order) {
    if order == Order::Lost {
        return;
    }
    let server = &connection.server;
    let alarm = server.wheel.alarm(server.in_future(server.config.linger));
    let mut shut = false;
    let farewell = future::poll_fn(|cx| {
        connection.task.register(cx.waker());
        if !shut {
            match connection.poll_written(cx) {
                Poll::Ready(Flushed::Empty) => match connection.stream.poll_shut(cx) {
                    Poll::Ready(Ok(())) => shut = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                },
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        match discard(&connection.stream, cx) {
            // The peer has stopped sending too: all that matters is whether everything has left.
            Poll::Ready(Ok(())) if shut => Poll::Ready(()),
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    });
    let in_time = future::or(
        async {
            farewell.await;
            true
        },
        async {
            alarm.await;
            false
        },
    )
    .await;
    if !in_time && (order == Order::Slow || !connection.outbound.lock().is_empty()) {
        // It never read its Close: a reset frees what the kernel still holds for it.
        let socket = socket2::SockRef::from(connection.stream.socket());
        if let Err(error) = socket.set_linger(Some(Duration::ZERO)) {
            debug!(conn = connection.id, %error, "no reset");
        }
    }
}
