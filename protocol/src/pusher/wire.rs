//! What goes over the socket: requests as they are read, events and errors as they are said.
//!
//! "The server tries to send `data` as a string": what the protocol itself says has JSON in a string.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::name::is_user;
use crate::ending::{Ending, Reason};
use crate::frame::Frame;
use crate::json;
use crate::refusal;

/// Bytes of what says who a member is.
const CHANNEL_DATA_BYTES: usize = 1024;

/// The path names no application.
pub(super) const NO_PATH: Ending = Ending::new(4005, "path not found", Reason::Closed);
/// There is no application of that key.
pub(super) const NO_APP: Ending = Ending::new(4001, "application does not exist", Reason::Closed);
/// Nobody may connect to that application.
pub(super) const DISABLED: Ending = Ending::new(4003, "application disabled", Reason::Closed);
/// The application has as many connections as it may.
pub(super) const OVER_QUOTA: Ending =
    Ending::new(4004, "application is over connection quota", Reason::Closed);
/// The version is no number.
pub(super) const BAD_VERSION: Ending =
    Ending::new(4006, "invalid version string format", Reason::Closed);
/// The version is not spoken here.
pub(super) const UNSUPPORTED: Ending =
    Ending::new(4007, "unsupported protocol version", Reason::Closed);
/// There is no version.
pub(super) const NO_VERSION: Ending =
    Ending::new(4008, "no protocol version supplied", Reason::Closed);
const UNAUTHORISED: Ending = Ending::new(4009, "connection is unauthorized", Reason::Closed);
const TERMINATED: Ending = Ending::new(4009, "connection terminated", Reason::Evicted);
const SLOW: Ending = Ending::new(4100, "over capacity: slow reader", Reason::Slow);
const ABUSE: Ending = Ending::new(4100, "over capacity: too many messages", Reason::Evicted);
const NO_ROOM: Ending = Ending::new(4100, "over capacity", Reason::Closed);
const NO_PONG: Ending = Ending::new(4201, "pong reply not received in time", Reason::Timeout);

/// Every ending that has a code of this protocol's own.
pub const ENDINGS: [Ending; 13] = [
    UNAUTHORISED,
    NO_PATH,
    NO_APP,
    DISABLED,
    OVER_QUOTA,
    BAD_VERSION,
    UNSUPPORTED,
    NO_VERSION,
    TERMINATED,
    SLOW,
    ABUSE,
    NO_ROOM,
    NO_PONG,
];

/// How this protocol says that a connection ends so.
///
/// From 4000 a client does not come back, from 4100 it comes back after a while, from 4200 at once.
pub(crate) fn ending(ending: Ending) -> Ending {
    let own = [
        (Ending::TIMEOUT, NO_PONG),
        (Ending::UNAUTHORISED, UNAUTHORISED),
        (Ending::EVICTED, TERMINATED),
        (Ending::SLOW, SLOW),
        (Ending::ABUSE, ABUSE),
        (Ending::TRY_LATER, NO_ROOM),
    ];
    own.into_iter().find(|(general, _)| *general == ending).map_or(ending, |(_, own)| own)
}

/// The error that clients of version 5 look for before the Close; later ones look at its code.
pub(crate) fn farewell(ending: Ending) -> Option<Frame> {
    let data = ErrorData { code: ending.code, message: ending.reason };
    (ending.code >= 4000).then(|| Frame::json(&Error { event: ERROR, channel: None, data }))
}

/// What an idle connection is asked to answer.
pub(crate) fn ping() -> Frame {
    said("pusher:ping", None, Some(NOTHING))
}

/// Why something is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Code {
    /// Nobody has signed for it.
    Unauthorised,
    /// It is not understood, or not now.
    Reconnect,
    /// Anything else.
    Other,
    /// A client's event is not passed on.
    ClientEvent,
}

impl Code {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorised => "4009",
            Self::Reconnect => "4200",
            Self::Other => "4300",
            Self::ClientEvent => "4301",
        }
    }

    const fn number(self) -> u16 {
        match self {
            Self::Unauthorised => 4009,
            Self::Reconnect => 4200,
            Self::Other => 4300,
            Self::ClientEvent => 4301,
        }
    }
}

/// A refused request; its room is the channel that it is about.
pub(super) type Refusal = refusal::Refusal<Code>;

