//! HTTP requests on connections of their own, and upgrades that go no further.

use async_tungstenite::tungstenite::handshake::client::generate_key;
use async_tungstenite::tungstenite::handshake::derive_accept_key;
use futures_lite::future;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{Director, Failed, Frame};
use crate::check::Class;
use crate::dialect;
use crate::dialect::pattern::{self, Pattern, Unusable};
use crate::drive::channel::Channel;
use crate::drive::director::Target;
use crate::drive::http::read_answer;
use crate::drive::swarm::explain;
use crate::heard;
use crate::http::{Answer, Request};
use crate::observe::ClientId;
use crate::plan::{AnswerPattern, Body, Exchange, HttpPlan, Statuses, Vars};
use crate::scenario::template;
use crate::summary::Direction;

/// How much of an answer's body is shown, in bytes.
const SHOWN_MAX: usize = 300;

/// A request, ready to be sent.
struct Ready {
    bytes: Vec<u8>,
    /// It asks for the head alone.
    to_head: bool,
    /// The server that it goes to.
    target: Target,
    /// The answer to this key.
    accept: Option<String>,
    /// The request of the dialect that it is.
    rule: Option<dialect::Exchange>,
}

/// What came back.
enum Came {
    Answer(Answer),
    Nothing,
    /// Something that is no answer: what.
    NoHttp(String),
    Late,
}

