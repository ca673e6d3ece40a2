//! What a connection speaks: a protocol's session, or plain echo.

use std::sync::Arc;

use async_tungstenite::tungstenite::protocol::{
    Message,
    frame::{
        Frame as Encoder,
        coding::{Data, OpCode},
    },
};
use bytes::Bytes;
use protocol::{Dialect, Incoming, Limits, Now, Reason, Session};

pub(crate) use protocol::Flow;

use crate::{connection::Connection, world::Turn};

/// Echoed messages may be longer than others: suites for RFC 6455 send long ones.
const ECHO_BYTES: usize = 1024 * 1024;

/// What an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Native,
    Echo,
    #[cfg(test)]
    Panic,
}

impl Speaks {
    /// Begins to speak on a connection.
    pub(crate) fn open(self, now: Now, connection: &Arc<Connection>, turn: &Turn) -> Handler {
        match self {
            Self::Native => {
                let peer = connection.clone();
                Handler::Native(Box::new(Session::open(Dialect::Native, now, None, peer, turn)))
            }
            Self::Echo => Handler::Echo,
            #[cfg(test)]
            Self::Panic => Handler::Panic,
        }
    }
}

/// One connection's part of its protocol.
#[derive(Debug)]
pub(crate) enum Handler {
    Native(Box<Session<Arc<Connection>>>),
    Echo,
    #[cfg(test)]
    Panic,
}

impl Handler {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Native(_) => "native",
            Self::Echo => "echo",
            #[cfg(test)]
            Self::Panic => "panic",
        }
    }

    /// The longest message it takes.
    pub(crate) fn message_bytes(&self, limits: &Limits) -> Option<usize> {
        let limit = match self {
            Self::Echo => limits.message_bytes.max(ECHO_BYTES),
            _ => limits.message_bytes,
        };
        (limits.message_bytes > 0).then_some(limit)
    }

    /// Takes in one message; what there is to send is pushed through `turn`.
    pub(crate) fn received(
        &mut self,
        now: Now,
        message: Message,
        connection: &Connection,
        turn: &Turn,
    ) -> Flow {
        match (self, message) {
            (Self::Native(session), Message::Text(text)) => {
                session.received(now, Incoming::Text(&text), turn)
            }
            (Self::Native(session), Message::Binary(bytes)) => {
                session.received(now, Incoming::Binary(&bytes), turn)
            }
            (Self::Echo, Message::Text(text)) => {
                echo(connection, text.into(), Data::Text);
                Flow::Continue
            }
            (Self::Echo, Message::Binary(bytes)) => {
                echo(connection, bytes, Data::Binary);
                Flow::Continue
            }
            #[cfg(test)]
            (Self::Panic, Message::Text(text)) => panic!("asked to: {text}"),
            _ => Flow::Continue,
        }
    }

    /// Ends, however it came about.
    pub(crate) fn end(&mut self, now: Now, reason: Reason, turn: &Turn) {
        if let Self::Native(session) = self {
            session.end(now, reason, turn);
        }
    }
}

fn echo(connection: &Connection, payload: Bytes, opcode: Data) {
    let frame = Encoder::message(payload, OpCode::Data(opcode), true);
    let mut bytes = Vec::with_capacity(frame.len());
    if frame.format(&mut bytes).is_ok() {
        // Nobody else pushes onto an echo's queue, and its task flushes it after each turn.
        connection.push(bytes.into());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use crate::{Config, Shutdown, serve};

    const HANDSHAKE: &str = "GET /panic HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";

    fn answer(address: std::net::SocketAddr, request: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_handler_that_panics_costs_its_own_connection_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let serving = async_std::task::spawn(serve(Config::default(), listener, shutdown.clone()));

        // A masked "hi" right behind the handshake.
        let request = [HANDSHAKE.as_bytes(), &[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']].concat();
        let told = answer(address, &request);
        let close = &told[told.len() - 18..];
        assert_eq!(close, b"\x88\x10\x03\xf3internal error");

        let metrics = answer(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        let metrics = String::from_utf8(metrics).unwrap();
        assert!(metrics.contains("tidemark_panics_total 1\n"), "{metrics}");
        shutdown.now();
        async_std::task::block_on(serving).unwrap();
    }
}