/// What a client asks for.
#[derive(Debug)]
pub(super) enum Request<'a> {
    Ping,
    Pong,
    Subscribe(Subscribe),
    Unsubscribe {
        channel: String,
    },
    SignIn {
        auth: String,
        user_data: String,
    },
    Say(ClientEvent<'a>),
    /// An event that is none of the protocol's, and none that clients may send: it is passed over.
    Other,
}

#[derive(Debug)]
pub(super) struct Subscribe {
    pub(super) channel: String,
    pub(super) auth: String,
    pub(super) channel_data: Option<String>,
}

#[derive(Debug)]
pub(super) struct ClientEvent<'a> {
    pub(super) event: String,
    pub(super) channel: Option<String>,
    /// As it was sent.
    pub(super) data: Option<&'a RawValue>,
}

/// Reads a request.
pub(super) fn read(text: &str) -> Result<Request<'_>, Refusal> {
    let malformed = |why: &'static str| Refusal::new(Code::Reconnect, why);
    let fields = match json::read(text) {
        Ok(Some(_)) => json::fields(text),
        Ok(None) => return Err(malformed("Invalid message format: not an object")),
        Err(_) => return Err(malformed("Invalid message format: not JSON")),
    };
    let Some(event) = string(fields.get("event").copied()) else {
        return Err(malformed("Invalid message format: no event"));
    };
    let data = fields.get("data").copied();
    match &*event {
        "pusher:ping" => Ok(Request::Ping),
        "pusher:pong" => Ok(Request::Pong),
        "pusher:subscribe" => read_subscribe(data),
        "pusher:unsubscribe" => {
            let channel = Data::of(data).and_then(|data| data.string("channel"));
            let channel = channel.ok_or_else(|| malformed("Invalid message format: no channel"))?;
            Ok(Request::Unsubscribe { channel })
        }
        "pusher:signin" => {
            let data = Data::of(data);
            let field = |name| data.as_ref().and_then(|data| data.string(name));
            let (Some(auth), Some(user_data)) = (field("auth"), field("user_data")) else {
                return Err(malformed("Invalid message format: no auth or no user_data"));
            };
            Ok(Request::SignIn { auth, user_data })
        }
        _ if event.starts_with("pusher:") || event.starts_with("pusher_internal:") => {
            Err(Refusal::new(
                Code::Reconnect,
                format!("Invalid message format: no such event: {event}"),
            ))
        }
        _ if event.starts_with("client-") => {
            let channel = string(fields.get("channel").copied());
            Ok(Request::Say(ClientEvent { event, channel, data }))
        }
        _ => Ok(Request::Other),
    }
}

fn read_subscribe<'a>(data: Option<&RawValue>) -> Result<Request<'a>, Refusal> {
    let malformed = |why: &'static str| Refusal::new(Code::Reconnect, why);
    let data = Data::of(data).ok_or_else(|| malformed("Invalid message format: no data"))?;
    let Some(channel) = data.string("channel") else {
        return Err(malformed("Invalid message format: no channel"));
    };
    let texts = (data.optional("auth"), data.optional("channel_data"));
    let (Ok(auth), Ok(channel_data)) = texts else {
        let mut refusal = malformed("Invalid message format: auth and channel_data are strings");
        refusal.room = Some(channel);
        return Err(refusal);
    };
    Ok(Request::Subscribe(Subscribe { channel, auth: auth.unwrap_or_default(), channel_data }))
}

/// The `data` of a request: an object, or its JSON text in a string.
struct Data(BTreeMap<String, Box<RawValue>>);

impl Data {
    fn of(raw: Option<&RawValue>) -> Option<Self> {
        let raw = raw?.get();
        let text = json::parse::<String>(raw).unwrap_or_else(|_| raw.to_owned());
        json::read(&text).ok()??;
        let fields = json::fields(&text).into_iter();
        Some(Self(fields.map(|(name, value)| (name.into_owned(), value.to_owned())).collect()))
    }

    fn string(&self, name: &str) -> Option<String> {
        string(self.0.get(name).map(|raw| &**raw))
    }

    /// What is null or empty is as good as not there.
    fn optional(&self, name: &str) -> Result<Option<String>, NotText> {
        match self.0.get(name).map(|raw| &**raw) {
            None => Ok(None),
            Some(raw) if raw.get() == "null" => Ok(None),
            raw => {
                string(raw).map(|text| Some(text).filter(|text| !text.is_empty())).ok_or(NotText)
            }
        }
    }
}

