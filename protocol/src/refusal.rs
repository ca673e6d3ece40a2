//! Why a request is refused: one small value, which becomes an error on the wire.

use std::borrow::Cow;

/// Characters of an explanation. Some quote the client, who shall not get 64 KiB back.
const MESSAGE_CHARS: usize = 200;

/// A refused request. It has changed nothing. `C` is the dialect's list of codes.
#[derive(Debug)]
pub(crate) struct Refusal<C> {
    pub(crate) code: C,
    /// For people.
    pub(crate) message: Cow<'static, str>,
    /// The room that it is about, in dialects whose errors say so.
    pub(crate) room: Option<String>,
}

impl<C> Refusal<C> {
    pub(crate) fn new(code: C, message: impl Into<Cow<'static, str>>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(MESSAGE_CHARS) {
            message.to_mut().truncate(end);
        }
        Self { code, message, room: None }
    }
}

/// A dialect's list of codes: what each is called on the wire.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// Why a request is refused, as the wire says it.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(crate) enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}
pub(crate) use codes;
