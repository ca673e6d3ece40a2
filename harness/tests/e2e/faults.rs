//! The faults that a proxy can be given: what the checks must find, one each.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::proxy::{CLOSE, Fault, Frame, Hop, PING, PONG, TEXT, Way};

/// An opcode that means nothing.
const RESERVED: u8 = 11;

/// No fault at all.
pub(crate) fn none() -> Fault {
    Box::new(|_| {})
}

/// Every `n`th event of this type does not arrive.
pub(crate) fn drop_each(kind: &'static str, n: usize) -> Fault {
    each(kind, n, |hop| hop.frames.clear())
}

/// Every message arrives at its sender only.
pub(crate) fn drop_to_others(kind: &'static str) -> Fault {
    Box::new(move |hop| {
        if hop.told(kind).is_some_and(|message| message["username"] != hop.name) {
            hop.frames.clear();
        }
    })
}

/// Every `n`th event of this type arrives twice.
pub(crate) fn double_each(kind: &'static str, n: usize) -> Fault {
    each(kind, n, |hop| hop.frames.extend_from_within(..))
}

/// Every `n`th message gives way to a frame with an opcode that is reserved (RFC 6455 section 5.2).
pub(crate) fn break_framing_each(n: usize) -> Fault {
    each("chat", n, |hop| hop.frames = vec![Frame { opcode: RESERVED, payload: b"?".to_vec() }])
}

/// One receiver is sent away in the middle of everything, as by a server that crashed.
pub(crate) fn close_one_after(messages: usize) -> Fault {
    let mut done = false;
    each("chat", messages, move |hop| {
        if !std::mem::replace(&mut done, true) {
            let payload = 1011_u16.to_be_bytes().to_vec();
            hop.frames.push(Frame { opcode: CLOSE, payload });
        }
    })
}

/// Every `n`th message does not come back to its own sender.
pub(crate) fn drop_own_each(n: usize) -> Fault {
    let mut count = 0;
    Box::new(move |hop| {
        if hop.told("chat").is_some_and(|message| message["username"] == hop.name) {
            count += 1;
            if count % n == 0 {
                hop.frames.clear();
            }
        }
    })
}

/// In one message the stamp's number in this place (0: the run, 2: the sender's count) is another:
/// nobody in this run has said that.
pub(crate) fn forge_stamp(place: usize) -> Fault {
    alter_one("chat", move |message| {
        let text = message["text"].as_str().unwrap_or_default().to_owned();
        let Some((stamp, padding)) = text.strip_prefix("~H").and_then(|it| it.split_once('~'))
        else {
            return false;
        };
        let mut numbers: Vec<&str> = stamp.split('.').collect();
        let Some(number) = numbers.get_mut(place) else { return false };
        *number = "77777";
        message["text"] = json!(format!("~H{}~{padding}", numbers.join(".")));
        true
    })
}

/// Whoever has left a room still hears what is said in it.
pub(crate) fn deliver_after_the_leave() -> Fault {
    let mut gone = None;
    Box::new(move |hop| {
        if hop.told("left").is_some() {
            gone = Some(hop.conn);
        }
        let (Some(gone), Some(message)) = (gone, hop.told("chat")) else { return };
        if gone != hop.conn {
            hop.elsewhere.push((gone, Way::ToClient, Frame::json(&message)));
        }
    })
}

/// Whoever is told of a newcomer is told nonsense, too.
pub(crate) fn add_nonsense() -> Fault {
    each("member_joined", 1, |hop| hop.frames.push(Frame::json(&json!({ "type": "nonsense" }))))
}

/// In every `n`th message one byte of the padding behind the stamp is another.
pub(crate) fn corrupt_each(n: usize) -> Fault {
    each("chat", n, |hop| {
        let stamp_end = |payload: &[u8]| {
            let begin = payload.windows(2).position(|two| two == b"~H")?;
            let length = payload.get(begin + 1..)?.iter().position(|&byte| byte == b'~')?;
            Some(begin + 1 + length)
        };
        for frame in &mut hop.frames {
            let Some(end) = stamp_end(&frame.payload) else { continue };
            if let Some(byte) = frame.payload.get_mut(end + 3) {
                *byte = if *byte == b'x' { b'y' } else { b'x' };
            }
        }
    })
}

/// Every `n`th message is shown in the name of somebody else.
pub(crate) fn misattribute_each(n: usize) -> Fault {
    let mut names = BTreeMap::new();
    rewrite("chat", move |n_seen, message| {
        let (member, name) = (message["member"].clone(), message["username"].clone());
        names.insert(member.to_string(), (member.clone(), name));
        let other = names.values().find(|(other, _)| *other != member)?;
        (n_seen % n == 0).then(|| {
            (message["member"], message["username"]) = other.clone();
        })
    })
}

/// The first event of this type for which `alter` says that it changed it, is changed.
pub(crate) fn alter_one(
    kind: &'static str,
    mut alter: impl FnMut(&mut Value) -> bool + Send + 'static,
) -> Fault {
    let mut done = false;
    rewrite(kind, move |_, message| {
        done = done || alter(message);
        Some(())
    })
}

/// One member is shown every presence as it was before: the state that came last for somebody is
/// replaced by the one before it.
pub(crate) fn stale_presence_at_one() -> Fault {
    let mut victim = None;
    let mut last: BTreeMap<String, Value> = BTreeMap::new();
    Box::new(move |hop| {
        let Some(mut message) = hop.told("presence") else { return };
        if *victim.get_or_insert(hop.conn) != hop.conn {
            return;
        }
        let whose = message["member"].to_string();
        let state = last.insert(whose, message["state"].clone());
        message["state"] = state.unwrap_or_else(|| json!({}));
        hop.frames = vec![Frame::json(&message)];
    })
}

