//! What is wrong with a step below the dialect, with a pattern, or with what a conformance case says
//! of itself.

use serde_json::Value;

use super::Linter;
use crate::dialect::pattern;
use crate::scenario::expectations::{Expect, ExpectNone};
use crate::scenario::marked::At;
use crate::scenario::problem::{Problem, nearest};
use crate::scenario::steps::{ON_SERVER, Step};
use crate::scenario::template::holes_of;
use crate::scenario::wire::{Answer, Content, Frame, Handshake, Http, PAYLOAD_BYTES_MAX};

/// What the arguments of the run's own server may name.
const SERVER_HOLES: &[&str] = &["scratch", "run"];

impl Linter<'_> {
    /// What a conformance case says of itself.
    pub(super) fn case(&mut self) {
        let file = self.file;
        for id in &file.requires {
            if id.is_empty() || id.contains(char::is_whitespace) {
                let problem = Problem::new(format!("`{}` is no requirement's id", **id));
                self.tell(problem.at(id.place).help("e.g. `ROOM-4`"));
            }
        }
        for (name, values) in file.options.iter().filter(|(_, values)| values.0.is_empty()) {
            let problem = Problem::new(format!("no value of `{}` is right", **name));
            self.tell(problem.at(values.place).help("leave the option out, or name a value"));
        }
        for arg in &file.server.args {
            for hole in holes_of(arg).filter(|hole| !SERVER_HOLES.contains(&hole.name.as_str())) {
                let problem = Problem::new(format!("nothing fills `${hole}` in an argument"));
                let help = "there are `$scratch` (a directory that goes with the run) and `$run`";
                self.tell(problem.at(arg.place).help(help));
            }
        }
        for ignored in &file.ignore {
            self.shape(ignored);
        }
        let traffic = &file.traffic;
        let all = [&traffic.deliveries, &traffic.frames, &traffic.events];
        for minimum in all.into_iter().flatten().filter(|minimum| minimum.value == 0) {
            self.tell(Problem::new("a minimum of zero asks for nothing").at(minimum.place));
        }
    }

    /// Steps on the wire.
    pub(super) fn below(&mut self, step: &Step, who: &str) {
        for value in step.send.iter().chain(step.sends.iter().flat_map(|all| &all.value)) {
            self.wire_value(value, who);
        }
        if let Some(sends) = step.sends.as_ref().filter(|sends| sends.is_empty()) {
            self.tell(Problem::new("nothing is sent").at(sends.place));
        }
        for content in step.send_text.iter().chain(&step.bytes) {
            self.content(content, who);
        }
        for frame in step.frame.iter().chain(step.frames.iter().flat_map(|all| &all.value)) {
            self.frame(frame, who);
        }
        if let Some(frames) = step.frames.as_ref().filter(|frames| frames.is_empty()) {
            self.tell(Problem::new("nothing is sent").at(frames.place));
        }
        if let Some(handshake) = &step.handshake {
            self.handshake(handshake, who);
        }
        if let Some(http) = &step.http {
            self.http(http, who);
        }
        match &step.answer {
            Some(answer) if step.handshake.is_some() || step.http.is_some() => {
                self.answer(answer, who);
            }
            Some(answer) => {
                let problem = Problem::new("nothing here has an `answer`").at(answer.place);
                self.tell(problem.help("`handshake` and `http` have one"));
            }
            None => {}
        }
    }

    /// Comparisons, and what is done to the server.
    pub(super) fn compares(&mut self, step: &At<Step>, who: &str, in_each: bool) {
        for values in step.same.iter().chain(&step.differ).chain(&step.ordered) {
            if values.len() < 2 {
                let problem = Problem::new("one value alone cannot be compared").at(values.place);
                self.tell(problem.help("e.g. `same: [$before, $after]`"));
            }
            values.iter().for_each(|value| self.holes(value, who, false));
        }
        for name in step.equal.iter().chain(&step.distinct) {
            let plain = name.trim_start_matches('$');
            let value = At { value: Value::from(format!("${plain}")), place: name.place };
            self.holes(&value, who, false);
            if in_each {
                let problem = Problem::new("this compares the members of a group").at(name.place);
                self.tell(problem.help("take it out of the `each`"));
            }
        }
        let on_server = step.actions().into_iter().find(|(name, _)| ON_SERVER.contains(name));
        if let Some((name, place)) = on_server.filter(|_| !self.file.own_server) {
            let problem = Problem::new(format!("`{name}` works only on the run's own server"));
            self.tell(problem.at(place).help("say `own_server: true` at the top of the file"));
        }
    }

    /// Frames that must come.
    pub(super) fn expects_frames(&mut self, expect: &Expect, who: &str) {
        expect.frames().for_each(|pattern| self.pattern(pattern, who));
        if let Some(frames) = expect.frames.as_ref().filter(|frames| frames.is_empty()) {
            let problem = Problem::new("this expects no frame").at(frames.place);
            self.tell(problem.help("e.g. `expect: { frames: [first, second] }`"));
        }
        let ways = [
            expect.frame.as_ref().map(|it| it.place),
            expect.frames.as_ref().map(|it| it.place),
            expect.next.as_ref().map(|it| it.place),
        ];
        if let [_, second, ..] = ways.into_iter().flatten().collect::<Vec<_>>().as_slice() {
            let problem = Problem::new("`frame`, `frames` or `next`: one of them in a step");
            self.tell(problem.at(*second).help("begin a new step (`- `) for each"));
        }
        if let Some(pong) = &expect.pong {
            self.content(pong, who);
        }
    }

    /// Frames that must not come.
    pub(super) fn expects_none(&mut self, none: &At<ExpectNone>, who: &str) {
        none.patterns().for_each(|pattern| self.pattern(pattern, who));
        if none.of.is_empty() && none.patterns().next().is_none() {
            let problem = Problem::new("none of what?").at(none.place);
            self.tell(problem.help("e.g. `expect_none: { of: [message] }`"));
        }
    }

    fn wire_value(&mut self, value: &At<Value>, who: &str) {
        if let Some(mistake) = pattern::wire_mistake(value) {
            return self.mistaken(value, &mistake);
        }
        let texts = At { value: pattern::wire_texts(value), place: value.place };
        self.holes(&texts, who, false);
    }

    fn pattern(&mut self, pattern: &At<Value>, who: &str) {
        self.shape(pattern);
        let known = self.names.known(who);
        let mut needed = Vec::new();
        for hole in pattern::needs(pattern) {
            let written = format!("${hole}");
            let near = nearest(&written, pattern::operations());
            match near.filter(|_| !known.contains(&hole.name) && !hole.name.contains('.')) {
                Some(near) => {
                    let problem = Problem::new(format!("no operation is called `{written}`"));
                    let place = crate::dialect::locate(self.text, pattern.place, &written);
                    self.tell(problem.at(place).help(format!("did you mean `{near}`?")));
                }
                None => needed.push(Value::from(written)),
            }
        }
        self.holes(&At { value: Value::Array(needed), place: pattern.place }, who, false);
    }

    fn shape(&mut self, pattern: &At<Value>) {
        if let Some(mistake) = pattern::mistake(pattern) {
            self.mistaken(pattern, &mistake);
        }
    }

    /// Shows a mistake at the word that it names first, if that is long enough to be found again. A
    /// second line is the remedy.
    fn mistaken(&mut self, value: &At<Value>, mistake: &str) {
        let word = mistake.split('`').nth(1).unwrap_or_default();
        let word = word.split(':').next().unwrap_or_default();
        let place = match word.len() {
            0..3 => value.place,
            _ => crate::dialect::locate(self.text, value.place, word),
        };
        self.tell(match mistake.split_once('\n') {
            Some((fact, help)) => Problem::new(fact).at(place).help(help),
            None => Problem::new(mistake).at(place),
        });
    }

    fn content(&mut self, content: &At<Content>, who: &str) {
        if content.bytes() > PAYLOAD_BYTES_MAX {
            let problem = Problem::new("more than 64 MiB").at(content.place);
            self.tell(problem.help("no message is that large"));
        }
        self.holes(&At { value: content.texts(), place: content.place }, who, false);
    }

    fn frame(&mut self, frame: &At<Frame>, who: &str) {
        for content in frame.payload.iter().chain(&frame.reason) {
            self.content(content, who);
        }
        if let Some(rsv) = frame.rsv.as_ref().filter(|rsv| rsv.value > 7) {
            let problem = Problem::new("there are three reserved bits").at(rsv.place);
            self.tell(problem.help("a number from 0 to 7"));
        }
        if let Some(code) = frame.code.as_ref().filter(|_| frame.opcode.0 != 8) {
            let problem = Problem::new("only a Close frame has a `code`").at(code.place);
            self.tell(problem.help("say `opcode: close`"));
        }
        match (&frame.reason, &frame.payload, &frame.code) {
            (Some(reason), _, None) => {
                let problem = Problem::new("a `reason` stands behind a `code`").at(reason.place);
                self.tell(problem.help("for other content of a Close frame use `payload`"));
            }
            (_, Some(payload), Some(_)) => {
                let problem = Problem::new("`payload` or `code`, not both").at(payload.place);
                self.tell(problem.help("behind a `code` stands a `reason`"));
            }
            _ => {}
        }
    }

    fn handshake(&mut self, handshake: &At<Handshake>, who: &str) {
        let path = handshake.path.iter();
        path.for_each(|path| self.holes(&text(path), who, false));
        for (_, value) in handshake.headers.iter() {
            let texts = At { value: Value::from(value.0.clone()), place: value.place };
            self.holes(&texts, who, false);
        }
        let Some(raw) = &handshake.raw else { return };
        self.content(raw, who);
        let others = handshake.method.is_some()
            || handshake.path.is_some()
            || !handshake.without.is_empty()
            || !handshake.headers.0.is_empty();
        if others {
            let problem = Problem::new("`raw` is the whole request").at(raw.place);
            self.tell(problem.help("leave out the other keys, or `raw`"));
        }
    }

    fn http(&mut self, http: &At<Http>, who: &str) {
        if let Some(named) = &http.request {
            self.named(http, named);
        }
        for (_, value) in http.with.iter() {
            self.wire_value(value, who);
        }
        match http.requests().as_slice() {
            _ if http.request.is_some() => {}
            [(_, path)] => {
                let begins = ["/", "$", "http://", "https://"];
                if !begins.iter().any(|begin| path.starts_with(begin)) {
                    let problem =
                        Problem::new(format!("the path `{}` does not begin with `/`", ***path));
                    self.tell(problem.at(path.place));
                }
                self.holes(&text(path), who, false);
            }
            [] => {
                let problem = Problem::new("which request?").at(http.place);
                self.tell(problem.help("e.g. `http: { get: /health }`"));
            }
            [_, (_, second), ..] => {
                self.tell(Problem::new("one request a step").at(second.place));
            }
        }
        if let Some((name, _)) = http.with.iter().next().filter(|_| http.request.is_none()) {
            let problem = Problem::new("`with` is for a `request` of the dialect").at(name.place);
            self.tell(problem.help("e.g. `http: { request: publish, with: { event: news } }`"));
        }
        for (_, value) in http.headers.iter() {
            let texts = At { value: Value::from(value.0.clone()), place: value.place };
            self.holes(&texts, who, false);
        }
        let mut bodies = Vec::new();
        if let Some(json) = &http.json {
            bodies.push(json.place);
            self.wire_value(json, who);
        }
        if let Some(form) = &http.form {
            bodies.push(form.place);
            form.iter().for_each(|(_, value)| self.holes(&text(value), who, false));
        }
        if let Some(body) = &http.body {
            bodies.push(body.place);
            self.content(body, who);
        }
        if let [_, second, ..] = bodies.as_slice() {
            self.tell(Problem::new("`json`, `form` or `body`: a request has one").at(*second));
        }
    }

    /// A request of the dialect has all that it needs there.
    fn named(&mut self, http: &At<Http>, named: &At<String>) {
        let path = http.requests().first().map(|(_, path)| path.place);
        let form = http.form.as_ref().map(|form| form.place);
        let json = http.json.as_ref().map(|json| json.place);
        let body = http.body.as_ref().map(|body| body.place);
        if let Some(place) = path.or(form).or(json).or(body) {
            let message = format!("`{}` is the whole request", **named);
            let help = "beside `request` there can be `with` and `headers`";
            self.tell(Problem::new(message).at(place).help(help));
        }
    }

    fn answer(&mut self, answer: &At<Answer>, who: &str) {
        answer.headers.iter().for_each(|(_, pattern)| self.pattern(pattern, who));
        answer.json.iter().chain(&answer.body).for_each(|pattern| self.pattern(pattern, who));
        if answer.status.as_ref().is_some_and(|status| status.0.is_empty()) {
            self.tell(Problem::new("no status is right").at(answer.place));
        }
    }
}

fn text(text: &At<String>) -> At<Value> {
    At { value: Value::from(text.as_str()), place: text.place }
}
