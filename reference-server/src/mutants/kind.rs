//! What a frame or a request is, read from its text, for all dialects.

use std::borrow::Cow;

use protocol::{Dialect, Frame};
use serde_json::Value;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What a member says: a chat, an event, a write under the key of what is said.
    Message,
    /// What its receiver is told of its own join, leave, or new room.
    Entered,
    Exited,
    Created,
    /// What others are told of members.
    Came,
    Went,
    Renamed,
    Presence,
    Stored,
    Typing,
    Read,
    /// That something was done.
    Ok,
    Error,
    Greeting,
    Ping,
    Pong,
    Close,
    Binary,
    Other,
}

/// A frame, read.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) kind: Kind,
    /// The room, as its dialect calls it, where the text tells it.
    pub(super) room: Option<String>,
    /// Who said it or whom it is about, where the text tells it: an id, or a name.
    pub(super) who: Option<String>,
}

/// Reads a frame of this dialect.
pub(super) fn read(dialect: Dialect, frame: &Frame) -> Said {
    let none = |kind| Said { kind, room: None, who: None };
    match frame.bytes().first().map(|first| first & 0xF) {
        Some(0x1) => {}
        Some(0x2) => return none(Kind::Binary),
        Some(0x8) => return none(Kind::Close),
        Some(0x9) => return none(Kind::Ping),
        Some(0xA) => return none(Kind::Pong),
        _ => return none(Kind::Other),
    }
    if dialect == Dialect::Project {
        return none(Kind::Message);
    }
    let Ok(value) = serde_json::from_str::<Value>(frame.as_text()) else {
        return none(Kind::Other);
    };
    match dialect {
        Dialect::Native => native(&value),
        Dialect::Rooms => rooms(&value),
        Dialect::Chat => chat(&value),
        Dialect::Events => events(&value),
        Dialect::Pusher => pusher(&value),
        Dialect::Project => none(Kind::Message),
    }
}

/// The JSON that stands in the string `data`.
pub(super) fn inner(event: &Value) -> Option<Value> {
    serde_json::from_str(event.get("data")?.as_str()?).ok()
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer)?.as_str().map(str::to_owned)
}

fn native(value: &Value) -> Said {
    let kind = match text(value, "/type").as_deref() {
        Some("chat") => Kind::Message,
        Some("joined") => Kind::Entered,
        Some("left") => Kind::Exited,
        Some("created") => Kind::Created,
        Some("member_joined") => Kind::Came,
        Some("member_left") => Kind::Went,
        Some("member_renamed") => Kind::Renamed,
        Some("presence") => Kind::Presence,
        Some("stored") => Kind::Stored,
        Some("typing") => Kind::Typing,
        Some("read") => Kind::Read,
        Some("ok") => Kind::Ok,
        Some("error") => Kind::Error,
        Some("welcome") => Kind::Greeting,
        Some("pong") => Kind::Pong,
        _ => Kind::Other,
    };
    Said { kind, room: text(value, "/room"), who: text(value, "/member") }
}

/// The key under which `rooms` writes what is said.
pub(super) const SAID: &str = "said";

fn rooms(value: &Value) -> Said {
    let field = |name| value.get(name);
    let (kind, content) = if value == "Ping" {
        (Kind::Ping, None)
    } else if let Some(joined) = field("RoomJoined") {
        (Kind::Came, Some(joined))
    } else if let Some(left) = field("RoomLeft") {
        (Kind::Went, Some(left))
    } else if let Some(shown) = field("PresenceUpdated") {
        (Kind::Presence, Some(shown))
    } else if let Some(stored) = field("StorageUpdated") {
        let written = stored.pointer("/operations/0/Insert/key");
        let one = stored.pointer("/operations").and_then(Value::as_array).map(Vec::len) == Some(1);
        let is_said = one && written.and_then(Value::as_str) == Some(SAID);
        (if is_said { Kind::Message } else { Kind::Stored }, Some(stored))
    } else if field("Error").is_some() {
        (Kind::Error, None)
    } else {
        (Kind::Other, None)
    };
    let told = |pointer| content.and_then(|content| text(content, pointer));
    Said { kind, room: told("/room_id"), who: told("/client_id") }
}

fn chat(value: &Value) -> Said {
    let (kind, who) = match text(value, "/type").as_deref() {
        Some("chat") => (Kind::Message, text(value, "/from")),
        Some("connected") => (Kind::Greeting, None),
        Some("username_set") => (Kind::Ok, None),
        Some("room_created") => (Kind::Created, None),
        Some("room_joined") => (Kind::Entered, None),
        Some("partner_joined") => (Kind::Came, text(value, "/username")),
        Some("partner_left") => (Kind::Went, None),
        Some("partner_typing" | "partner_stop_typing") => (Kind::Typing, None),
        Some("error") => (Kind::Error, None),
        _ => (Kind::Other, None),
    };
    Said { kind, room: text(value, "/room_code"), who }
}

