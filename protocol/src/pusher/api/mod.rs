//! The HTTP API of a backend, after HTTP: whether a request is signed, and what it means.
//!
//! Whoever serves it finds the application, calls [`verify`], and then what the path names. Answers are
//! JSON; a refusal has its status.

mod publish;
mod query;

use std::time::Duration;

pub use publish::{batch_events, events};
pub use query::{channel, channels, connections_of, users};

use super::{App, auth};

/// How far a request's time may be from ours.
const TIME_S: u64 = 600;

/// What is answered where there is nothing to say.
pub const NOTHING: &str = "{}";

/// Why a request is not granted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// The status of the answer.
    pub status: u16,
    /// For people.
    pub message: String,
}

impl Refused {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

/// Whether the application has signed this request, lately.
///
/// `path` is as it stood in the request, `query` decoded and in any order, `unix` the present since the
/// Unix epoch.
///
/// # Errors
/// 401 if it has not, 403 if nobody may use the application.
pub fn verify(
    app: &App,
    method: &str,
    path: &str,
    query: &[(String, String)],
    body: &[u8],
    unix: Duration,
) -> Result<(), Refused> {
    let refuse = |why: &str| Err(Refused::new(401, why));
    let field = |name| value(query, name);
    if field("auth_key") != Some(&app.key) {
        return refuse("auth_key is not the key of this application");
    }
    if field("auth_version") != Some("1.0") {
        return refuse("auth_version must be 1.0");
    }
    let Some(time) = field("auth_timestamp").and_then(|time| time.parse::<u64>().ok()) else {
        return refuse("auth_timestamp must be seconds since 1970");
    };
    if time.abs_diff(unix.as_secs()) > TIME_S {
        return refuse("auth_timestamp is more than 600 seconds from the time here");
    }
    match field("body_md5") {
        Some(given) if given != auth::body_md5(body) => {
            return refuse("body_md5 is not the MD5 of the body");
        }
        None if !body.is_empty() => return refuse("body_md5 is missing"),
        _ => {}
    }
    let text = signed_text(method, path, query);
    match field("auth_signature") {
        Some(given) if auth::is_signed(app, &text, given) => {}
        _ => {
            let shown = text.replace('\n', "\\n");
            return refuse(&format!("auth_signature is not the signature of \"{shown}\""));
        }
    }
    // "Forbidden: app disabled or over message quota."
    if app.enabled { Ok(()) } else { Err(Refused::new(403, "application disabled")) }
}

/// "METHOD\nPATH\nk=v&k=v": all parameters but the signature, keys in lower case, sorted, values as they
/// are meant.
fn signed_text(method: &str, path: &str, query: &[(String, String)]) -> String {
    let mut signed: Vec<(String, &str)> = query
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
        .filter(|(name, _)| name != "auth_signature")
        .collect();
    signed.sort_by(|(one, _), (other, _)| one.cmp(other));
    let signed: Vec<String> =
        signed.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{}\n{path}\n{}", method.to_ascii_uppercase(), signed.join("&"))
}

/// The first parameter of that name.
fn value<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query
        .iter()
        .find(|(given, _)| given.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// What is asked for besides, in `info`: words with commas between.
#[derive(Clone, Copy, Debug, Default)]
struct Info {
    user_count: bool,
    subscription_count: bool,
    cache: bool,
}

impl Info {
    fn read(words: Option<&str>) -> Self {
        let has = |word| words.unwrap_or_default().split(',').any(|it| it.trim() == word);
        Self {
            user_count: has("user_count"),
            subscription_count: has("subscription_count"),
            cache: has("cache"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
    const PATH: &str = "/apps/3/events";
    const TIME: u64 = 1_353_088_179;

    fn app() -> App {
        App::new("3", "278d425bdf160c739803", "7ad3773142a6692b25b8")
    }

    /// The parameters of the documentation's example, in the order in which libraries send them.
    fn query() -> Vec<(String, String)> {
        [
            ("auth_key", "278d425bdf160c739803"),
            ("auth_timestamp", "1353088179"),
            ("auth_version", "1.0"),
            ("body_md5", "ec365a775a4cd0599faeb73354201b6f"),
            ("auth_signature", "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_request_of_the_documentation_is_signed() {
        let mut query = query();
        assert_eq!(verify(&app(), "POST", PATH, &query, BODY, at(TIME)), Ok(()));
        query.reverse();
        query[0].0 = "AUTH_signature".to_owned();
        assert_eq!(verify(&app(), "post", PATH, &query, BODY, at(TIME)), Ok(()), "in any order");
        for time in [TIME - 600, TIME + 600] {
            assert_eq!(verify(&app(), "POST", PATH, &query, BODY, at(time)), Ok(()));
        }
    }

    #[test]
    fn nobody_uses_an_application_that_is_disabled() {
        let off = App { enabled: false, ..app() };
        let status =
            |body| verify(&off, "POST", PATH, &query(), body, at(TIME)).map_err(|it| it.status);
        assert_eq!((status(BODY), status(b"x")), (Err(403), Err(401)));
    }

    #[test]
    fn anything_else_is_not() {
        let app = app();
        let refused = |method: &str, path: &str, query: &[(String, String)], body: &[u8], time| {
            let refused =
                verify(&app, method, path, query, body, at(time)).expect_err("not signed");
            assert_eq!(refused.status, 401);
            refused.message
        };
        refused("GET", PATH, &query(), BODY, TIME);
        refused("POST", "/apps/3/event", &query(), BODY, TIME);
        let body = refused("POST", PATH, &query(), b"{}", TIME);
        assert!(body.contains("body_md5"), "{body}");
        refused("POST", PATH, &query(), b"", TIME);
        for time in [TIME - 601, TIME + 601] {
            assert!(refused("POST", PATH, &query(), BODY, time).contains("600"));
        }
        for place in 0..5 {
            let mut without = query();
            without.remove(place);
            refused("POST", PATH, &without, BODY, TIME);
            let mut changed = query();
            changed[place].1.push('0');
            refused("POST", PATH, &changed, BODY, TIME);
        }
        let mut more = query();
        more.push(("info".to_owned(), "user_count".to_owned()));
        refused("POST", PATH, &more, BODY, TIME);
    }

    #[test]
    fn a_body_that_is_not_signed_for_is_refused_though_all_else_is_signed() {
        let app = app();
        let mut query = query();
        query.retain(|(name, _)| !name.starts_with("body") && name != "auth_signature");
        let signature = auth::sign(&app, &signed_text("GET", PATH, &query));
        query.push(("auth_signature".to_owned(), signature));
        assert_eq!(verify(&app, "GET", PATH, &query, b"", at(TIME)), Ok(()));
        assert!(verify(&app, "GET", PATH, &query, b"x", at(TIME)).is_err());
    }
}
