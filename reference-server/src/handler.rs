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
use protocol::{Ending, Ids, Limits, Now, Reason, World, native::Session};

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
                let id = turn.with_ids(Ids::connection);
                Handler::Native(Box::new(Session::open(now, id, connection.clone(), turn)))
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
            (Self::Native(session), Message::Text(text)) => session.received(now, &text, turn),
            (Self::Native(_), Message::Binary(_)) => Flow::Close(Ending::NOT_TEXT),
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