fn events(value: &Value) -> Said {
    let kind = match text(value, "/status").as_deref() {
        Some("connected") => Kind::Greeting,
        Some("subscribed") => Kind::Entered,
        Some("unsubscribed") => Kind::Exited,
        Some("error") => Kind::Error,
        _ if value.get("type").is_some_and(|kind| kind == "event") => Kind::Message,
        _ => Kind::Other,
    };
    Said { kind, room: text(value, "/channel"), who: None }
}

fn pusher(value: &Value) -> Said {
    let kind = match text(value, "/event").as_deref() {
        Some("pusher:connection_established") => Kind::Greeting,
        Some("pusher_internal:subscription_succeeded") => Kind::Entered,
        Some("pusher_internal:member_added") => Kind::Came,
        Some("pusher_internal:member_removed") => Kind::Went,
        Some("pusher:error") => Kind::Error,
        Some("pusher:ping") => Kind::Ping,
        Some("pusher:pong") => Kind::Pong,
        Some("pusher:signin_success") => Kind::Ok,
        Some(event) if event.starts_with("pusher") => Kind::Other,
        Some(_) => Kind::Message,
        None => Kind::Other,
    };
    let inner = text(value, "/data").and_then(|data| serde_json::from_str::<Value>(&data).ok());
    let user = inner.and_then(|inner| text(&inner, "/user_id"));
    Said { kind, room: text(value, "/channel"), who: text(value, "/user_id").or(user) }
}

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    Join,
    Leave,
    Create,
    Say,
    Presence,
    Store,
    Typing,
    Read,
    Name,
    Ping,
    Pong,
    /// Something else, or nothing that can be read.
    Other,
}

/// A request, read.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) asks: Asks,
    /// The room that it names, by its name or its code.
    pub(super) room: Option<String>,
}

/// Reads a client's text.
pub(super) fn request(dialect: Dialect, said: &str) -> Request {
    if dialect == Dialect::Project {
        return Request { asks: Asks::Say, room: None };
    }
    let value: Value = serde_json::from_str(said).unwrap_or_default();
    match dialect {
        Dialect::Rooms => asked_in_rooms(&value),
        Dialect::Pusher => asked_in_pusher(&value),
        _ => asked(&value),
    }
}

fn asked(value: &Value) -> Request {
    let asks = match text(value, "/type").as_deref() {
        Some("join" | "join_room" | "subscribe") => Asks::Join,
        Some("leave" | "leave_room" | "unsubscribe") => Asks::Leave,
        Some("create" | "create_room") => Asks::Create,
        Some("chat") => Asks::Say,
        Some("presence") => Asks::Presence,
        Some("store") => Asks::Store,
        Some("typing" | "stop_typing") => Asks::Typing,
        Some("read") => Asks::Read,
        Some("name" | "set_username") => Asks::Name,
        Some("ping") => Asks::Ping,
        _ => Asks::Other,
    };
    let room = ["/room", "/code", "/room_code", "/channel"].into_iter();
    Request { asks, room: room.filter_map(|pointer| text(value, pointer)).next() }
}

fn asked_in_rooms(value: &Value) -> Request {
    let asks = if value == "LeaveRoom" || value.get("LeaveRoom").is_some() {
        Asks::Leave
    } else if value == "Pong" || value.get("Pong").is_some() {
        Asks::Pong
    } else if value.get("JoinRoom").is_some() {
        Asks::Join
    } else if value.get("UpdatePresence").is_some() {
        Asks::Presence
    } else if value.pointer("/UpdateStorage/Insert/key").is_some_and(|key| key == SAID) {
        Asks::Say
    } else if value.get("UpdateStorage").is_some() {
        Asks::Store
    } else {
        Asks::Other
    };
    Request { asks, room: text(value, "/JoinRoom") }
}

fn asked_in_pusher(value: &Value) -> Request {
    let asks = match text(value, "/event").as_deref() {
        Some("pusher:subscribe") => Asks::Join,
        Some("pusher:unsubscribe") => Asks::Leave,
        Some("pusher:ping") => Asks::Ping,
        Some("pusher:pong") => Asks::Pong,
        Some(event) if event.starts_with("client-") => Asks::Say,
        _ => Asks::Other,
    };
    let inner = text(value, "/data").and_then(|data| serde_json::from_str::<Value>(&data).ok());
    let inner = inner.and_then(|inner| text(&inner, "/channel"));
    let room = text(value, "/channel").or_else(|| text(value, "/data/channel")).or(inner);
    Request { asks, room }
}

