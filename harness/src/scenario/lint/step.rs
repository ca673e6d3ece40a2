//! What is wrong with a step.

use serde_json::Value;

use super::Linter;
use crate::dialect::RECEIVED;
use crate::plan::Place;
use crate::scenario::expectations::{Expect, Fields};
use crate::scenario::marked::At;
use crate::scenario::problem::Problem;
use crate::scenario::steps::{Join, NOBODYS, ON_SERVER, Phase, Say, Step, Steps};

/// A stamp with the largest numbers has so many bytes; a stamped text cannot be smaller.
pub(crate) const STAMP_BYTES: usize = 64;

/// More rounds than this are a slip of the pen.
const ROUNDS_MAX: u32 = 10_000_000;

/// Actions that a stream can repeat.
const STREAMED: &[&str] =
    &["say", "typing", "presence", "store", "read", "name", "join", "leave", "create"];

/// What a step stands in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Around<'a> {
    who: Option<&'a str>,
    in_each: bool,
    in_phase: bool,
}

impl Linter<'_> {
    pub(super) fn steps(&mut self, steps: &Steps, around: Around<'_>) {
        for step in steps.iter().filter_map(|step| step.0.as_ref()) {
            self.step(step, around);
        }
    }

    fn step(&mut self, step: &At<Step>, around: Around<'_>) {
        let actions = step.actions();
        let [(action, place)] = actions.as_slice() else {
            self.not_one_action(step.place, &actions);
            return;
        };
        let who = step.who.as_ref().map(|who| who.as_str()).or(around.who);
        self.needs(&step.needs);
        self.class(step.class.as_ref());
        self.actor(step, action, *place, who);
        self.modifiers(step, action, *place, around);
        self.action(step, who.unwrap_or(""), around);
        self.below(step, who.unwrap_or(""));
        self.compares(step, who.unwrap_or(""), around.in_each);
        let inside = Around {
            who,
            in_each: around.in_each || step.each.is_some(),
            in_phase: step.phase.is_some(),
        };
        let outside = self.in_repeat;
        self.in_repeat |= step.repeat.is_some();
        for steps in step.inner() {
            self.steps(steps, inside);
        }
        self.in_repeat = outside;
    }

    fn not_one_action(&mut self, place: Place, actions: &[(&'static str, Place)]) {
        let problem = match actions {
            [] => Problem::new("this step does nothing")
                .at(place)
                .help("give it one action, such as `open: {}` or `say: hello`"),
            [_, (_, second), ..] => {
                let names: Vec<String> =
                    actions.iter().map(|(name, _)| format!("`{name}`")).collect();
                let message = format!("two actions in one step: {}", names.join(" and "));
                Problem::new(message).at(*second).help("begin a new step (`- `) for each action")
            }
            _ => return,
        };
        self.tell(problem);
    }

    fn actor(&mut self, step: &Step, action: &str, place: Place, who: Option<&str>) {
        match (&step.who, who) {
            (Some(named), _) => self.client(named),
            (None, None) if !NOBODYS.contains(&action) => {
                let problem = Problem::new(format!("who does this? `{action}` needs an `as`"));
                self.tell(problem.at(place).help("e.g. `as: alice`"));
            }
            _ => {}
        }
    }

    fn client(&mut self, named: &At<String>) {
        if self.file.clients.get(named).is_none() {
            let problem =
                Problem::new(format!("no client is called `{}`", **named)).at(named.place);
            let problem = problem.did_you_mean(named, self.file.clients.keys());
            self.tell(problem);
        }
    }

    fn modifiers(&mut self, step: &Step, action: &str, place: Place, around: Around<'_>) {
        match &step.every {
            Some(every) if !around.in_phase => {
                let problem = Problem::new("`every` works only inside a phase").at(every.place);
                self.tell(problem.help("put the step into a `phase`'s `run`"));
            }
            Some(every) if every.0 <= 0.0 => {
                self.tell(Problem::new("at this rate nothing ever happens").at(every.place));
            }
            None if around.in_phase => {
                let problem =
                    Problem::new("how often? a step of a phase needs an `every`").at(place);
                self.tell(problem.help("e.g. `every: 100/s`"));
            }
            _ => {}
        }
        if around.in_phase && !STREAMED.contains(&action) {
            let problem =
                Problem::new(format!("`{action}` cannot be repeated at a rate")).at(place);
            self.tell(problem.help("a phase repeats what is sent to the server"));
        }
        let whole = ["phase", "settle", "network"].contains(&action) || ON_SERVER.contains(&action);
        if around.in_each && whole {
            let problem = Problem::new(format!("`{action}` is for the whole run")).at(place);
            self.tell(problem.help("take it out of the `each`"));
        }
        if let Some(refused) = step.refused.as_ref().filter(|_| !STREAMED.contains(&action)) {
            let problem = Problem::new(format!("a server cannot refuse `{action}`"));
            self.tell(problem.at(refused.place));
        }
    }

    fn action(&mut self, step: &Step, who: &str, around: Around<'_>) {
        let mut texts: Vec<At<Value>> = Vec::new();
        let mut text = |text: &Option<At<String>>| texts.extend(text.as_ref().map(as_value));
        if let Some(open) = &step.open {
            text(&open.path);
            open.headers.iter().for_each(|(_, value)| text(&Some(value.clone())));
        }
        if let Some(close) = &step.close {
            text(&close.reason);
        }
        text(&step.name);
        if let Some(join) = &step.join {
            text(&join.0.room);
            text(&join.0.code);
        }
        if let Some(leave) = &step.leave {
            text(&Some(leave.0.room.clone()));
        }
        if let Some(say) = &step.say {
            text(&say.0.text);
            text(&say.0.room);
        }
        if let Some(typing) = &step.typing {
            text(&typing.room);
        }
        if let Some(store) = &step.store {
            text(&store.room);
            let pairs = store.put.iter().map(|(key, value)| (key.value.clone(), value.clone()));
            let put = Value::Object(pairs.collect());
            let delete = Value::from(store.delete.clone());
            let ops = Value::Array(vec![put, delete]);
            texts.push(At { value: ops, place: store.place });
        }
        texts.extend(step.presence.clone());
        for value in texts {
            self.holes(&value, who, around.in_phase);
        }
        self.shapes(step, who);
    }

    fn shapes(&mut self, step: &Step, who: &str) {
        if let Some(join) = &step.join {
            self.join(join.place, &join.0);
        }
        if let Some(say) = &step.say {
            self.say(&say.0);
        }
        if let Some(save) = step.create.as_ref().and_then(|create| create.save.as_ref()) {
            self.save(save);
        }
        if let Some(patch) = step.presence.as_ref().filter(|patch| !patch.is_object()) {
            let problem = Problem::new("a presence is a mapping").at(patch.place);
            self.tell(problem.help("e.g. `presence: { status: away }`"));
        }
        if let Some(store) = &step.store
            && store.put.0.is_empty()
            && store.delete.is_empty()
        {
            let problem = Problem::new("this stores nothing").at(store.place);
            self.tell(problem.help("e.g. `store: { put: { key: value } }`"));
        }
        if let Some(expect) = &step.expect {
            self.expect(expect, who);
        }
        if let Some(none) = &step.expect_none {
            self.expects_none(none, who);
        }
        if let Some(repeat) = &step.repeat {
            match &repeat.times {
                None if repeat.span.is_none() => {
                    let problem = Problem::new("how often? `repeat` needs `times` or `for`");
                    self.tell(problem.at(repeat.place));
                }
                Some(times) if times.value == 0 || times.value > ROUNDS_MAX => {
                    let message = format!("`times` is between 1 and {ROUNDS_MAX}");
                    self.tell(Problem::new(message).at(times.place));
                }
                _ => {}
            }
        }
        if let Some(phase) = &step.phase {
            self.phase(phase);
        }
        if let Some(network) = &step.network {
            self.network(network);
        }
    }

    fn join(&mut self, place: Place, join: &Join) {
        match (&join.room, &join.code) {
            (None, None) => {
                let problem = Problem::new("which room? `join` needs `room` or `code`").at(place);
                self.tell(problem);
            }
            (Some(_), Some(code)) => {
                let problem = Problem::new("`room` or `code`, not both").at(code.place);
                self.tell(problem);
            }
            _ => {}
        }
        if let (Some(code), Some(_)) = (&join.code, join.since) {
            let problem = Problem::new("`since` works with `room`, not with `code`").at(code.place);
            self.tell(problem);
        }
        if let Some(save) = &join.save {
            self.save(save);
        }
    }

    fn say(&mut self, say: &Say) {
        let Some(size) = &say.size else { return };
        if say.text.is_some() {
            let problem = Problem::new("a fixed `text` has its own size").at(size.place);
            self.tell(problem.help("without `text`, a stamped text of this size is said"));
        } else if size.0 < STAMP_BYTES {
            let problem = Problem::new(format!("a stamp alone needs {STAMP_BYTES} bytes"));
            self.tell(problem.at(size.place));
        }
    }

    fn phase(&mut self, phase: &At<Phase>) {
        if phase.run.is_empty() || phase.span.0.is_zero() {
            let problem = Problem::new("nothing happens in this phase").at(phase.place);
            self.tell(problem.help("it needs a time (`for`) and steps (`run`)"));
        }
    }

    fn expect(&mut self, expect: &At<Expect>, who: &str) {
        let patterns = expect
            .patterns()
            .into_iter()
            .filter_map(|(_, word, fields)| Some((word.unwrap_or(""), fields?)));
        let mut any = false;
        for (word, fields) in patterns.collect::<Vec<_>>() {
            any = true;
            self.fields(fields, word, who);
        }
        for member in expect.members.iter().flatten() {
            self.somebody(member, who);
        }
        self.expects_frames(expect, who);
        let others = expect.frames().next().is_some()
            || expect.frames.is_some()
            || expect.pong.is_some()
            || expect.members.is_some()
            || expect.ping.is_some()
            || expect.closed.is_some();
        if !any && !others {
            let problem = Problem::new("this expects nothing").at(expect.place);
            self.tell(problem.help("e.g. `expect: { joined: bob }`"));
        }
        if let Some(count) = expect.count.as_ref().filter(|count| count.value == 0) {
            let problem = Problem::new("nothing is waited for").at(count.place);
            self.tell(problem.help("use `expect_none: { of: [...] }`"));
        }
        if let Some(save) = &expect.save {
            self.save(save);
        }
    }

    fn fields(&mut self, fields: &Fields, word: &str, who: &str) {
        match &fields.word {
            Some(value) if word == "who" => self.somebody(value, who),
            Some(value) => self.holes(&as_value(value), who, false),
            None => {}
        }
        for (name, value) in fields.fields.iter() {
            let known = || RECEIVED.iter().map(|(name, _)| *name).chain(["from"]);
            let plain = name.strip_suffix('?').unwrap_or(name);
            if !known().any(|known| known == plain) {
                let problem = Problem::new(format!("no event has a field `{plain}`"));
                self.tell(problem.at(name.place).did_you_mean(plain, known()));
            }
            match value.as_str() {
                Some(named) if ["who", "from"].contains(&plain) => {
                    self.somebody(&At { value: named.to_owned(), place: value.place }, who);
                }
                _ => self.holes(value, who, false),
            }
        }
    }

    /// The name of a group, or a text with holes that will be somebody's name.
    fn somebody(&mut self, named: &At<String>, who: &str) {
        if named.contains('$') {
            self.holes(&as_value(named), who, false);
        } else {
            self.client(named);
        }
    }
}

fn as_value(text: &At<String>) -> At<Value> {
    At { value: Value::from(text.as_str()), place: text.place }
}
