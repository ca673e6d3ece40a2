//! HTTP requests of a dialect: filled to be made, and what their answers say. Nothing is sent here.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;

use super::template::{Filling, Template};
use super::{Dialect, Unfilled};
use crate::plan::Vars;
use crate::scenario::template::{Piece, as_text, holes_of, pieces};

/// How much of an answer's body is shown when it was not the wanted one, in characters.
const SHOWN_MAX: usize = 200;

/// What a request is itself, as its query and its headers may name it.
pub(super) const ITSELF: [&str; 3] = ["method", "path", "body"];

/// A request as the dialect file has it.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) name: String,
    pub(super) method: &'static str,
    /// A path on the target's host, or an absolute URL, with holes.
    pub(super) to: String,
    /// What stands behind the `?`: mappings, one behind the other.
    pub(super) query: Vec<Template>,
    pub(super) headers: Vec<(String, Template)>,
    pub(super) body: Body,
    pub(super) rule: Arc<Rule>,
}

/// What a request carries.
#[derive(Clone, Debug)]
pub(super) enum Body {
    None,
    Json(Template),
    Form(Vec<(String, Template)>),
    Text(Template),
}

/// What must be answered, and what is kept of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rule {
    /// The one status that is right; none: any 2xx.
    pub(super) status: Option<u16>,
    /// What the body must be like; its holes become variables.
    pub(super) take: Option<Template>,
    /// Headers that must be there, and what they are like.
    pub(super) take_headers: Vec<(String, Template)>,
}

/// A request that is ready to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// Its name in the dialect file.
    pub name: String,
    /// `GET`, `POST`, …
    pub method: &'static str,
    /// A path on the target's host, or an absolute URL.
    pub to: String,
    /// Its headers; that of the content type included.
    pub headers: Vec<(String, String)>,
    /// Its body; none for no body.
    pub body: Option<String>,
    rule: Arc<Rule>,
}

/// An answer that was not the wanted one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{code}{}", if reason.is_empty() { String::new() } else { format!(": {reason}") })]
pub struct Refusal {
    /// The status.
    pub code: String,
    /// The body, cut to a readable length, or what is wrong with it.
    pub reason: String,
}

impl Exchange {
    /// What an answer says: the values that it brings.
    ///
    /// # Errors
    /// The status is not the wanted one, or the body is not.
    pub fn read(
        &self,
        status: u16,
        headers: &[(String, String)],
        body: &str,
    ) -> Result<Vars, Refusal> {
        let refused = |reason: String| Refusal { code: status.to_string(), reason };
        let wanted = match self.rule.status {
            Some(wanted) => wanted == status,
            None => (200..300).contains(&status),
        };
        if !wanted {
            return Err(refused(shown(body)));
        }
        let mut bound = Vars::new();
        for (name, template) in &self.rule.take_headers {
            let found = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            let (_, value) = found.ok_or_else(|| refused(format!("there is no header {name}")))?;
            let value = Value::from(value.as_str());
            let taken = template.matched(&value);
            bound.extend(taken.ok_or_else(|| refused(format!("the header {name} is {value}")))?);
        }
        if let Some(take) = &self.rule.take {
            let json = serde_json::from_str::<Value>(body).ok();
            let json = json.as_ref().and_then(|json| take.matched(json));
            let taken = json.or_else(|| take.matched(&Value::from(body)));
            let unlike = || refused(format!("the answer is not like `take`: {}", shown(body)));
            bound.extend(taken.ok_or_else(unlike)?);
        }
        Ok(bound)
    }

    /// The request on one line, for transcripts.
    pub fn shown(&self) -> String {
        let body = self.body.as_deref().unwrap_or_default();
        format!("{} {} {}", self.method, self.to, shown(body)).trim_end().to_owned()
    }
}

fn shown(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl Request {
    /// The templates of everything in it but its address.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        let body: Vec<&Template> = match &self.body {
            Body::None => Vec::new(),
            Body::Json(template) | Body::Text(template) => vec![template],
            Body::Form(fields) => fields.iter().map(|(_, value)| value).collect(),
        };
        self.headers.iter().map(|(_, value)| value).chain(&self.query).chain(body)
    }

    /// The names of all its holes.
    pub(super) fn holes(&self) -> Vec<String> {
        let inside = self.templates().flat_map(Template::holes).map(|(name, _)| name);
        inside.chain(holes_of(&self.to).map(|hole| hole.name)).collect()
    }

    /// The names that its answer gives values to.
    pub(super) fn taken(&self) -> Vec<String> {
        let headers = self.rule.take_headers.iter().map(|(_, template)| template);
        let holes = headers.chain(&self.rule.take).flat_map(Template::holes);
        holes.map(|(name, _)| name).filter(|name| name != "_").collect()
    }
}

