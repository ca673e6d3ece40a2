//! The cookies of one client, as far as a tester needs them (RFC 6265): names, values, their ends,
//! and the host that gave them. Paths and times are not looked at: a run is one short visit.

/// Cookies of all hosts, at most.
const COOKIES_MAX: usize = 64;

/// A client's cookies.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Jar {
    cookies: Vec<Cookie>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Cookie {
    host: String,
    name: String,
    value: String,
}

impl Jar {
    /// Takes in what a `Set-Cookie` header of a host says.
    pub fn set(&mut self, host: &str, header: &str) {
        let mut parts = header.split(';');
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() {
            return;
        }
        self.cookies.retain(|cookie| cookie.host != host || cookie.name != name);
        // RFC 6265, 5.2.2: "If delta-seconds is less than or equal to zero, let expiry-time be the
        // earliest representable date and time": so it is deleted.
        let gone = parts.any(|attribute| {
            let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let seconds = value.trim().parse::<i64>();
            key.trim().eq_ignore_ascii_case("max-age") && seconds.is_ok_and(|it| it <= 0)
        });
        if !gone && self.cookies.len() < COOKIES_MAX {
            let (host, name, value) = (host.to_owned(), name.to_owned(), value.to_owned());
            self.cookies.push(Cookie { host, name, value });
        }
    }

    /// The values of all cookies.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.cookies.iter().map(|cookie| cookie.value.as_str())
    }

    /// The `Cookie` header for a host; none without cookies.
    pub fn header(&self, host: &str) -> Option<String> {
        let own = self.cookies.iter().filter(|cookie| cookie.host == host);
        let pairs: Vec<String> =
            own.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_go_back_to_the_host_that_gave_them() {
        let mut jar = Jar::default();
        jar.set("a:80", "sid=1; Path=/; HttpOnly");
        jar.set("a:80", " theme = dark ");
        jar.set("b:80", "sid=2");
        jar.set("a:80", "nonsense");
        assert_eq!(jar.header("a:80").as_deref(), Some("sid=1; theme=dark"));
        jar.set("a:80", "sid=3; Max-Age=60");
        assert_eq!(jar.header("a:80").as_deref(), Some("theme=dark; sid=3"));
        jar.set("a:80", "sid=; max-age=0");
        jar.set("a:80", "theme=; Max-Age=-1");
        assert_eq!(jar.header("a:80"), None);
        assert_eq!(jar.header("b:80").as_deref(), Some("sid=2"));
    }
}