impl Director<'_> {
    pub(super) async fn exchange(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        exchange: &Exchange,
    ) -> Result<(), Failed> {
        let place = frame.step.place;
        let upgrade = matches!(exchange.request, HttpPlan::Raw(_) | HttpPlan::Upgrade { .. });
        let class = if upgrade { Class::Handshake } else { Class::Reply };
        let way = self.way_of(frame, id, &exchange.request).await;
        let way = way.map_err(|reason| self.fail(place, id, Class::Auth, reason))?;
        let mut vars = self.vars(frame, id);
        let ready = self.request_of(&exchange.request, way, &vars);
        let ready =
            ready.map_err(|reason| self.fail(place, id, Class::Reply, reason.to_string()))?;
        let Ready { accept, rule, .. } = &ready;
        let (accept, rule) = (accept.clone(), rule.clone());
        vars.extend(accept.map(|accept| ("accept".to_owned(), Value::from(accept))));
        self.note(id, Direction::Out, &ready.bytes);
        let asking = ask(&ready);
        let late = async {
            async_io::Timer::at(frame.deadline).await;
            Came::Late
        };
        let came = future::or(asking, late).await;
        if let Came::Answer(answer) = &came {
            let head = format!("HTTP {} ", answer.status).into_bytes();
            self.note(id, Direction::In, &[head.as_slice(), &answer.body].concat());
        }
        let judged = match (&rule, &came) {
            // The step says nothing of the answer: the dialect does.
            (Some(rule), Came::Answer(answer)) if exchange.answer.is_silent() => {
                let body = String::from_utf8_lossy(&answer.body);
                let taken = rule.read(answer.status, &answer.headers, &body);
                taken.map_err(|refusal| format!("`{}` was answered with {refusal}", rule.name))
            }
            _ => judge(&exchange.answer, upgrade, &came, &vars),
        };
        match judged {
            Ok(bound) => {
                if let Some((client, books)) = self.shared.lock().client(id) {
                    books.keep_secrets(&bound);
                    bound.into_iter().for_each(|(name, value)| client.capture(&name, value));
                }
                Ok(())
            }
            Err(detail) => Err(self.fail(place, id, class, detail)),
        }
    }

    /// Keeps a request or an answer for transcripts.
    fn note(&self, id: ClientId, direction: Direction, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes).replace("\r\n", " | ");
        let shown = format!("(http: {})", heard::shown(&text.trim_end_matches([' ', '|']).into()));
        let now = self.shared.now();
        self.shared.lock().books.frame(now, id, direction, shown.into());
    }

    /// Where a request for an upgrade goes, and with which headers: as whoever opens a connection, a
    /// client first makes the requests that come before.
    async fn way_of(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        plan: &HttpPlan,
    ) -> Result<Option<(String, Vec<(String, String)>)>, String> {
        let HttpPlan::Upgrade { path, headers, .. } = plan else { return Ok(None) };
        let given = filled(headers, &self.vars(frame, id)).map_err(|hole| hole.to_string())?;
        self.way_in(frame, id, path.as_deref(), given).await.map(Some)
    }

    fn request_of(
        &self,
        plan: &HttpPlan,
        way: Option<(String, Vec<(String, String)>)>,
        vars: &Vars,
    ) -> Result<Ready, Unusable> {
        match plan {
            HttpPlan::Raw(payload) => {
                let bytes = payload.bytes(vars)?;
                let target = self.target.clone();
                Ok(Ready { bytes, to_head: false, target, accept: None, rule: None })
            }
            HttpPlan::Upgrade { method, without, .. } => {
                let (path, headers) = way.unwrap_or_default();
                let key = generate_key();
                let offered = self.plan.dialect.connect.subprotocol.as_deref();
                let mut request = Request::upgrade(&self.target.host, path, &key, offered);
                request.method.clone_from(method);
                request.set(&headers);
                without.iter().for_each(|name| request.without(name));
                let key = request
                    .headers
                    .iter()
                    .rev()
                    .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
                let accept = key.map(|(_, key)| derive_accept_key(key.as_bytes()));
                let bytes = request.to_bytes();
                let target = self.target.clone();
                Ok(Ready { bytes, to_head: method == "HEAD", target, accept, rule: None })
            }
            HttpPlan::Plain { method, path, headers, body } => {
                let path = template::fill_text(path, vars)?;
                let (target, path) = self.road.to(&path).map_err(Unusable::Wrong)?;
                let mut request = Request {
                    method: method.clone(),
                    path,
                    headers: vec![
                        ("Host".to_owned(), target.host.clone()),
                        ("Connection".to_owned(), "close".to_owned()),
                    ],
                    body: Vec::new(),
                };
                if let Some(body) = body {
                    let (kind, bytes) = content(body, vars)?;
                    request
                        .headers
                        .extend(kind.map(|kind| ("Content-Type".to_owned(), kind.to_owned())));
                    let length = ("Content-Length".to_owned(), bytes.len().to_string());
                    request.headers.push(length);
                    request.body = bytes;
                }
                request.set(&filled(headers, vars)?);
                let bytes = request.to_bytes();
                Ok(Ready { bytes, to_head: method == "HEAD", target, accept: None, rule: None })
            }
            HttpPlan::Named { request, with, headers } => self.named(request, with, headers, vars),
        }
    }

    /// A request of the dialect, with values for its holes.
    fn named(
        &self,
        name: &str,
        with: &[(String, Value)],
        headers: &[(String, String)],
        vars: &Vars,
    ) -> Result<Ready, Unusable> {
        let mut all = vars.clone();
        for (name, value) in with {
            all.insert(name.clone(), pattern::fill_wire(value, vars)?);
        }
        let exchange = self.plan.dialect.exchange(name, &all)?;
        let (target, path) = self.road.to(&exchange.to).map_err(Unusable::Wrong)?;
        let body = exchange.body.clone().map(String::into_bytes);
        let mut request = Request {
            method: exchange.method.to_owned(),
            path,
            headers: vec![
                ("Host".to_owned(), target.host.clone()),
                ("Connection".to_owned(), "close".to_owned()),
            ],
            body: body.clone().unwrap_or_default(),
        };
        let length = body.map(|body| ("Content-Length".to_owned(), body.len().to_string()));
        request.headers.extend(length);
        request.set(&exchange.headers);
        request.set(&filled(headers, vars)?);
        let (bytes, to_head) = (request.to_bytes(), exchange.method == "HEAD");
        Ok(Ready { bytes, to_head, target, accept: None, rule: Some(exchange) })
    }
}

/// The type and the bytes of a body.
fn content(body: &Body, vars: &Vars) -> Result<(Option<&'static str>, Vec<u8>), Unusable> {
    Ok(match body {
        Body::Json(value) => {
            let value = pattern::fill_wire(value, vars)?;
            (Some("application/json"), value.to_string().into_bytes())
        }
        Body::Form(fields) => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            for (name, value) in fields {
                form.append_pair(name, &template::fill_text(value, vars)?);
            }
            (Some("application/x-www-form-urlencoded"), form.finish().into_bytes())
        }
        Body::Plain(payload) => (None, payload.bytes(vars)?),
    })
}

