//! `chat`: two in a room and never three, and each hears of the other what it must, in order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use protocol::Dialect;
use serde_json::{Value, json};

use super::{
    CLIENTS, Does, Game, Happened, Step, Verdict, ends, ensure, foreseen, nothing, says, who,
};
use crate::transcript::is_uuid;

pub(super) const GAME: Game = Game { dialect: Dialect::Chat, steps, judge };

pub(super) const TYPES: &[&str] = &[
    "connected",
    "username_set",
    "room_created",
    "room_joined",
    "partner_joined",
    "chat",
    "partner_typing",
    "partner_stop_typing",
    "partner_left",
    "error",
];

pub(super) const COMES_TO: &[&str] = &[
    "room_joined",
    r#""from":"n"#,
    "partner_typing",
    "partner_stop_typing",
    "partner_left",
    "username_required",
    "invalid_username",
    "room_not_found",
    "room_full",
    "not_in_room",
    "already_in_room",
    "invalid_message",
    "message_too_long",
];

fn steps() -> BoxedStrategy<Vec<Step>> {
    let name = (0..50_u8).prop_map(|n| format!(r#"{{"type":"set_username","username":"n{n}"}}"#));
    let code = prop_oneof![8 => who().prop_map(|who| format!("${who}")), 1 => Just("x".to_owned())];
    let join = code.prop_map(|code| format!(r#"{{"type":"join_room","room_code":" {code}"}}"#));
    let chat = (0..999_u32).prop_map(|n| format!(r#"{{"type":"chat","content":"t{n}"}}"#));
    let long = format!(r#"{{"type":"chat","content":"{}"}}"#, "é".repeat(4001));
    let noise = prop::sample::select(vec![
        "{".to_owned(),
        r#"{"type":"dance"}"#.to_owned(),
        r#"{"type":"chat","content":""}"#.to_owned(),
        r#"{"type":"set_username","username":""}"#.to_owned(),
        long,
    ]);
    let bare = |verb: &str| Just(format!(r#"{{"type":"{verb}"}}"#));
    let requests = prop_oneof![
        3 => name,
        5 => bare("create_room"),
        12 => join,
        8 => chat,
        8 => bare("typing"),
        4 => bare("stop_typing"),
        2 => bare("leave_room"),
        2 => noise,
    ]
    .prop_map(says);
    let does = prop_oneof![20 => requests, 1 => ends(), 1 => (0..9_000_u64).prop_map(Does::Waits)];
    let typed = |who| {
        [r#"{"type":"typing"}"#, r#"{"type":"chat","content":"typed"}"#].map(|it| (who, says(it)))
    };
    let steps = prop_oneof![
        20 => (who(), does).prop_map(|step| vec![step]),
        2 => who().prop_map(move |who| typed(who).to_vec()),
    ];
    // Most have a name at once: without one, nothing happens.
    let named = prop::collection::vec(prop::bool::weighted(0.8), CLIENTS).prop_map(|named| {
        let named = named.into_iter().enumerate().filter(|(_, named)| *named);
        named.map(|(who, _)| (who, says(r#"{"type":"set_username","username":"n"}"#))).collect()
    });
    (named, prop::collection::vec(steps, 1..120))
        .prop_map(|(named, steps): (Vec<Step>, Vec<Vec<Step>>)| [named, steps.concat()].concat())
        .boxed()
}

/// What is known of everybody, from what they have sent.
#[derive(Default)]
struct Known {
    names: BTreeMap<usize, String>,
    rooms: BTreeMap<usize, String>,
    typing: BTreeSet<usize>,
    ids: BTreeSet<String>,
}

fn judge(happened: &[Happened]) -> Verdict {
    let mut known = Known::default();
    foreseen(happened, |step| {
        let mut expected = nothing();
        match &step.does {
            Does::Opens(_) => {
                expected[step.who].push(json!({"type": "connected", "client_id": "*"}));
                let greeting: Value = first(step)?;
                let id = greeting["client_id"].as_str().unwrap_or_default().to_owned();
                ensure(is_uuid(&id) && known.ids.insert(id), || "not an id".to_owned())?;
            }
            Does::Ends(_) => {
                known.leave(step.who, &mut expected);
                known.names.remove(&step.who);
            }
            Does::Says(text) => known.say(step, text, &mut expected)?,
            _ => {}
        }
        for room in known.rooms.values() {
            let members = known.rooms.values().filter(|other| *other == room).count();
            ensure(members <= 2, || format!("{members} are in {room}"))?;
        }
        Ok(expected)
    })
}

/// The first frame that whoever did something has got.
fn first(step: &Happened) -> Result<Value, String> {
    let text = step.got[step.who].first().ok_or("it has got nothing")?;
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl Known {
    fn partner(&self, who: usize) -> Option<usize> {
        let room = self.rooms.get(&who)?;
        (0..CLIENTS).find(|other| *other != who && self.rooms.get(other) == Some(room))
    }

    fn say(&mut self, step: &Happened, text: &str, expected: &mut [Vec<Value>]) -> Verdict {
        let who = step.who;
        let inside = self.rooms.contains_key(&who);
        let partner = self.partner(who);
        let request: Value = serde_json::from_str(text).unwrap_or_default();
        let error = |code: &str| json!({"type": "error", "code": code, "message": "*"});
        match request["type"].as_str().unwrap_or_default() {
            "set_username" => {
                let name = request["username"].as_str().unwrap_or_default();
                expected[who].push(if name.is_empty() {
                    error("invalid_username")
                } else {
                    self.names.insert(who, name.to_owned());
                    json!({"type": "username_set", "username": name})
                });
            }
            "create_room" | "join_room" if !self.names.contains_key(&who) => {
                expected[who].push(error("username_required"));
            }
            "create_room" | "join_room" if inside => expected[who].push(error("already_in_room")),
            "create_room" => {
                let code = first(step)?["room_code"].as_str().unwrap_or_default().to_owned();
                let fresh = !self.rooms.values().any(|room| *room == code);
                ensure(fresh && code.len() == 6, || format!("{code} is no fresh code"))?;
                expected[who].push(json!({"type": "room_created", "room_code": code}));
                self.rooms.insert(who, code);
            }
            "join_room" => {
                let code = request["room_code"].as_str().unwrap_or_default().trim();
                self.join(who, code, expected);
            }
            "chat" if request["content"] == "" => expected[who].push(error("invalid_message")),
            "chat" | "typing" | "leave_room" if !inside => {
                expected[who].push(error("not_in_room"));
            }
            "chat" if text.len() > 4000 => expected[who].push(error("message_too_long")),
            "chat" => {
                self.stop_typing(who, expected);
                let (from, content) = (&self.names[&who], &request["content"]);
                let chat = json!({"type": "chat", "from": from, "content": content});
                expected[partner.unwrap_or(who)].extend(partner.map(|_| chat));
            }
            "typing" => {
                if let Some(partner) = partner
                    && self.typing.insert(who)
                {
                    expected[partner].push(json!({"type": "partner_typing"}));
                }
            }
            "stop_typing" => self.stop_typing(who, expected),
            "leave_room" => self.leave(who, expected),
            _ => expected[who].push(error("invalid_message")),
        }
        Ok(())
    }

    fn join(&mut self, who: usize, code: &str, expected: &mut [Vec<Value>]) {
        let error = |code: &str| json!({"type": "error", "code": code, "message": "*"});
        let members: Vec<usize> =
            self.rooms.iter().filter(|(_, room)| *room == code).map(|(&who, _)| who).collect();
        let reply = match members[..] {
            [] => error("room_not_found"),
            [host] => {
                let joined = json!({"type": "partner_joined", "username": self.names[&who]});
                expected[host].push(joined);
                self.rooms.insert(who, code.to_owned());
                json!({"type": "room_joined", "room_code": code, "partner": self.names[&host]})
            }
            _ => error("room_full"),
        };
        expected[who].push(reply);
    }

    fn stop_typing(&mut self, who: usize, expected: &mut [Vec<Value>]) {
        if let Some(partner) = self.partner(who)
            && self.typing.remove(&who)
        {
            expected[partner].push(json!({"type": "partner_stop_typing"}));
        }
    }

    /// Whoever stays has told of no typing to whom comes next.
    fn leave(&mut self, who: usize, expected: &mut [Vec<Value>]) {
        self.typing.remove(&who);
        if let Some(partner) = self.partner(who) {
            self.typing.remove(&partner);
            expected[partner].push(json!({"type": "partner_left"}));
        }
        self.rooms.remove(&who);
    }
}