/// Something else than a string.
struct NotText;

fn string(raw: Option<&RawValue>) -> Option<String> {
    json::parse(raw?.get()).ok()
}

/// A user, as a backend has signed for it.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) id: String,
    /// `null` if there is none.
    pub(super) info: Box<RawValue>,
}

impl User {
    /// Whom the `channel_data` of a presence channel names.
    pub(super) fn of_channel_data(text: &str) -> Result<Self, &'static str> {
        if text.len() > CHANNEL_DATA_BYTES {
            return Err("channel_data has up to 1024 bytes");
        }
        Self::read(text, "user_id").ok_or("channel_data must be an object with a user_id")
    }

    /// Whom the `user_data` of a sign-in names.
    pub(super) fn of_user_data(text: &str) -> Option<Self> {
        Self::read(text, "id")
    }

    fn read(text: &str, name: &str) -> Option<Self> {
        json::read(text).ok()??;
        let fields = json::fields(text);
        let id = fields.get(name)?.get();
        // "user_id may be a JSON number": the documentation's own example has one.
        let is_integer = id.parse::<i64>().is_ok() || id.parse::<u64>().is_ok();
        let id = if is_integer { id.to_owned() } else { json::parse(id).ok()? };
        let info = fields
            .get("user_info")
            .map_or_else(|| RawValue::NULL.to_owned(), |&raw| raw.to_owned());
        is_user(&id).then_some(Self { id, info })
    }
}

/// Bytes of the name of a channel, in an error that names it.
const CHANNEL_SHOWN_BYTES: usize = 200;
const ERROR: &str = "pusher:error";
/// An empty object in a string.
pub(super) const NOTHING: &str = "{}";

#[derive(Serialize)]
struct Error<'a> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    /// "pusher:error is documented with an object": this one event is not doubly encoded.
    data: ErrorData<'a>,
}

#[derive(Serialize)]
struct ErrorData<'a> {
    code: u16,
    message: &'a str,
}

/// A refusal as the client is told of it.
pub(super) fn refused(refusal: &Refusal) -> Frame {
    let data = ErrorData { code: refusal.code.number(), message: &refusal.message };
    // Nobody gets 64 KiB back because that was no name.
    let shown = |name: &str| name.floor_char_boundary(CHANNEL_SHOWN_BYTES);
    let channel = refusal.room.as_deref().and_then(|name| name.get(..shown(name)));
    Frame::json(&Error { event: ERROR, channel, data })
}

#[derive(Serialize)]
struct Said<'a, D: Serialize> {
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<D>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
}

/// An event whose data is this text.
pub(super) fn said(event: &str, channel: Option<&str>, data: Option<&str>) -> Frame {
    Frame::json(&Said { event, channel, data, user_id: None })
}

/// An event whose data is the JSON text of this.
pub(super) fn told(event: &str, channel: &str, data: &impl Serialize) -> Frame {
    said(event, Some(channel), Some(&json::text(data)))
}

/// What a client said, as others get it.
pub(super) fn client_event(
    event: &str,
    channel: &str,
    data: &RawValue,
    user_id: Option<&str>,
) -> Frame {
    Frame::json(&Said { event, channel: Some(channel), data: Some(data), user_id })
}

/// What is said of a sign-in.
#[derive(Serialize)]
pub(super) struct SignedIn<'a> {
    pub(super) user_data: &'a str,
}

#[derive(Serialize)]
struct Established<'a> {
    socket_id: &'a str,
    activity_timeout: u64,
}

