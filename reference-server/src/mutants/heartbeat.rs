//! Servers that are wrong about the heartbeat: when they ping, what counts as life, whom they give up.

use std::{sync::Arc, thread, time::Duration};

use async_tungstenite::tungstenite::protocol::Message;
use protocol::{Dialect, Ending, Flow, Frame, Heartbeat, Reason};

use super::{Asks, At, Kind, Mutant, acting, kind};
use crate::connection::{Connection, Order};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        heartbeat: Some(|_, right| Heartbeat { interval: Duration::ZERO, ..right }),
        ..Mutant::new("hb-never", "pings nobody")
    },
    Mutant {
        heartbeat: Some(|_, right| Heartbeat { interval: right.interval / 10, ..right }),
        ..Mutant::new("hb-early", "pings ten times as often as it should")
    },
    Mutant {
        heartbeat: Some(|_, right| Heartbeat {
            interval: right.interval * 3,
            timeout: right.timeout * 3,
        }),
        ..Mutant::new("hb-late", "pings at every third interval")
    },
    Mutant {
        writes: Some(|_, frame| match kind::control(frame) {
            (Kind::Pong, payload) if !payload.is_empty() => Frame::pong(b"").bytes().to_vec(),
            _ => frame.to_vec(),
        }),
        ..Mutant::new("hb-payload-ignored", "answers each ping with an empty pong")
    },
    Mutant {
        lives: Some(|connection, message, right| right && !is_pong(connection, message)),
        flows: Some(|heard, flow| is_flow(flow, heard.request.asks != Asks::Pong)),
        ..Mutant::new("pong-ignored", "takes no pong for a sign of life")
    },
    Mutant {
        outlet: Some(|at| {
            if at.is(Kind::Ping) {
                at.to.see(at.to.server.now().time);
            }
            at.pass();
        }),
        ..Mutant::new("timeout-never", "gives nobody up")
    },
    Mutant {
        outlet: Some(|at| {
            at.pass();
            hurry(at);
        }),
        ..Mutant::new("timeout-early", "gives up who does not answer a ping at once")
    },
    Mutant {
        lives: Some(|_, message, right| right && message.is_pong()),
        flows: Some(|_, flow| is_flow(flow, false)),
        ..Mutant::new("timeout-data-not-activity", "takes nothing but pongs for a sign of life")
    },
    Mutant {
        leaves: Some(|turn, reason| {
            if let (Reason::Timeout, Some(by)) = (reason, acting::now().by) {
                turn.state().mark("silent", by);
            }
            Some(reason)
        }),
        outlet: Some(|at| {
            let is_silent = at.acting.by.is_some_and(|by| at.state().is_marked("silent", by));
            if !(is_silent && at.is(Kind::Went)) {
                at.pass();
            }
        }),
        ..Mutant::new("timeout-silent-leave", "tells nobody that it has given somebody up")
    },
    Mutant {
        outlet: Some(|at| at.lose(Kind::Pong)),
        ..Mutant::new("app-ping-unanswered", "does not answer the protocol's own pings")
    },
];

/// A pong of RFC 6455, or the dialect's own.
fn is_pong(connection: &Connection, message: &Message) -> bool {
    let dialect = connection.speaks.dialect().unwrap_or(Dialect::Native);
    match message {
        Message::Pong(_) => true,
        Message::Text(text) => kind::request(dialect, text).asks == Asks::Pong,
        _ => false,
    }
}

/// A message is no sign of life unless it may be one.
const fn is_flow(flow: Flow, may_live: bool) -> Flow {
    match flow {
        Flow::Alive if !may_live => Flow::Continue,
        flow => flow,
    }
}

/// Ends a connection that has not answered its ping within a small part of the interval.
fn hurry(at: &At<'_>) {
    if !at.is(Kind::Ping) {
        return;
    }
    let connection: Arc<Connection> = at.to.clone();
    let pinged = connection.server.now().time;
    let patience = connection.server.config.heartbeat(at.dialect).interval / 16;
    thread::spawn(move || {
        thread::sleep(patience);
        if connection.last_seen() < pinged {
            connection.end(Order::Close(Ending::TIMEOUT));
        }
    });
}
