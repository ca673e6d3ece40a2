//! Names: of channels, whose first letters say what they are, and of connections and users.

use crate::dialect::is_made_of;

/// Bytes of a channel's name.
const CHANNEL_BYTES: usize = 164;
/// What it may have in it besides letters and digits.
const CHANNEL_SIGNS: &[u8] = b"_-=@,.;";
/// Characters of a user's id.
const USER_CHARS: usize = 128;
/// What the channel of a user is called, apart from its id.
pub(super) const USER_CHANNEL: &str = "#server-to-user-";

/// What the name of a channel says of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Kind {
    pub(super) access: Access,
    /// It keeps its last event for those who come later.
    pub(super) keeps: bool,
}

/// Who may subscribe, and what they can do then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    /// Anybody; they hear what the backend publishes.
    Public,
    /// Whom the backend has signed for.
    Private,
    /// The same; what is said there is sealed, and clients cannot say anything.
    Encrypted,
    /// Whom the backend has signed for, with the user that they are.
    Presence,
}

impl Kind {
    pub(super) fn of(channel: &str) -> Self {
        let prefixes = [
            ("private-encrypted-", Access::Encrypted),
            ("private-", Access::Private),
            ("presence-", Access::Presence),
        ];
        let found = prefixes
            .into_iter()
            .find_map(|(prefix, access)| Some((channel.strip_prefix(prefix)?, access)));
        let (rest, access) = found.unwrap_or((channel, Access::Public));
        Self { access, keeps: rest.starts_with("cache-") }
    }

    pub(super) fn is_presence(self) -> bool {
        self.access == Access::Presence
    }

    /// Whether clients may say something to each other there.
    pub(super) const fn takes_client_events(self) -> bool {
        matches!(self.access, Access::Private | Access::Presence)
    }
}

/// Whether a channel may be called so, other than those of users.
pub(super) fn is_channel(name: &str) -> bool {
    name.len() <= CHANNEL_BYTES && is_made_of(name, CHANNEL_SIGNS)
}

/// Whether a user may be called so.
pub(super) fn is_user(id: &str) -> bool {
    !id.is_empty() && id.chars().nth(USER_CHARS).is_none()
}

/// The channel on which the backend speaks to this user.
pub(super) fn channel_of_user(id: &str) -> String {
    format!("{USER_CHANNEL}{id}")
}

/// Whether a connection may be called so.
pub(super) fn is_socket_id(id: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    id.split_once('.').is_some_and(|(one, other)| is_number(one) && is_number(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_says_what_a_channel_is() {
        for (name, access, keeps) in [
            ("news", Access::Public, false),
            ("cache-news", Access::Public, true),
            ("private-x", Access::Private, false),
            ("private-cache-x", Access::Private, true),
            ("private-encrypted-x", Access::Encrypted, false),
            ("private-encrypted-cache-x", Access::Encrypted, true),
            ("presence-x", Access::Presence, false),
            ("presence-cache-x", Access::Presence, true),
            // Exactly so, and only in front.
            ("privateer", Access::Public, false),
            ("private", Access::Public, false),
            ("presence", Access::Public, false),
            ("Private-x", Access::Public, false),
            ("cachet", Access::Public, false),
            ("x-private-y", Access::Public, false),
            ("cache-private-x", Access::Public, true),
            ("private-encryptedx", Access::Private, false),
            ("presence-private-x", Access::Presence, false),
        ] {
            assert_eq!(Kind::of(name), Kind { access, keeps }, "{name}");
        }
    }

    #[test]
    fn names_have_their_letters_and_their_length() {
        let longest = "x".repeat(164);
        for (name, expected) in [
            ("a", true),
            ("foo-bar_1234@=,.;", true),
            (&*longest, true),
            (&format!("{longest}x"), false),
            ("", false),
            ("#x", false),
            ("a b", false),
            ("a/b", false),
            ("é", false),
            ("a:b", false),
        ] {
            assert_eq!(is_channel(name), expected, "{name}");
        }
        for (id, expected) in [
            ("1.2", true),
            ("123456.7890123", true),
            ("1", false),
            ("1.", false),
            (".1", false),
            ("1.2.3", false),
            ("a.b", false),
            ("1.2\n", false),
            ("", false),
        ] {
            assert_eq!(is_socket_id(id), expected, "{id}");
        }
        assert!(is_user(&"é".repeat(128)) && !is_user(&"é".repeat(129)) && !is_user(""));
    }
}