impl Dialect {
    /// A request of this dialect, ready to be made.
    ///
    /// # Errors
    /// It has a hole that nothing fills.
    pub fn exchange(&self, name: &str, vars: &Vars) -> Result<Exchange, Unfilled> {
        let request = self.http.get(name).ok_or_else(|| Unfilled(name.to_owned()))?;
        let filling = Filling::of(vars, &self.define);
        let to = address(&request.to, &filling)?;
        let (kind, body) = match &request.body {
            Body::None => ("", None),
            Body::Json(template) => {
                ("application/json", Some(template.fill(&filling)?.to_string()))
            }
            Body::Text(template) => {
                ("text/plain; charset=utf-8", Some(as_text(&template.fill(&filling)?)))
            }
            Body::Form(fields) => {
                let fields = texts(fields, &filling)?;
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                form.extend_pairs(fields);
                ("application/x-www-form-urlencoded", Some(form.finish()))
            }
        };
        let itself = itself(vars, request.method, &to, body.as_deref());
        let filling = filling.with(&itself);
        let mut headers = texts(&request.headers, &filling)?;
        let named = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if body.is_some() && !named {
            headers.push(("Content-Type".to_owned(), kind.to_owned()));
        }
        let to = with_query(to, &request.query, &filling)?;
        let (name, method) = (request.name.clone(), request.method);
        Ok(Exchange { name, method, to, headers, body, rule: Arc::clone(&request.rule) })
    }

    /// The headers of the upgrade request.
    ///
    /// # Errors
    /// One has a hole that nothing fills.
    pub fn headers(&self, vars: &Vars) -> Result<Vec<(String, String)>, Unfilled> {
        texts(&self.connect.headers, &Filling::of(vars, &self.define))
    }

    /// Whether it makes HTTP requests at all.
    pub fn has_http(&self) -> bool {
        !self.http.is_empty()
    }
}

fn texts(
    templates: &[(String, Template)],
    with: &Filling<'_>,
) -> Result<Vec<(String, String)>, Unfilled> {
    let fill =
        |(name, template): &(String, Template)| Ok((name.clone(), as_text(&template.fill(with)?)));
    templates.iter().map(fill).collect()
}

/// What is known of a request by those of its parts that are filled last.
fn itself(vars: &Vars, method: &str, to: &str, body: Option<&str>) -> Vars {
    let mut known = vars.clone();
    for name in ITSELF {
        known.remove(name);
    }
    let path = to.split('?').next().unwrap_or_default();
    let path = match path.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => path,
    };
    known.insert("method".to_owned(), Value::from(method));
    known.insert("path".to_owned(), Value::from(path));
    known.extend(body.map(|body| ("body".to_owned(), Value::from(body))));
    known
}

fn with_query(mut to: String, query: &[Template], with: &Filling<'_>) -> Result<String, Unfilled> {
    for template in query {
        let fields = template.fill(with)?;
        for (key, value) in fields.as_object().into_iter().flatten() {
            to.push(if to.contains('?') { '&' } else { '?' });
            encode(key, &mut to);
            to.push('=');
            encode(&as_text(value), &mut to);
        }
    }
    Ok(to)
}

/// A path or URL with its holes filled. A value stays what it is inside a path or a query: what
/// would end it there is percent-encoded (RFC 3986, 2.2). At the beginning it may be an address.
pub(super) fn address(text: &str, with: &Filling<'_>) -> Result<String, Unfilled> {
    let mut filled = String::new();
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => filled.push_str(&text),
            Piece::Hole(hole) => {
                let value = as_text(&with.value_of(&hole.to_string())?);
                if filled.is_empty() {
                    filled.push_str(&value);
                } else {
                    encode(&value, &mut filled);
                }
            }
        }
    }
    Ok(filled)
}

fn encode(value: &str, into: &mut String) {
    for byte in value.bytes() {
        // RFC 3986, 2.3: "unreserved"; and of the others those that end neither a segment nor a
        // field of a query.
        if byte.is_ascii_alphanumeric() || b"-._~!$'()*,;:@".contains(&byte) {
            into.push(char::from(byte));
        } else {
            write!(into, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
}
