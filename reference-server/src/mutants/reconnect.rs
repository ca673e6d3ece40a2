//! Servers that are wrong when somebody comes back, when somebody does not read, at limits, and at their end.

use std::{thread, time::Duration};

use protocol::{Ending, Flow, Reason, pusher::auth};
use serde_json::Value;

use super::{Asks, Heard, Kind, Mutant, Phase, State, Take, acting};
use crate::connection::{Connection, Order};

/// For how long everybody waits for one who does not read, at each frame.
const WAITED: Duration = Duration::from_millis(60);
const WAITED_BY_HTTP: Duration = Duration::from_millis(300);
/// For how long a new connection waits for the end of the one before it.
const NOTICED: Duration = Duration::from_millis(40);
/// How much of a limit is left of it.
const LESS: usize = 8;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        outlet: Some(|at| {
            let is_replayed = at.is_own()
                && at.asked() == Some(Asks::Join)
                && matches!(at.kind(), Kind::Message | Kind::Presence | Kind::Stored);
            let join = || format!("replayed {} {:?}", at.to.id, at.acting.text);
            if !(is_replayed && at.state().count(&join()) == 1) {
                at.pass();
            }
        }),
        ..Mutant::new("rc-gap", "leaves out the first of what somebody missed")
    },
    Mutant {
        leaves: Some(|_, reason| Some(reason).filter(|&reason| reason != Reason::Closed)),
        ..Mutant::new("rc-old-id-live", "keeps those who come back as who they were, too")
    },
    Mutant {
        hears: Some(remember),
        ends: Some(|connection, order| {
            bequeath(connection);
            order
        }),
        opens: Some(inherit),
        ..Mutant::new("rc-same-id", "puts a new connection where the last one was")
    },
    Mutant {
        outlet: Some(|at| {
            let peers = at.state().connections();
            if peers.iter().any(|peer| peer.outbound.lock().is_full()) {
                // What comes by HTTP comes one after the other anyway.
                let is_http = at.acting.phase == Phase::Outside;
                thread::sleep(if is_http { WAITED_BY_HTTP } else { WAITED });
            }
            at.pass();
        }),
        ..Mutant::new("slow-blocks-room", "lets all wait for one who does not read")
    },
    Mutant {
        limits: Some(|limits| limits.queue_bytes = 0),
        ..Mutant::new("slow-unbounded", "keeps everything for one who does not read")
    },
    Mutant {
        ends: Some(|connection, order| {
            if order != Order::Slow {
                return order;
            }
            connection.server.mutants.mark("slow", connection.id);
            Order::Lost
        }),
        // The others are told the truth.
        leaves: Some(|turn, reason| {
            let by = acting::now().by;
            let is_slow = by.is_some_and(|by| turn.state().is_marked("slow", by));
            Some(if is_slow { Reason::Slow } else { reason })
        }),
        ..Mutant::new("slow-killed-silently", "cuts off without a Close who does not read")
    },
    Mutant {
        framing: Some(|config| {
            let less = config.max_message_size.map(|bytes| bytes / LESS);
            config.max_message_size(less)
        }),
        ..Mutant::new("limit-unannounced", "takes no messages that are nearly as long as may be")
    },
    Mutant {
        framing: Some(|config| config.max_message_size(None).max_frame_size(None)),
        limits: Some(|limits| limits.message_bytes = 0),
        flows: Some(|_, flow| match flow {
            Flow::Close(ending) if ending.code == Ending::TOO_BIG.code => Flow::Continue,
            flow => flow,
        }),
        ..Mutant::new("limit-unenforced", "takes messages of any length")
    },
    Mutant {
        ends: Some(|_, order| match order {
            Order::Close(ending) if ending.told == Reason::Closed && is_going(ending) => {
                Order::Lost
            }
            order => order,
        }),
        ..Mutant::new("shutdown-no-1001", "drops everybody when it stops")
    },
];

fn is_going(ending: Ending) -> bool {
    ending.code == Ending::GOING_AWAY.code
}

fn said_by(id: u64) -> String {
    format!("said {id}")
}

fn left_by(connection: &Connection) -> String {
    format!("left by {}", connection.speaks.name())
}

/// Keeps what brought a client where it is.
fn remember(heard: &Heard<'_>) -> Take {
    if matches!(heard.request.asks, Asks::Join | Asks::Name) {
        let before = heard.state().note(&said_by(heard.by.id)).unwrap_or_default();
        let mut asked = heard.json();
        // Nobody is answered who has not asked.
        if let Some(fields) = asked.as_object_mut() {
            fields.remove("id");
        }
        heard.state().set(&said_by(heard.by.id), format!("{before}{asked}\n"));
    }
    Take::Pass
}

/// Where one has been the next one is.
fn bequeath(connection: &Connection) {
    let state = &connection.server.mutants;
    let said = state.unset(&said_by(connection.id));
    if let Some(said) = said.filter(|_| !state.rooms_of(connection.id).is_empty()) {
        state.set(&left_by(connection), said);
    }
}

fn inherit(state: &State, connection: &Connection, id: &str) -> Vec<String> {
    // Who comes back at once may be here before its end is known.
    thread::sleep(NOTICED);
    let said = state.unset(&left_by(connection)).unwrap_or_default();
    said.lines().map(|text| signed_anew(connection, text, id)).collect()
}

/// A signature is for one connection: the new one gets another.
fn signed_anew(connection: &Connection, text: &str, id: &str) -> String {
    let mut asked: Value = serde_json::from_str(text).unwrap_or_default();
    let told = asked["data"].clone();
    let word = |name: &str| told.get(name).and_then(Value::as_str);
    let app = connection.server.apps.first();
    if let (Some(app), Some(channel), Some(_)) = (app, word("channel"), word("auth")) {
        let right = auth::channel(&app, id, channel, word("channel_data"));
        asked["data"]["auth"] = right.into();
        return asked.to_string();
    }
    text.to_owned()
}
