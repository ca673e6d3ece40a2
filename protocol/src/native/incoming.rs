//! What clients send: first the envelope, which validates the whole text, then the request in it.

use std::borrow::Cow;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::refusal::{Code, Refusal};
use crate::json::{self, Field, Id, Object, parse};
use crate::room::Membership;
use crate::storage::Change;

/// The outside of a message.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub(super) id: Option<Id>,
    pub(super) kind: Cow<'a, str>,
}

/// One request, valid as far as it can be judged without knowing who sent it.
#[derive(Debug)]
pub(super) enum Request<'a> {
    Name(Name<'a>),
    Create(Create),
    Join(Join<'a>),
    Leave(InRoom<'a>),
    Chat(Chat<'a>),
    Presence(Presence<'a>),
    Store(Store<'a>),
    Typing(Typing<'a>),
    Read(Read<'a>),
    Ping,
}

#[derive(Debug, Deserialize)]
pub(super) struct Name<'a> {
    #[serde(borrow)]
    pub(super) username: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Create {
    pub(super) capacity: Option<NonZeroU16>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Join<'a> {
    #[serde(borrow)]
    pub(super) room: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) code: Option<Cow<'a, str>>,
    pub(super) membership: Option<Membership>,
    #[serde(borrow)]
    pub(super) since: Option<Object<Since<'a>>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Since<'a> {
    #[serde(borrow)]
    pub(super) epoch: Cow<'a, str>,
    pub(super) seq: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct InRoom<'a> {
    #[serde(borrow)]
    pub(super) room: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Chat<'a> {
    #[serde(borrow)]
    pub(super) room: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) text: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Presence<'a> {
    #[serde(borrow)]
    pub(super) room: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) patch: &'a RawValue,
}

#[derive(Debug, Deserialize)]
pub(super) struct Store<'a> {
    #[serde(borrow)]
    pub(super) room: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) ops: Vec<Op<'a>>,
    pub(super) if_version: Option<u64>,
}

/// One operation on the storage. It is shown to the members as it was sent, but for spaces and
/// fields that mean nothing.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Op<'a> {
    #[serde(borrow)]
    Put(Object<Put<'a>>),
    #[serde(borrow)]
    Delete(Object<Delete<'a>>),
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Put<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: &'a RawValue,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Delete<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Typing<'a> {
    #[serde(borrow)]
    pub(super) room: Cow<'a, str>,
    pub(super) on: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Read<'a> {
    #[serde(borrow)]
    pub(super) room: Cow<'a, str>,
    pub(super) seq: u64,
}

impl Op<'_> {
    pub(super) fn change(&self) -> Change<'_> {
        match self {
            Self::Put(Object(put)) => Change { key: &put.key, value: Some(put.value) },
            Self::Delete(Object(delete)) => Change { key: &delete.key, value: None },
        }
    }
}

impl<'a> Envelope<'a> {
    /// Reads the envelope, and validates all of the text. Refused with the `id` if there is a
    /// valid one: the answer to a request with an id always carries it.
    pub(super) fn read(text: &'a str) -> Result<Self, (Option<Id>, Refusal)> {
        let bare = |code, message: String| (None, Refusal::new(code, message));
        let fields = json::read(text).map_err(|error| bare(Code::BadJson, error.to_string()))?;
        let fields =
            fields.ok_or_else(|| bare(Code::BadMessage, "a message is an object".to_owned()))?;
        let bad = |what: &str| Refusal::new(Code::BadMessage, what.to_owned());
        let id = match fields.id {
            Field::Absent => None,
            Field::Once(id) => Some(id),
            Field::Bad => {
                return Err((None, bad("`id` is a string of up to 64 bytes, or an integer")));
            }
        };
        match fields.kind {
            Field::Once(kind) => Ok(Self { id, kind }),
            Field::Absent => Err((id, bad("missing field `type`"))),
            Field::Bad => Err((id, bad("`type` is one string"))),
        }
    }

    /// Reads the request of this envelope's type from the same text.
    pub(super) fn request(&self, text: &'a str) -> Result<Request<'a>, Refusal> {
        let request = match &*self.kind {
            "name" => parse(text).map(Request::Name),
            "create" => parse(text).map(Request::Create),
            "join" => parse(text).map(Request::Join),
            "leave" => parse(text).map(Request::Leave),
            "chat" => parse(text).map(Request::Chat),
            "presence" => parse(text).map(Request::Presence),
            "store" => parse(text).map(Request::Store),
            "typing" => parse(text).map(Request::Typing),
            "read" => parse(text).map(Request::Read),
            "ping" => Ok(Request::Ping),
            kind => {
                return Err(Refusal::new(Code::UnknownType, format!("no request is a {kind:?}")));
            }
        };
        request.map_err(|error| Refusal::new(Code::BadMessage, error.to_string()))
    }
}
