//! Makes a dialect of its file, and says all that is wrong with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::file::{File, HttpFile, ReceiveFile, SendFile, file};
use super::http::{Body, Request, Rule};
use super::template::{Definitions, Template};
use super::{
    Connect, Dialect, Duty, Encoding, EventKind, FEATURES, Fence, Frames, Heartbeat, Meaning, Part,
    Receiving, Sending, Verb, function, lint,
};
use crate::plan::{Echo, Ordering, Vars};
use crate::scenario::marked::{At, Keyed};
use crate::scenario::problem::Problem;
use crate::scenario::template::holes_of;

/// Reads a dialect from its file's text, or says all that is wrong with it.
pub(super) fn read(text: &str) -> Result<Dialect, Vec<Problem>> {
    let (file, mut problems) = file(text)?;
    let params = file.params.iter().map(|(name, value)| (name.value.clone(), value.clone()));
    let mut builder = Builder { text, params: params.collect(), problems: Vec::new() };
    let dialect = builder.dialect(&file);
    problems.append(&mut builder.problems);
    problems.extend(lint::mistakes(text, &file));
    if problems.is_empty() { Ok(dialect) } else { Err(problems) }
}

struct Builder<'a> {
    text: &'a str,
    params: Vars,
    problems: Vec<Problem>,
}

