//! Signatures: HMAC-SHA256 with the application's secret, in lower-case hex.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha2::Sha256;

use super::App;

/// Bytes of a signature.
const BYTES: usize = 32;

/// What lets the connection subscribe to the channel: `KEY:SIGNATURE`. With `channel_data` it is signed
/// too, byte for byte, whatever the kind of channel.
pub fn channel(app: &App, socket_id: &str, channel: &str, channel_data: Option<&str>) -> String {
    with_key(app, &channel_text(socket_id, channel, channel_data))
}

/// What lets the connection sign in as a user: `KEY:SIGNATURE`.
pub fn user(app: &App, socket_id: &str, user_data: &str) -> String {
    with_key(app, &user_text(socket_id, user_data))
}

/// The signature of a webhook's body (`X-Pusher-Signature`).
pub fn webhook(app: &App, body: &[u8]) -> String {
    hex(&hmac(app, body).finalize().into_bytes())
}

/// The signature of a text.
pub fn sign(app: &App, text: &str) -> String {
    webhook(app, text.as_bytes())
}

/// The MD5 of a request's body, in hex (`body_md5`).
pub fn body_md5(body: &[u8]) -> String {
    hex(&Md5::digest(body))
}

/// Why something signed is not taken.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Unsigned {
    #[error("Invalid key in subscription auth data: '{0}'")]
    Key(String),
    #[error("Invalid signature: Expected HMAC SHA256 hex digest of {text}, but got {given}")]
    Signature { text: String, given: String },
}

/// Whether this is what lets the connection subscribe.
pub(super) fn verify_channel(
    app: &App,
    socket_id: &str,
    channel: &str,
    channel_data: Option<&str>,
    auth: &str,
) -> Result<(), Unsigned> {
    verify_with_key(app, channel_text(socket_id, channel, channel_data), auth)
}

/// Whether this is what lets the connection sign in.
pub(super) fn verify_user(
    app: &App,
    socket_id: &str,
    user_data: &str,
    auth: &str,
) -> Result<(), Unsigned> {
    verify_with_key(app, user_text(socket_id, user_data), auth)
}

fn verify_with_key(app: &App, text: String, auth: &str) -> Result<(), Unsigned> {
    let (key, given) = auth.split_once(':').unwrap_or((auth, ""));
    if key != app.key {
        return Err(Unsigned::Key(auth.to_owned()));
    }
    match is_signed(app, &text, given) {
        true => Ok(()),
        false => Err(Unsigned::Signature { text, given: given.to_owned() }),
    }
}

/// Whether this is the signature of the text; how long that takes says nothing of how nearly it is.
pub(super) fn is_signed(app: &App, text: &str, signature: &str) -> bool {
    let Some(bytes) = unhex(signature) else { return false };
    hmac(app, text.as_bytes()).verify_slice(&bytes).is_ok()
}

fn channel_text(socket_id: &str, channel: &str, channel_data: Option<&str>) -> String {
    match channel_data {
        Some(data) => format!("{socket_id}:{channel}:{data}"),
        None => format!("{socket_id}:{channel}"),
    }
}

fn user_text(socket_id: &str, user_data: &str) -> String {
    format!("{socket_id}::user::{user_data}")
}

fn with_key(app: &App, text: &str) -> String {
    format!("{}:{}", app.key, sign(app, text))
}

fn hmac(app: &App, bytes: &[u8]) -> Hmac<Sha256> {
    let keyed = Hmac::<Sha256>::new_from_slice(app.secret.as_bytes());
    let mut hmac = keyed.expect("a key of HMAC may have any length (RFC 2104 section 2)");
    hmac.update(bytes);
    hmac
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes all that is written");
        hex
    })
}

/// The bytes of a signature, if it is one in lower-case hex.
fn unhex(text: &str) -> Option<[u8; BYTES]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut bytes = [0; BYTES];
    if pairs.len() != BYTES || !rest.is_empty() {
        return None;
    }
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The application of the documentation's examples.
    fn app() -> App {
        App::new("3", "278d425bdf160c739803", "7ad3773142a6692b25b8")
    }

    const SOCKET: &str = "1234.1234";
    const KEY: &str = "278d425bdf160c739803:";
    const CHANNELS: &str = r#"{"user_id":10,"user_info":{"name":"Mr. Channels"}}"#;

    #[test]
    fn signatures_are_those_of_the_documentation() {
        let app = app();
        assert_eq!(
            channel(&app, SOCKET, "private-foobar", None),
            format!("{KEY}58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4")
        );
        assert_eq!(
            channel(&app, SOCKET, "presence-foobar", Some(CHANNELS)),
            format!("{KEY}31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80")
        );
        // The documentation prints this one beside the data of another name.
        let printed =
            channel(&app, SOCKET, "presence-foobar", Some(&CHANNELS.replace("Channels", "Pusher")));
        assert!(printed.starts_with(&format!("{KEY}afaed369")), "{printed}");
        assert_eq!(
            user(&app, SOCKET, r#"{"id":"12345"}"#),
            format!("{KEY}4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba")
        );
    }

    #[test]
    fn a_body_has_the_digest_of_the_documentation() {
        let body = br#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
        assert_eq!(body.len(), 68);
        assert_eq!(body_md5(body), "ec365a775a4cd0599faeb73354201b6f");
        assert_eq!(body_md5(b""), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn only_the_very_signature_is_taken() {
        let app = app();
        let right = channel(&app, SOCKET, "private-foobar", None);
        let verify = |auth: &str| verify_channel(&app, SOCKET, "private-foobar", None, auth);
        assert_eq!(verify(&right), Ok(()));
        let (key, signature) = right.split_once(':').unwrap();
        for wrong in
            [String::new(), signature.to_owned(), format!("x{right}"), format!("other:{signature}")]
        {
            assert_eq!(verify(&wrong), Err(Unsigned::Key(wrong.clone())), "{wrong}");
        }
        let upper = signature.to_uppercase();
        for wrong in [
            "",
            "0",
            "zz",
            &signature[1..],
            &signature[..63],
            &upper,
            &format!("{signature}0"),
            &format!("0{}", &signature[1..]),
            &"é".repeat(32),
        ] {
            let Err(Unsigned::Signature { text, given }) = verify(&format!("{key}:{wrong}")) else {
                panic!("{wrong} is taken");
            };
            assert_eq!((text.as_str(), given.as_str()), ("1234.1234:private-foobar", wrong));
        }
        let taken =
            |socket, channel, data| verify_channel(&app, socket, channel, data, &right).is_ok();
        assert!(taken(SOCKET, "private-foobar", None));
        assert!(!taken("1234.1235", "private-foobar", None), "another connection's");
        assert!(!taken(SOCKET, "private-foobaz", None), "another channel's");
        assert!(!taken(SOCKET, "private-foobar", Some("{}")), "what is said with it is signed too");
        let other = App { secret: "other".to_owned(), ..app.clone() };
        assert!(verify_channel(&other, SOCKET, "private-foobar", None, &right).is_err());
    }

    #[test]
    fn who_signs_in_is_verified_as_a_channel_is() {
        let app = app();
        let data = r#"{"id":"12345"}"#;
        let auth = user(&app, SOCKET, data);
        assert_eq!(verify_user(&app, SOCKET, data, &auth), Ok(()));
        assert!(verify_user(&app, SOCKET, r#"{"id":"12346"}"#, &auth).is_err());
        assert!(verify_user(&app, "1.1", data, &auth).is_err());
        assert!(verify_user(&app, SOCKET, data, "").is_err());
    }
}
