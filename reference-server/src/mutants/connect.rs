//! Servers that are wrong when somebody connects: the upgrade, the greeting, its ids, the masks.

use protocol::{Dialect, Ids};
use serde_json::{Value, json};
use tide::{StatusCode, http};

use super::{At, Kind, Mutant, Phase, acting, kind::inner};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        answers: Some(|_, _, mut response| {
            if response.status() == StatusCode::SwitchingProtocols {
                response.insert_header("sec-websocket-accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
            }
            response
        }),
        ..Mutant::new("conn-wrong-accept", "answers with a Sec-WebSocket-Accept of another key")
    },
    Mutant {
        asks: Some(|_, request| {
            if request.header("sec-websocket-version").is_some() {
                request.insert_header("sec-websocket-version", "13");
            }
        }),
        ..Mutant::new("conn-version-ignored", "takes every version of WebSocket for 13")
    },
    Mutant {
        answers: Some(|_, asked, response| {
            let is_refused = response.status() == StatusCode::UpgradeRequired;
            if is_refused && !asked.wants_upgrade {
                return http::Response::new(StatusCode::Ok);
            }
            response
        }),
        ..Mutant::new("conn-no-upgrade-accepted", "answers 200 to a plain GET where sockets are")
    },
    Mutant {
        answers: Some(|_, _, mut response| {
            if response.status() == StatusCode::SwitchingProtocols {
                response.insert_header("sec-websocket-protocol", "superchat");
            }
            response
        }),
        ..Mutant::new("conn-subprotocol-invented", "chooses a subprotocol that nobody offered")
    },
    Mutant {
        outlet: Some(|at| at.lose(Kind::Greeting)),
        ..Mutant::new("conn-greeting-missing", "greets nobody")
    },
    Mutant {
        outlet: Some(|at| at.double(Kind::Greeting)),
        ..Mutant::new("conn-greeting-twice", "greets twice")
    },
    Mutant {
        outlet: Some(greet_late),
        ..Mutant::new("conn-greeting-late", "says something else before its greeting")
    },
    Mutant {
        ids: Some(|_| (acting::now().phase == Phase::Opening).then(|| Ids::new([7; 32]))),
        ..Mutant::new("conn-id-reused", "gives all connections the same id")
    },
    Mutant {
        outlet: Some(misshape_id),
        ..Mutant::new("conn-id-format", "gives a connection an id of another form")
    },
    Mutant {
        outlet: Some(|at| {
            at.alter(Kind::Greeting, |greeting| {
                if let Some(data) = inner(greeting) {
                    greeting["data"] = data;
                }
            });
        }),
        ..Mutant::new("conn-data-not-string", "greets with an object where JSON in a string stands")
    },
    Mutant {
        outlet: Some(|at| at.alter(Kind::Greeting, forget_timeout)),
        ..Mutant::new("conn-activity-timeout-missing", "does not say when a connection is silent")
    },
    Mutant {
        framing: Some(|config| config.accept_unmasked_frames(true)),
        ..Mutant::new("conn-unmasked-accepted", "reads frames without a mask")
    },
    Mutant {
        app: Some(|turn, key| turn.server.apps.with_key(key).or_else(|| turn.server.apps.first())),
        ..Mutant::new("conn-unknown-app-key", "takes an unknown application for its own")
    },
];

fn greet_late(at: &At<'_>) {
    if at.is_turn(Kind::Greeting) {
        at.send_json(&match at.dialect {
            Dialect::Native => json!({ "type": "pong" }),
            Dialect::Chat => json!({ "type": "partner_left" }),
            Dialect::Events => json!({ "status": "unsubscribed", "channel": "none" }),
            _ => json!({ "event": "pusher:pong", "data": "{}" }),
        });
    }
    at.pass();
}

/// As it should be, but for its form: in capitals, or two numbers without their dot.
fn misshape_id(at: &At<'_>) {
    let told_by = if at.dialect == Dialect::Rooms { Kind::Entered } else { Kind::Greeting };
    at.alter(told_by, |greeting| {
        if let Some(mut data) = inner(greeting) {
            data["socket_id"] = misshapen(&data["socket_id"]);
            greeting["data"] = data.to_string().into();
        }
        for place in ["/connection", "/client_id", "/connectionId", "/RoomJoined/client_id"] {
            if let Some(id) = greeting.pointer_mut(place) {
                *id = misshapen(id);
            }
        }
    });
}

fn misshapen(id: &Value) -> Value {
    id.as_str().unwrap_or_default().replace(['.', '-'], "").to_uppercase().into()
}

fn forget_timeout(greeting: &mut Value) {
    if let Some(mut data) = inner(greeting) {
        if let Some(fields) = data.as_object_mut() {
            fields.remove("activity_timeout");
        }
        greeting["data"] = data.to_string().into();
    }
    if let Some(fields) = greeting.as_object_mut() {
        fields.remove("heartbeat");
    }
}