impl Builder<'_> {
    fn dialect(&mut self, file: &File) -> Dialect {
        let rules = self.receive(file);
        Dialect {
            name: file.dialect.clone(),
            about: file.about.clone(),
            connect: self.connect(file),
            ordering: Some(file.ordering.map_or(Ordering::PerSender, |word| word.meaning())),
            echo: Some(file.echo.map_or(Echo::Never, |word| word.meaning())),
            heartbeat: file.heartbeat.map(|heartbeat| Heartbeat {
                every: heartbeat.every.0,
                timeout: heartbeat.timeout.unwrap_or(heartbeat.every).0,
            }),
            idle_pings: file.heartbeat.is_some_and(|heartbeat| heartbeat.idle),
            two_ticks: file.heartbeat.is_some_and(|heartbeat| heartbeat.timeout.is_none()),
            // What comes back to the sender is the stronger fence: it is in the room's own order.
            fence: match (file.fence, file.echo.map(|word| word.meaning())) {
                (Some(word), _) => word.meaning(),
                (None, Some(Echo::Once)) => Fence::Say,
                (None, _) => Fence::Ping,
            },
            numbering: file.numbering.clone(),
            snapshot: file.snapshot.iter().map(|kind| kind.value).collect(),
            limits: file.limits.meaning(),
            define: self.define(file),
            duty: Duty::read(file.reconnect.as_ref(), &mut self.problems),
            params: self.params.clone(),
            lacks: self.lacks(file),
            encoding: file.encoding,
            http: self.http(file),
            send: self.send(file),
            receive: rules.iter().map(|rule| rule.settled(&self.params)).collect(),
            rules,
        }
    }

    fn connect(&mut self, file: &File) -> Connect {
        let connect = &file.connect;
        let names = |names: &[At<String>]| names.iter().map(|name| name.value.clone()).collect();
        Connect {
            path: connect.path.value.clone(),
            subprotocol: connect.subprotocol.clone(),
            ready: connect.ready.as_ref().map(|ready| ready.value),
            introduce: connect.introduce.iter().map(|verb| verb.value).collect(),
            before: names(&connect.before),
            cookies: connect.cookies,
            in_path: holes_of(&connect.path).any(|hole| hole.name == "room"),
            headers: self.fields(&connect.headers),
        }
    }

    fn template(&mut self, value: &At<Value>) -> Template {
        Template::compile(value).unwrap_or_else(|message| {
            self.problems.push(Problem::new(message).at(value.place));
            Template::Exactly(Value::Null)
        })
    }

    /// A template that reads: each of its texts can be read in one way only.
    fn pattern(&mut self, value: &At<Value>) -> Template {
        let template = self.template(value);
        if let Some(operation) = function::first_in(value) {
            let problem = Problem::new(format!("`{operation}` is for what is sent"));
            let place = lint::locate(self.text, value.place, operation);
            self.problems.push(problem.at(place).help("nothing that comes is held against it"));
        }
        if let Some(text) = template.settled(&self.params).ambiguous() {
            let place = lint::locate(self.text, value.place, &text);
            let problem = Problem::new(format!("`{text}` has more than one hole")).at(place);
            self.problems.push(problem.help("when receiving, a text may have one hole"));
        }
        template
    }

    fn fields(&mut self, fields: &Keyed<At<Value>>) -> Vec<(String, Template)> {
        fields.iter().map(|(name, value)| (name.value.clone(), self.template(value))).collect()
    }

    fn define(&mut self, file: &File) -> Definitions {
        let constant =
            |(name, value): (&String, &Value)| (name.clone(), Template::Exactly(value.clone()));
        let mut define: Definitions = self.params.iter().map(constant).collect();
        define.extend(self.fields(&file.define));
        define
    }

    fn lacks(&mut self, file: &File) -> Vec<String> {
        let known: Vec<&str> = Verb::WORDS.iter().chain(FEATURES).copied().collect();
        for lack in file.lacks.iter().filter(|lack| !known.contains(&lack.as_str())) {
            let problem =
                Problem::new(format!("nothing that a scenario needs is called `{}`", **lack));
            self.problems.push(problem.at(lack.place).did_you_mean(lack, known.iter().copied()));
        }
        file.lacks.iter().map(|lack| lack.value.clone()).collect()
    }

    fn http(&mut self, file: &File) -> BTreeMap<String, Request> {
        let requests = file.http.iter().filter_map(|(name, way)| Some((name, way.0.as_ref()?)));
        requests.map(|(name, way)| (name.value.clone(), self.request(name, way))).collect()
    }

    fn request(&mut self, name: &At<String>, way: &HttpFile) -> Request {
        let (method, to) = way
            .methods()
            .next()
            .map_or(("GET", String::new()), |(method, to)| (method, to.value.clone()));
        let body = match (&way.json, &way.form, &way.body) {
            (Some(json), ..) => Body::Json(self.template(json)),
            (_, Some(form), _) => Body::Form(self.fields(form)),
            (.., Some(text)) => Body::Text(self.template(text)),
            (None, None, None) => Body::None,
        };
        let take_headers = way.take_headers.iter();
        let take_headers =
            take_headers.map(|(name, value)| (name.value.clone(), self.pattern(value)));
        let take_headers = take_headers.collect();
        let rule = Rule {
            status: way.status.as_ref().map(|status| status.value),
            take: way.take.as_ref().map(|take| self.pattern(take)),
            take_headers,
        };
        let (headers, query) = (self.fields(&way.headers), self.query(way.query.as_ref()));
        Request { name: name.value.clone(), method, to, query, headers, body, rule: Arc::new(rule) }
    }

    /// A mapping, a definition that is one, or a list of these.
    fn query(&mut self, query: Option<&At<Value>>) -> Vec<Template> {
        let Some(query) = query else { return Vec::new() };
        let list = match &query.value {
            Value::Array(list) => list.clone(),
            one => vec![one.clone()],
        };
        let each = |value| self.template(&At { value, place: query.place });
        let templates: Vec<Template> = list.into_iter().map(each).collect();
        if !templates.iter().all(|it| matches!(it, Template::Mapping(_) | Template::Hole(_))) {
            let problem = Problem::new("a `query` is a mapping, or a list of mappings");
            self.problems.push(problem.at(query.place));
        }
        templates
    }

    fn send(&mut self, file: &File) -> BTreeMap<Verb, Vec<Sending>> {
        let mut send = BTreeMap::new();
        for (name, ways) in file.send.iter() {
            let verb = match name.parse::<Verb>() {
                Ok(verb) => verb,
                Err(error) => {
                    let problem = Problem::new(error.to_string()).at(name.place);
                    self.problems.push(problem.did_you_mean(name, Verb::WORDS.iter().copied()));
                    continue;
                }
            };
            let ways = ways.0.as_ref().map_or(&[][..], |ways| ways.0.as_slice());
            let ways = ways.iter().map(|way| Sending {
                given: way.given.as_ref().map(|given| self.template(given)),
                before: way.before.iter().map(|name| name.value.clone()).collect(),
                frames: self.frames(way, file.encoding),
                http: way.http.as_ref().map(|name| name.value.clone()),
                ack: way.ack.as_ref().map(|ack| ack.value),
            });
            send.insert(verb, ways.collect());
        }
        send
    }

    fn frames(&mut self, way: &SendFile, encoding: Encoding) -> Frames {
        if let Some(frame) = &way.frame {
            return Frames::Each(vec![self.frame(frame, encoding)]);
        }
        let Some(frames) = &way.frames else { return Frames::Each(Vec::new()) };
        match &frames.value {
            Value::Array(list) => {
                let at = |value: &Value| At { value: value.clone(), place: frames.place };
                Frames::Each(list.iter().map(|it| self.frame(&at(it), encoding)).collect())
            }
            Value::Object(list) if list.contains_key("$list") => Frames::Of(self.template(frames)),
            _ => {
                let problem = Problem::new("`frames` are a list of frames, or a `$list` of them");
                self.problems.push(problem.at(frames.place));
                Frames::Each(Vec::new())
            }
        }
    }

    fn frame(&mut self, frame: &At<Value>, encoding: Encoding) -> Template {
        if encoding == Encoding::Text && !frame.is_string() {
            let problem = Problem::new("with `encoding: text` a frame is a text");
            self.problems.push(problem.at(frame.place));
        }
        if let Some(operation) = super::shape::first_in(frame) {
            let problem =
                Problem::new(format!("`{operation}` is for what comes; nothing fills it"));
            let place = lint::locate(self.text, frame.place, operation);
            self.problems.push(problem.at(place));
        }
        self.template(frame)
    }

    fn receive(&mut self, file: &File) -> Vec<Receiving> {
        let ways = file.receive.iter().filter_map(|way| way.0.as_ref()).enumerate();
        ways.flat_map(|(rule, way)| self.receiving(rule, way)).collect()
    }

    /// What one rule reads: a frame, or one of the several that it wants.
    fn receiving(&mut self, rule: usize, way: &At<ReceiveFile>) -> Vec<Receiving> {
        let Some(event) = way.events().next() else { return Vec::new() };
        let all: Vec<Template> = way.templates().map(|template| self.pattern(template)).collect();
        let bound: Vec<String> = all
            .iter()
            .flat_map(Template::holes)
            .map(|(name, _)| name)
            .filter(|name| !self.params.contains_key(name))
            .collect();
        let (mut with, mut recall) = (Vec::new(), Vec::new());
        for (name, template) in self.fields(&way.with) {
            let known = template.holes().iter().all(|(hole, _)| bound.contains(hole));
            if known { &mut with } else { &mut recall }.push((name, template));
        }
        let count = all.len();
        let several = |nth| (count > 1).then_some(Part { rule, nth, of: count });
        let meaning = |nth| Meaning {
            also: way.events().skip(1).map(|kind| kind.value).collect(),
            own: way.own.as_ref().map(|kind| kind.value),
            refuses: way.refuses.as_ref().map(|verb| verb.value),
            remember: way.remember.iter().map(|name| name.value.clone()).collect(),
            recall: recall.clone(),
            reply: way.reply.as_ref().map(|verb| verb.value),
            part: several(nth),
        };
        let place = event.place.line;
        let event: EventKind = event.value;
        let one = |(nth, when): (usize, Template)| {
            let (with, means) = (with.clone(), Arc::new(meaning(nth)));
            Receiving { event, when, with, means, line: place }
        };
        all.into_iter().enumerate().map(one).collect()
    }
}