/// Headers with their holes filled.
fn filled(headers: &[(String, String)], vars: &Vars) -> Result<Vec<(String, String)>, Unusable> {
    let each =
        headers.iter().map(|(name, value)| Ok((name.clone(), template::fill_text(value, vars)?)));
    each.collect()
}

/// One exchange on a connection of its own.
async fn ask(ready: &Ready) -> Came {
    let mut channel = match Channel::open(&ready.target).await {
        Ok(channel) => channel,
        Err(error) => return Came::NoHttp(explain(&error)),
    };
    match read_answer(&mut channel, &ready.bytes, ready.to_head).await {
        Ok(Some(answer)) => Came::Answer(answer),
        Ok(None) => Came::Nothing,
        Err(reason) => Came::NoHttp(reason),
    }
}

/// What an answer gives to the holes of its pattern, or what is wrong with it.
fn judge(wanted: &AnswerPattern, upgrade: bool, came: &Came, vars: &Vars) -> Result<Vars, String> {
    let usual = if upgrade { Statuses::Between(101, 101) } else { Statuses::Between(200, 299) };
    let statuses = if wanted.status.is_empty() { &[usual][..] } else { &wanted.status };
    let expected =
        format!("expected {}", statuses.iter().map(named).collect::<Vec<_>>().join(" or "));
    let answer = match came {
        Came::Answer(answer) => answer,
        Came::Nothing if statuses.contains(&Statuses::NoAnswer) => return Ok(Vars::new()),
        Came::Nothing => return Err(format!("{expected}: the connection ended without an answer")),
        Came::NoHttp(reason) => return Err(format!("{expected}: {reason}")),
        Came::Late => return Err(format!("{expected}: no answer came in time")),
    };
    let fits = |status: &Statuses| match status {
        Statuses::Between(from, to) => (*from..=*to).contains(&answer.status),
        Statuses::NoAnswer => false,
    };
    if !statuses.iter().any(fits) {
        return Err(format!("{expected}: the answer is {}", shown(answer)));
    }
    let mut known = vars.clone();
    let mut bound = Vars::new();
    for (name, pattern) in &wanted.headers {
        let what = format!("the header {name}");
        match answer.header(name) {
            Some(header) => {
                let value = Value::from(header.as_str());
                take(pattern, &value, (&what, &header), (&mut known, &mut bound))?;
            }
            // As a field of a mapping: there it can be absent.
            None => {
                let pattern = json!({ "header": pattern });
                let none = (what.as_str(), "not there");
                take(&pattern, &json!({}), none, (&mut known, &mut bound))?;
            }
        }
    }
    let text = String::from_utf8_lossy(&answer.body);
    if let Some(pattern) = &wanted.body {
        let body = Value::from(text.as_ref());
        take(pattern, &body, ("the body", &shown(answer)), (&mut known, &mut bound))?;
    }
    if let Some(pattern) = &wanted.json {
        let json: Value = serde_json::from_str(&text)
            .map_err(|error| format!("the body is no JSON ({error}): {}", shown(answer)))?;
        take(pattern, &json, ("the body", &shown(answer)), (&mut known, &mut bound))?;
    }
    Ok(bound)
}

/// Compares a part of an answer, and keeps what it gives.
fn take(
    pattern: &Value,
    value: &Value,
    (what, found): (&str, &str),
    (known, bound): (&mut Vars, &mut Vars),
) -> Result<(), String> {
    let pattern = Pattern::new(pattern, known).map_err(|reason| reason.to_string())?;
    let more = pattern.matched(value);
    let more = more.ok_or_else(|| format!("{what} should be {pattern}; it is {found}"))?;
    known.extend(more.clone());
    bound.extend(more);
    Ok(())
}

fn named(status: &Statuses) -> String {
    match status {
        Statuses::Between(from, to) if from == to => format!("HTTP {from}"),
        Statuses::Between(from, to) => format!("HTTP {from} to {to}"),
        Statuses::NoAnswer => "no answer".to_owned(),
    }
}

fn shown(answer: &Answer) -> String {
    let body = answer.body.get(..answer.body.len().min(SHOWN_MAX)).unwrap_or_default();
    let body = String::from_utf8_lossy(body);
    match body.trim() {
        "" => format!("HTTP {} without a body", answer.status),
        body => format!("HTTP {}: {body}", answer.status),
    }
}