/// The first that is said.
pub(super) fn established(socket_id: &str, activity_timeout: u64) -> Frame {
    let data = json::text(&Established { socket_id, activity_timeout });
    said("pusher:connection_established", None, Some(&data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_that_the_server_chooses_has_its_words() {
        for general in Ending::ALL {
            let own = ending(general);
            assert_eq!(ending(own), own, "to say it twice changes nothing");
            assert_eq!(own.told, general.told);
            // What other codes than those of RFC 6455 mean here is this protocol's own.
            let is_own = ENDINGS.contains(&own);
            assert_eq!(is_own, general.code >= 4000 || general == Ending::TRY_LATER, "{own:?}");
            assert_eq!(farewell(own).is_some(), is_own, "{own:?}");
        }
        let frame = farewell(NO_PONG).expect("it is said");
        assert_eq!(
            frame.as_text(),
            r#"{"event":"pusher:error","data":{"code":4201,"message":"pong reply not received in time"}}"#
        );
    }

    #[test]
    fn data_is_an_object_or_its_text() {
        for data in [
            r#"{"channel":"x","auth":"k:s","channel_data":"{}"}"#,
            r#""{\"channel\":\"x\",\"auth\":\"k:s\",\"channel_data\":\"{}\"}""#,
        ] {
            let text = format!(r#"{{"event":"pusher:subscribe","data":{data}}}"#);
            let Ok(Request::Subscribe(it)) = read(&text) else { panic!("{text}") };
            assert_eq!(
                (&*it.channel, &*it.auth, it.channel_data.as_deref()),
                ("x", "k:s", Some("{}"))
            );
        }
        for data in [
            r#"{"channel":"x"}"#,
            r#"{"channel":"x","auth":"","channel_data":""}"#,
            r#"{"channel":"x","auth":null,"channel_data":null}"#,
        ] {
            let text = format!(r#"{{"data":{data},"event":"pusher:subscribe"}}"#);
            let Ok(Request::Subscribe(it)) = read(&text) else { panic!("{text}") };
            assert_eq!((&*it.channel, &*it.auth, it.channel_data.as_deref()), ("x", "", None));
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            "",
            "x",
            "[]",
            "7",
            "{}",
            r#"{"event":7}"#,
            r#"{"event":null}"#,
            r#"{"event":"pusher:subscribe"}"#,
            r#"{"event":"pusher:subscribe","data":7}"#,
            r#"{"event":"pusher:subscribe","data":"x"}"#,
            r#"{"event":"pusher:subscribe","data":{"channel":7}}"#,
            r#"{"event":"pusher:subscribe","data":{"channel":"x","auth":7}}"#,
            r#"{"event":"pusher:subscribe","data":{"channel":"x","channel_data":{}}}"#,
            r#"{"event":"pusher:unsubscribe","data":{}}"#,
            r#"{"event":"pusher:signin","data":{"auth":"x"}}"#,
            r#"{"event":"pusher:nothing"}"#,
            r#"{"event":"pusher_internal:member_added","channel":"x","data":"{}"}"#,
        ] {
            let refusal = read(text).expect_err(text);
            assert_eq!(refusal.code, Code::Reconnect, "{text}");
        }
        let deep = format!(r#"{{"event":"x","data":{}1{}}}"#, "[".repeat(80), "]".repeat(80));
        assert!(read(&deep).is_err());
        for other in [r#"{"event":"x"}"#, r#"{"event":"client_x"}"#, r#"{"event":"pusher"}"#] {
            assert!(matches!(read(other), Ok(Request::Other)), "{other}");
        }
    }

    #[test]
    fn a_users_id_is_a_string_or_an_integer() {
        for (text, id, info) in [
            (r#"{"user_id":"a","user_info":{"n":1}}"#, "a", r#"{"n":1}"#),
            (
                r#"{"user_id":10,"user_info":{"name":"Mr. Channels"}}"#,
                "10",
                r#"{"name":"Mr. Channels"}"#,
            ),
            (r#"{"user_id":-1}"#, "-1", "null"),
            (r#"{"user_id":"é\""}"#, "é\"", "null"),
        ] {
            let user = User::of_channel_data(text).expect(text);
            assert_eq!((&*user.id, user.info.get()), (id, info), "{text}");
        }
        let long = format!(r#"{{"user_id":"{}"}}"#, "x".repeat(129));
        let much = format!(r#"{{"user_id":"a","user_info":"{}"}}"#, "x".repeat(1000));
        for text in [
            "",
            "x",
            "[]",
            "{}",
            r#"{"user_id":""}"#,
            r#"{"user_id":1.5}"#,
            r#"{"user_id":null}"#,
            r#"{"user_id":{}}"#,
            &long,
            &much,
        ] {
            assert!(User::of_channel_data(text).is_err(), "{text}");
        }
        assert_eq!(User::of_user_data(r#"{"id":"12345"}"#).expect("it is one").id, "12345");
        assert!(User::of_user_data(r#"{"user_id":"12345"}"#).is_none());
    }
}