/// One receiver gets two messages that follow each other in the wrong order, a few times. The numbers
/// stay in theirs: only the content tells.
pub(crate) fn swap_at_one_receiver(senders: Senders) -> Fault {
    let mut victim = None;
    let mut held: Option<Value> = None;
    let mut left = 5;
    Box::new(move |hop| {
        let Some(message) = hop.message() else { return };
        if hop.way != Way::ToClient || victim.is_some_and(|victim| victim != hop.conn) {
            return;
        }
        // Its own messages leave the victim be: the order of others' is what is disturbed.
        let usable = message["type"] == "chat"
            && message["username"] != hop.name
            && message["text"].as_str().is_some_and(|text| text.starts_with("~H"));
        match held.take() {
            None if usable && left > 0 => {
                victim = Some(hop.conn);
                hop.frames.clear();
                held = Some(message);
            }
            None => {}
            Some(mut before) => {
                let same = before["member"] == message["member"];
                let wanted =
                    same == (senders == Senders::Same) && before["room"] == message["room"];
                let mut after = message;
                if usable && wanted {
                    left -= 1;
                    let number = before["seq"].take();
                    before["seq"] = std::mem::replace(&mut after["seq"], number);
                    std::mem::swap(&mut before, &mut after);
                }
                hop.frames = vec![Frame::json(&before), Frame::json(&after)];
            }
        }
    })
}

/// Whose messages change places.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Senders {
    Same,
    Two,
}

/// Every `n`th message is given to a member of another room, too.
pub(crate) fn misroute_each(n: usize) -> Fault {
    let mut count = 0;
    let mut rooms: BTreeMap<String, usize> = BTreeMap::new();
    Box::new(move |hop| {
        if let Some(entry) = hop.told("joined") {
            rooms.insert(entry["room"].to_string(), hop.conn);
        }
        let Some(message) = hop.told("chat") else { return };
        let here = message["room"].to_string();
        let Some((_, &other)) = rooms.iter().find(|(room, _)| **room != here) else { return };
        count += 1;
        if count % n == 0 {
            hop.elsewhere.push((other, Way::ToClient, Frame::json(&message)));
        }
    })
}

/// Whoever falls silent under this name is kept alive: the server's pings are answered for it.
pub(crate) fn answer_pings_for(name: &'static str) -> Fault {
    Box::new(move |hop| {
        if hop.way == Way::ToClient && hop.opcode() == PING && hop.name.starts_with(name) {
            let payload = hop.frames.iter().flat_map(|frame| frame.payload.clone()).collect();
            hop.elsewhere.push((hop.conn, Way::ToServer, Frame { opcode: PONG, payload }));
        }
    })
}

/// The server does not hear the pongs of clients under this name.
pub(crate) fn swallow_pongs_of(name: &'static str) -> Fault {
    Box::new(move |hop| {
        if hop.way == Way::ToServer && hop.opcode() == PONG && hop.name.starts_with(name) {
            hop.frames.clear();
        }
    })
}

/// Nobody is pinged, as far as clients see; the server hears pongs all the same.
pub(crate) fn swallow_pings() -> Fault {
    Box::new(|hop| {
        if hop.way == Way::ToClient && hop.opcode() == PING {
            let frames = std::mem::take(&mut hop.frames);
            let pong = frames.into_iter().map(|frame| Frame { opcode: PONG, ..frame });
            hop.elsewhere.extend(pong.map(|pong| (hop.conn, Way::ToServer, pong)));
        }
    })
}

/// After so many messages nothing reaches any client any more, and nothing the server.
pub(crate) fn fall_silent_after(messages: usize) -> Fault {
    let mut count = 0;
    Box::new(move |hop| {
        count += usize::from(hop.told("chat").is_some());
        if count >= messages {
            hop.frames.clear();
        }
    })
}

/// The first message that each client gets after it has come back to its room is left out: of most
/// of them one that they had missed.
pub(crate) fn drop_first_recovered() -> Fault {
    let mut waiting = Vec::new();
    Box::new(move |hop| {
        if hop.told("joined").is_some_and(|entry| entry["recovered"] == true) {
            waiting.push(hop.conn);
        } else if hop.told("chat").is_some()
            && let Some(at) = waiting.iter().position(|conn| *conn == hop.conn)
        {
            hop.frames.clear();
            waiting.swap_remove(at);
        }
    })
}

/// In place of every `n`th event of this type goes what `act` makes of it.
fn each(kind: &'static str, n: usize, mut act: impl FnMut(&mut Hop<'_>) + Send + 'static) -> Fault {
    let mut count = 0;
    Box::new(move |hop| {
        if hop.told(kind).is_some() {
            count += 1;
            if count % n == 0 {
                act(hop);
            }
        }
    })
}

/// Events of this type are rewritten; `alter` is told how many there were, and says whether it did.
fn rewrite(
    kind: &'static str,
    mut alter: impl FnMut(usize, &mut Value) -> Option<()> + Send + 'static,
) -> Fault {
    let mut count = 0;
    Box::new(move |hop| {
        let Some(mut message) = hop.told(kind) else { return };
        count += 1;
        if alter(count, &mut message).is_some() {
            hop.frames = vec![Frame { opcode: TEXT, payload: message.to_string().into_bytes() }];
        }
    })
}
