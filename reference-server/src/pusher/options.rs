//! How an application is written as one option: words with commas between.

use std::{str::FromStr, time::Duration};

use super::PusherApp;

/// What the words are, for whoever writes another.
const WORDS: &str = "id=, key=, secret=, disabled, max_connections=, client_events=on|off, \
    subscription_count, webhook=, webhook_delay=, auth_token=, cache_ttl=";

impl FromStr for PusherApp {
    type Err = String;

    /// `id=2,key=k2,secret=s2,…`; what is not said is as in the application that there is without.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut app = Self::default();
        for word in text.split(',') {
            match word.split_once('=') {
                Some((name, value)) => app.set(name.trim(), value.trim())?,
                None => app.switch(word.trim())?,
            }
        }
        Ok(app)
    }
}

impl PusherApp {
    fn switch(&mut self, word: &str) -> Result<(), String> {
        match word {
            "disabled" => self.app.enabled = false,
            "subscription_count" => self.app.subscription_count = true,
            _ => return Err(format!("`{word}` is none of the words: {WORDS}")),
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let wrong = |why: &str| format!("{name}={value}: {why}");
        let duration = || -> Result<Duration, String> {
            humantime::parse_duration(value).map_err(|error| wrong(&error.to_string()))
        };
        match name {
            "id" => self.app.id = value.to_owned(),
            "key" => self.app.key = value.to_owned(),
            "secret" => self.app.secret = value.to_owned(),
            "max_connections" => {
                let count = value.parse();
                self.app.max_connections = count.map_err(|_| wrong("it is a number"))?;
            }
            "client_events" => {
                self.app.client_events = match value {
                    "on" => true,
                    "off" => false,
                    _ => return Err(wrong("it is `on` or `off`")),
                };
            }
            "webhook" => self.webhook = Some(value.parse().map_err(|why: String| wrong(&why))?),
            "webhook_delay" => self.app.webhook_delay = duration()?,
            "cache_ttl" => self.app.cache_ttl = duration()?,
            "auth_token" => self.auth_token = Some(value.to_owned()),
            _ => return Err(format!("`{name}=` is none of the words: {WORDS}")),
        }
        Ok(())
    }
}

/// Sees whether these can be the applications of one server.
///
/// # Errors
/// If one cannot be named in a path, or two have one name.
pub(crate) fn check(apps: &[PusherApp]) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    for (place, PusherApp { app, .. }) in apps.iter().enumerate() {
        for (word, name) in [("id", &app.id), ("key", &app.key)] {
            // A path of dots alone leads elsewhere (RFC 3986, 5.2.4).
            if name.is_empty() || matches!(name.as_str(), "." | "..") || !name.bytes().all(fits) {
                return Err(format!(
                    "{word}={name}: it stands in paths, so it is of letters, digits, `_`, `-` and `.`"
                ));
            }
        }
        if app.secret.is_empty() {
            return Err(format!("id={}: an empty secret signs nothing", app.id));
        }
        for PusherApp { app: other, .. } in apps.iter().skip(place + 1) {
            if other.id == app.id || other.key == app.key {
                return Err(format!(
                    "there are two applications of id {} or key {}",
                    app.id, app.key
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use protocol::pusher::App;

    use super::*;

    fn read(text: &str) -> PusherApp {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_word_says_what_it_is_called() {
        let PusherApp { app, webhook, auth_token } = read(
            "id=2,key=k2,secret=s=2,disabled,max_connections=7,client_events=off,subscription_count,\
             webhook=http://127.0.0.1:8080/hooks?a=b,webhook_delay=1s,auth_token=T,cache_ttl=5m",
        );
        let expected = App {
            enabled: false,
            max_connections: 7,
            client_events: false,
            subscription_count: true,
            webhook_delay: Duration::from_secs(1),
            cache_ttl: Duration::from_mins(5),
            ..App::new("2", "k2", "s=2")
        };
        assert_eq!(app, expected);
        assert_eq!(webhook.map(|target| target.to_string()).as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(auth_token.as_deref(), Some("T"));
    }

    #[test]
    fn what_is_not_said_is_as_without_the_option() {
        assert_eq!(read("max_connections=0").app, App::default());
        let PusherApp { app, webhook, auth_token } = read("id=2,key=k2");
        assert_eq!(
            (app.secret.as_str(), app.enabled, app.client_events),
            ("app-secret", true, true)
        );
        assert!(webhook.is_none() && auth_token.is_none());
    }

    #[test]
    fn what_is_wrong_is_told_with_the_word() {
        for (text, told) in [
            ("", "none of the words"),
            ("enabled", "`enabled`"),
            ("colour=red", "`colour=`"),
            ("max_connections=many", "max_connections=many"),
            ("client_events=yes", "`on` or `off`"),
            ("webhook_delay=soon", "webhook_delay=soon"),
            ("webhook=https://x/", "http://"),
            ("webhook=nonsense", "webhook=nonsense"),
        ] {
            let error = text.parse::<PusherApp>().expect_err(text);
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn applications_of_one_server_are_told_apart() {
        let all = |texts: &[&str]| check(&texts.iter().map(|text| read(text)).collect::<Vec<_>>());
        assert_eq!(all(&["id=1,key=a", "id=2,key=b"]), Ok(()));
        assert_eq!(all(&[]), Ok(()));
        for (texts, told) in [
            (&["id=1,key=a", "id=1,key=b"][..], "two applications"),
            (&["id=1,key=a", "id=2,key=b", "id=3,key=a"], "two applications"),
            (&["id=a/b"], "id=a/b"),
            (&["id=."], "id=."),
            (&["key=.."], "key=.."),
            (&["key="], "key="),
            (&["secret="], "secret"),
        ] {
            assert!(all(texts).is_err_and(|error| error.contains(told)), "{texts:?}");
        }
    }
}
