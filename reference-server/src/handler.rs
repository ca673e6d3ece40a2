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
use protocol::{Dialect, Ending, Frame, Incoming, Limits, Now, Opening, Reason, Session, Sign};

pub(crate) use protocol::Flow;

use crate::{
    Turn,
    connection::{Connection, Order},
};

/// Echoed messages may be longer than others: suites for RFC 6455 send long ones.
const ECHO_BYTES: usize = 1024 * 1024;

/// What an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Dialect(Dialect),
    /// Whatever comes goes back. In what it does not differ in, it is like `native`.
    Echo,
    #[cfg(test)]
    Panic,
}

impl Speaks {
    /// Begins to speak on a connection, in what was asked for; or ends it.
    pub(crate) fn open(
        self,
        now: Now,
        opening: Opening<'_>,
        connection: &Arc<Connection>,
        turn: &Turn,
    ) -> Handler {
        #[cfg(all(feature = "mutants", debug_assertions))]
        let _opening = crate::mutants::opening(connection);
        match self {
            Self::Dialect(dialect) => {
                match Session::open(dialect, now, opening, connection.clone(), turn) {
                    Ok(session) => {
                        connection.tell_id(session.id());
                        #[cfg(all(feature = "mutants", debug_assertions))]
                        let session = crate::mutants::opened(session, now, connection, turn);
                        Handler::Session(Box::new(session))
                    }
                    Err(ending) => {
                        connection.end(Order::Close(ending));
                        Handler::Refused
                    }
                }
            }
            Self::Echo => Handler::Echo,
            #[cfg(test)]
            Self::Panic => Handler::Panic,
        }
    }

    pub(crate) const fn dialect(self) -> Option<Dialect> {
        match self {
            Self::Dialect(dialect) => Some(dialect),
            _ => None,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dialect(dialect) => dialect.name(),
            Self::Echo => "echo",
            #[cfg(test)]
            Self::Panic => "panic",
        }
    }

    /// Whether a room of this name may be asked for with the path.
    pub(crate) fn admits(self, name: &str) -> bool {
        self.dialect().is_some_and(|dialect| dialect.admits(name))
    }

    pub(crate) fn subprotocol(self) -> Option<&'static str> {
        self.dialect().and_then(Dialect::subprotocol)
    }

    /// Whether such a frame is a sign of life.
    pub(crate) fn lives_by(self, sign: Sign) -> bool {
        self.dialect().unwrap_or(Dialect::Native).lives_by(sign)
    }

    /// How it says that a connection ends so.
    pub(crate) fn ending(self, ending: Ending) -> Ending {
        self.dialect().map_or(ending, |dialect| dialect.ending(ending))
    }

    /// What is said before such a Close, if anything.
    pub(crate) fn farewell(self, ending: Ending) -> Option<Frame> {
        self.dialect().and_then(|dialect| dialect.farewell(ending))
    }

    /// The longest message it takes, if there is one.
    pub(crate) fn message_bytes(self, limits: &Limits) -> Option<usize> {
        let bytes = match self {
            Self::Dialect(dialect) => dialect.message_bytes(limits),
            _ if limits.message_bytes == 0 => 0,
            _ => limits.message_bytes.max(ECHO_BYTES),
        };
        (bytes > 0).then_some(bytes)
    }

    /// The longest frame it takes, if there is one.
    pub(crate) fn frame_bytes(self, limits: &Limits) -> Option<usize> {
        match self {
            Self::Dialect(dialect) => Some(dialect.frame_bytes(limits)).filter(|&bytes| bytes > 0),
            _ => self.message_bytes(limits),
        }
    }
}

/// One connection's part of its protocol.
#[derive(Debug)]
pub(crate) enum Handler {
    Session(Box<Session<Arc<Connection>>>),
    /// It was not let in: whatever it says, it is being ended.
    Refused,
    Echo,
    #[cfg(test)]
    Panic,
}

impl Handler {
    /// Takes in one message; what there is to send is pushed through `turn`.
    pub(crate) fn received(
        &mut self,
        now: Now,
        message: Message,
        connection: &Connection,
        turn: &Turn,
    ) -> Flow {
        #[cfg(all(feature = "mutants", debug_assertions))]
        if let Self::Session(session) = self {
            return crate::mutants::received(session, now, &message, connection, turn);
        }
        match (self, message) {
            (Self::Session(session), Message::Text(text)) => {
                session.received(now, Incoming::Text(&text), turn)
            }
            (Self::Session(session), Message::Binary(bytes)) => {
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
        if let Self::Session(session) = self {
            #[cfg(all(feature = "mutants", debug_assertions))]
            let Some(reason) = crate::mutants::leaves(reason, turn) else { return };
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
