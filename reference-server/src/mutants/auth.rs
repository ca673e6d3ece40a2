//! Servers that let in whom they should not: signatures of channels, and who may speak there.

use protocol::{Frame, Outlet, pusher::auth};
use serde_json::{Value, json};

use super::{Asks, Heard, Mutant, Take};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        hears: Some(|heard| signed(heard, |_| true)),
        ..Mutant::new("auth-bypass", "lets everybody into private channels")
    },
    Mutant {
        hears: Some(|heard| signed(heard, is_of_another_connection)),
        ..Mutant::new("auth-other-socket", "takes the signature of another connection")
    },
    Mutant {
        hears: Some(|heard| {
            signed(heard, |wanted| wanted.data.is_some() && wanted.auth.len() > SIGNATURE)
        }),
        ..Mutant::new("auth-channel-data-unsigned", "does not look whether channel_data is signed")
    },
    Mutant {
        hears: Some(pass_on),
        ..Mutant::new("client-event-public", "passes client events on, wherever and from whomever")
    },
];

/// Signs of a signature.
const SIGNATURE: usize = 64;

/// What is asked for, and with what right.
struct Wanted<'a> {
    heard: &'a Heard<'a>,
    channel: &'a str,
    data: Option<&'a str>,
    auth: &'a str,
}

impl Wanted<'_> {
    /// What would be the right signature for the connection that was told this id.
    fn signature(&self, socket_id: &str) -> Option<String> {
        let app = self.heard.turn.server.apps.first()?;
        Some(auth::channel(&app, socket_id, self.channel, self.data))
    }
}

/// Puts the right signature in the place of one that is good enough.
fn signed(heard: &Heard<'_>, is_good: fn(&Wanted<'_>) -> bool) -> Take {
    let mut asked = heard.json();
    let told = asked["data"].clone();
    let text = |name: &str| told.get(name).and_then(Value::as_str);
    let Some(channel) = text("channel").filter(|_| heard.request.asks == Asks::Join) else {
        return Take::Pass;
    };
    let auth = text("auth").unwrap_or_default();
    let wanted = Wanted { heard, channel, data: text("channel_data"), auth };
    let right = wanted.signature(heard.id).filter(|_| is_good(&wanted));
    let Some(right) = right else { return Take::Pass };
    asked["data"]["auth"] = right.into();
    Take::instead(asked.to_string())
}

fn is_of_another_connection(wanted: &Wanted<'_>) -> bool {
    let others = wanted.heard.state().connections();
    let mut signatures = others.iter().filter_map(|other| wanted.signature(&other.told_id()));
    signatures.any(|signature| signature == wanted.auth)
}

fn pass_on(heard: &Heard<'_>) -> Take {
    let Some(channel) = heard.request.room.as_deref().filter(|_| heard.is_turn(Asks::Say)) else {
        return Take::Pass;
    };
    let asked = heard.json();
    let event = json!({ "event": asked["event"], "channel": channel, "data": asked["data"] });
    let frame = Frame::json(&event);
    let end = format!("/{channel}");
    for room in heard.state().rooms().iter().filter(|room| room.ends_with(&end)) {
        for other in heard.state().members(room).iter().filter(|it| it.id != heard.by.id) {
            heard.turn.push(other, &frame);
        }
    }
    Take::nothing()
}
