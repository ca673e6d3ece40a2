//! Where the rest of the server lets a mutant do something else. Each is called from one place.

use std::{borrow::Cow, sync::Arc};

use async_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use protocol::{Dialect, Flow, Heartbeat, Incoming, Now, Reason, Session};
use tide::http;

use super::{Handshake, Heard, Phase, State, Take, Turn, acting::Guard, kind};
use crate::{
    connection::{Connection, Order},
    server::Server,
};

/// A session is about to be opened.
pub(crate) fn opening(connection: &Arc<Connection>) -> Guard {
    connection.server.mutants.meet(connection);
    Guard::of(Phase::Opening, connection.id, None)
}

/// A session has been opened.
pub(crate) fn opened(
    mut session: Session<Arc<Connection>>,
    now: Now,
    connection: &Connection,
    turn: &Turn,
) -> Session<Arc<Connection>> {
    let opens = turn.state().mutant().opens;
    let texts = opens.map(|opens| opens(turn.state(), connection, session.id()));
    for text in texts.into_iter().flatten() {
        let _acting = Guard::of(Phase::Receiving, connection.id, Some(&text));
        // It is heard as if the client had said it: it may go on whatever that asked for.
        let _: Flow = session.received(now, Incoming::Text(&text), turn);
    }
    session
}

/// Bytes have been read.
pub(crate) fn reads(connection: &Connection, read: Option<&mut [u8]>) {
    if let (Some(reads), Some(read)) = (connection.server.mutants.mutant().reads, read) {
        reads(connection, read);
    }
}

/// How many bytes wait for a reader before it is cut off, if others than should.
pub(crate) fn queue_bytes(connection: &Connection) -> Option<usize> {
    connection.server.mutants.limits.as_ref().map(|limits| limits.queue_bytes)
}

/// A session is about to end.
pub(crate) fn ending(connection: &Connection) -> Guard {
    Guard::of(Phase::Ending, connection.id, None)
}

/// Lets a session hear a message, or something else.
pub(crate) fn received(
    session: &mut Session<Arc<Connection>>,
    now: Now,
    message: &Message,
    connection: &Connection,
    turn: &Turn,
) -> Flow {
    let mutant = turn.state().mutant();
    let text = match message {
        Message::Text(text) => Cow::Borrowed(text.as_str()),
        Message::Binary(bytes) if mutant.bytes_are_text => String::from_utf8_lossy(bytes),
        Message::Binary(bytes) => {
            let _acting = Guard::of(Phase::Receiving, connection.id, None);
            return session.received(now, Incoming::Binary(bytes), turn);
        }
        _ => return Flow::Continue,
    };
    let text = &*text;
    let _acting = Guard::of(Phase::Receiving, connection.id, Some(text));
    let is_asked = mutant.hears.is_some() || mutant.flows.is_some();
    let by = is_asked.then(|| turn.state().connection(connection.id)).flatten();
    let Some(by) = &by else { return session.received(now, Incoming::Text(text), turn) };
    let id = session.id().to_owned();
    let heard = Heard {
        turn,
        by,
        dialect: session.dialect(),
        text,
        request: kind::request(session.dialect(), text),
        rooms: session.rooms().collect(),
        id: &id,
    };
    let flow = match mutant.hears.map_or(Take::Pass, |hears| hears(&heard)) {
        Take::Pass => session.received(now, Incoming::Text(text), turn),
        Take::Close(ending) => Flow::Close(ending),
        Take::Instead(texts) => {
            let mut flow = Flow::Continue;
            for text in texts {
                flow = session.received(now, Incoming::Text(&text), turn);
            }
            flow
        }
    };
    mutant.flows.map_or(flow, |flows| flows(&heard, flow))
}

/// Why a session ends, if it is to end.
pub(crate) fn leaves(reason: Reason, turn: &Turn) -> Option<Reason> {
    turn.state().mutant().leaves.map_or(Some(reason), |leaves| leaves(turn, reason))
}

/// A request has come.
pub(crate) fn asked(server: &Server, request: &mut http::Request) -> Handshake {
    let asked = Handshake { wants_upgrade: request.header("upgrade").is_some() };
    if let Some(asks) = server.mutants.mutant().asks {
        asks(&server.mutants, request);
    }
    asked
}

/// It is answered.
pub(crate) fn answered(
    server: &Server,
    asked: &Handshake,
    response: http::Response,
) -> http::Response {
    match server.mutants.mutant().answers {
        Some(answers) => answers(&server.mutants, asked, response),
        None => response,
    }
}

/// How frames are read.
pub(crate) fn framing(server: &Server, config: WebSocketConfig) -> WebSocketConfig {
    server.mutants.mutant().framing.map_or(config, |framing| framing(config))
}

/// What is written in answer to pings and Close frames. What was held back goes before it.
pub(crate) fn writes<'a>(connection: &Connection, frames: &'a [u8]) -> Cow<'a, [u8]> {
    let state: &State = &connection.server.mutants;
    for held in state.release(connection.id) {
        // The task that reads flushes its own queue after each turn.
        connection.push(held);
    }
    state.mutant().writes.map_or(Cow::Borrowed(frames), |writes| writes(connection, frames).into())
}

/// How a connection ends.
pub(crate) fn ends(connection: &Connection, order: Order) -> Order {
    connection.server.mutants.mutant().ends.map_or(order, |ends| ends(connection, order))
}

/// When a connection is pinged and given up.
pub(crate) fn heartbeat(connection: &Connection, heartbeat: Heartbeat) -> Heartbeat {
    // An echo has none of its own, and is no part of any mutant.
    let speaks: Option<Dialect> = connection.speaks.dialect();
    let wrong = connection.server.mutants.mutant().heartbeat.filter(|_| speaks.is_some());
    wrong.map_or(heartbeat, |wrong| wrong(connection, heartbeat))
}

/// Whether a message is a sign of life.
pub(crate) fn lives(connection: &Connection, message: &Message, right: bool) -> bool {
    connection
        .server
        .mutants
        .mutant()
        .lives
        .map_or(right, |lives| lives(connection, message, right))
}