/// The user that a request to subscribe to a presence channel of `pusher` is for.
pub(super) fn user_of(said: &str) -> Option<String> {
    let value: Value = serde_json::from_str(said).ok()?;
    let data = text(&value, "/data").and_then(|data| serde_json::from_str(&data).ok());
    let user = text(&data.unwrap_or(value), "/data/channel_data")?;
    let user = serde_json::from_str::<Value>(&user).ok()?;
    text(&user, "/user_id")
}

/// A control frame: what it is, and what it carries.
pub(super) fn control(bytes: &[u8]) -> (Kind, Cow<'_, [u8]>) {
    let kind = match bytes.first().map(|first| first & 0xF) {
        Some(0x8) => Kind::Close,
        Some(0x9) => Kind::Ping,
        Some(0xA) => Kind::Pong,
        _ => Kind::Other,
    };
    (kind, bytes.get(2..).unwrap_or_default().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_all_dialects_are_read() {
        use Dialect::{Chat, Events, Native, Project, Pusher, Rooms};
        for (dialect, text, kind, room, who) in [
            (Native, r#"{"type":"chat","room":"r","member":"m"}"#, Kind::Message, "r", "m"),
            (Native, r#"{"type":"joined","room":"r","you":"m"}"#, Kind::Entered, "r", ""),
            (Native, r#"{"type":"member_left","room":"r","member":"m"}"#, Kind::Went, "r", "m"),
            (Native, r#"{"type":"welcome"}"#, Kind::Greeting, "", ""),
            (Project, r#"{"type":"welcome"}"#, Kind::Message, "", ""),
            (Rooms, r#""Ping""#, Kind::Ping, "", ""),
            (Rooms, r#"{"RoomJoined":{"room_id":"r","client_id":"c"}}"#, Kind::Came, "r", "c"),
            (
                Rooms,
                r#"{"StorageUpdated":{"version":1,"operations":[{"Insert":{"key":"said","value":1}}]}}"#,
                Kind::Message,
                "",
                "",
            ),
            (
                Rooms,
                r#"{"StorageUpdated":{"version":1,"operations":[{"Insert":{"key":"k","value":1}}]}}"#,
                Kind::Stored,
                "",
                "",
            ),
            (Chat, r#"{"type":"chat","from":"ann","content":"x"}"#, Kind::Message, "", "ann"),
            (Chat, r#"{"type":"room_joined","room_code":"ABCDEF"}"#, Kind::Entered, "ABCDEF", ""),
            (Events, r#"{"type":"event","channel":"c","data":{}}"#, Kind::Message, "c", ""),
            (Events, r#"{"status":"unsubscribed","channel":"c"}"#, Kind::Exited, "c", ""),
            (Pusher, r#"{"event":"news","channel":"c","data":"x"}"#, Kind::Message, "c", ""),
            (
                Pusher,
                r#"{"event":"pusher_internal:member_added","channel":"c","data":"{\"user_id\":\"u\"}"}"#,
                Kind::Came,
                "c",
                "u",
            ),
        ] {
            let said = read(dialect, &Frame::text(text));
            assert_eq!(said.kind, kind, "{text}");
            assert_eq!(said.room.as_deref().unwrap_or_default(), room, "{text}");
            assert_eq!(said.who.as_deref().unwrap_or_default(), who, "{text}");
        }
        assert_eq!(read(Native, &Frame::ping(b"")).kind, Kind::Ping);
        assert_eq!(read(Project, &Frame::binary(b"x")).kind, Kind::Binary);
    }

    #[test]
    fn requests_of_all_dialects_are_read() {
        for (dialect, text, asks, room) in [
            (Dialect::Native, r#"{"type":"join","code":"ABCDEF"}"#, Asks::Join, "ABCDEF"),
            (Dialect::Native, r#"{"type":"chat","room":"r"}"#, Asks::Say, "r"),
            (Dialect::Project, r#"{"type":"join"}"#, Asks::Say, ""),
            (Dialect::Rooms, r#""LeaveRoom""#, Asks::Leave, ""),
            (Dialect::Rooms, r#"{"JoinRoom":"r"}"#, Asks::Join, "r"),
            (Dialect::Chat, r#"{"type":"leave_room"}"#, Asks::Leave, ""),
            (Dialect::Events, r#"{"type":"unsubscribe","channel":"c"}"#, Asks::Leave, "c"),
            (
                Dialect::Pusher,
                r#"{"event":"pusher:subscribe","data":"{\"channel\":\"c\"}"}"#,
                Asks::Join,
                "c",
            ),
            (Dialect::Pusher, r#"{"event":"client-x","channel":"c"}"#, Asks::Say, "c"),
            (Dialect::Chat, "no JSON", Asks::Other, ""),
        ] {
            let read = request(dialect, text);
            assert_eq!(
                (read.asks, read.room.as_deref().unwrap_or_default()),
                (asks, room),
                "{text}"
            );
        }
    }
}
