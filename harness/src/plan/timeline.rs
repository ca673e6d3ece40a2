//! Turns the steps of a scenario file into the steps of a plan.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::below;
use super::build::line_of;
use super::{Action, Ask, Expect, Pattern, Rejoin, Say, Step, Stream, StreamAction, Vars};
use crate::check::Class;
use crate::dialect::{EventKind, Verb};
use crate::scenario::expectations::{self, Save};
use crate::scenario::marked::At;
use crate::scenario::model::File;
use crate::scenario::steps::{self as written, Membership, Steps};

/// The rounds of a `repeat` that ends with its time.
const ROUNDS_UNBOUNDED: u32 = u32::MAX;

/// The steps of a plan. The scenario has been linted: what is missing here cannot be.
pub(super) fn steps(text: &str, file: &File, steps: &Steps, around: Option<usize>) -> Vec<Step> {
    let steps = steps.iter().filter_map(|step| step.0.as_ref());
    steps.filter_map(|step| one(text, file, step, around)).collect()
}

/// What breaches of steps are called, where the scenario says it: of a step, of those inside it, of all.
pub(super) fn classes(text: &str, file: &File, steps: &Steps) -> BTreeMap<usize, Class> {
    let mut classes = BTreeMap::new();
    name_breaches(text, steps, named(file.class.as_ref()), &mut classes);
    classes
}

fn name_breaches(
    text: &str,
    steps: &Steps,
    around: Option<Class>,
    classes: &mut BTreeMap<usize, Class>,
) {
    for step in steps.iter().filter_map(|step| step.0.as_ref()) {
        let class = named(step.class.as_ref()).or(around);
        let place = step.actions().first().map(|(_, place)| line_of(text, *place).offset);
        // A step inside another may stand on the same line; the inner one is what can be broken.
        step.inner().for_each(|inner| name_breaches(text, inner, class, classes));
        if let Some((place, class)) = place.zip(class) {
            classes.entry(place).or_insert(class);
        }
    }
}

fn named(class: Option<&At<String>>) -> Option<Class> {
    class.and_then(|word| Class::named(word))
}

fn one(text: &str, file: &File, step: &At<written::Step>, around: Option<usize>) -> Option<Step> {
    let own =
        step.who.as_ref().and_then(|who| file.clients.keys().position(|key| key == who.as_str()));
    let who = own.or(around);
    let (name, place) = step.actions().into_iter().next()?;
    let control = written::NOBODYS.contains(&name);
    Some(Step {
        place: line_of(text, place),
        note: step.note.clone(),
        who: who.filter(|_| !control),
        within: step.within.as_ref().map(|within| within.value.clone()),
        needs: step.needs.iter().map(|need| need.value.clone()).collect(),
        action: action(text, file, step, who)?,
    })
}

fn action(text: &str, file: &File, step: &written::Step, who: Option<usize>) -> Option<Action> {
    let connection = connection(step);
    if connection.is_some() {
        return connection;
    }
    if let Some(say) = &step.say {
        return Some(Action::Say(said(&say.0, step)));
    }
    if let Some(ask) = ask(step) {
        return Some(Action::Ask(ask));
    }
    if let Some(expect) = &step.expect {
        return Some(Action::Expect(expected(expect)));
    }
    if let Some(none) = &step.expect_none {
        return Some(Action::ExpectNone(below::none(none)));
    }
    if let Some(wait) = &step.wait {
        return Some(Action::Wait(wait.value.clone()));
    }
    if let Some(repeat) = &step.repeat {
        return Some(Action::Repeat {
            times: repeat.times.as_ref().map_or(ROUNDS_UNBOUNDED, |times| times.value),
            span: repeat.span.map(|span| span.0),
            steps: steps(text, file, &repeat.steps, who),
        });
    }
    if let Some(together) = &step.together {
        return Some(Action::Together(steps(text, file, together, who)));
    }
    if let Some(each) = &step.each {
        return Some(Action::Each(steps(text, file, each, who)));
    }
    if let Some(phase) = &step.phase {
        let inner = phase.run.iter().filter_map(|step| step.0.as_ref());
        return Some(Action::Phase {
            name: phase.name.clone(),
            span: phase.span.0,
            discard: phase.discard,
            streams: inner.filter_map(|step| stream(text, file, step, who)).collect(),
        });
    }
    if let Some(network) = &step.network {
        return network.compile(network.place).ok().map(Action::Network);
    }
    step.settle.as_ref().map(|settle| Action::Settle(settle.0)).or_else(|| below::action(step))
}

fn connection(step: &written::Step) -> Option<Action> {
    if let Some(open) = &step.open {
        let headers = open.headers.iter();
        let headers = headers.map(|(name, value)| (name.value.clone(), value.value.clone()));
        let path = open.path.as_ref().map(|path| path.value.clone());
        return Some(Action::Open { path, headers: headers.collect(), bare: open.bare });
    }
    if let Some(close) = &step.close {
        let reason = close.reason.as_ref().map(|reason| reason.value.clone()).unwrap_or_default();
        return Some(Action::Close { code: close.code.as_ref().map(|code| code.value), reason });
    }
    if step.drop.is_some() {
        return Some(Action::Drop);
    }
    if let Some(reconnect) = &step.reconnect {
        return Some(Action::Reconnect {
            after: reconnect.after.map_or(Duration::ZERO, |after| after.0),
            backoff: reconnect.backoff.map(|backoff| backoff.0),
            jitter: reconnect.jitter,
            rejoin: reconnect.rejoin.map_or(Rejoin::No, |rejoin| rejoin.0),
        });
    }
    let pongs = step.pongs.as_ref().map(|pongs| Action::Pongs(pongs.value));
    pongs.or_else(|| step.reads.as_ref().map(|reads| Action::Reads(reads.value)))
}

fn stream(
    text: &str,
    file: &File,
    step: &At<written::Step>,
    around: Option<usize>,
) -> Option<Stream> {
    let Step { place, who, needs, action, .. } = one(text, file, step, around)?;
    let action = match action {
        Action::Say(say) => StreamAction::Say(say),
        Action::Ask(ask) => StreamAction::Ask(ask),
        _ => return None,
    };
    Some(Stream { place, who: who?, rate: step.every.as_ref()?.0, needs, action })
}

fn said(say: &written::Say, step: &written::Step) -> Say {
    Say {
        text: say.text.as_ref().map(|text| text.value.clone()),
        size: say.size.as_ref().map(|size| size.0),
        room: say.room.as_ref().map(|room| room.value.clone()),
        refused: step.refused.as_ref().map(|code| code.value.clone()),
    }
}

/// A request: the verb, its arguments and what is kept of its answer.
fn ask(step: &written::Step) -> Option<Ask> {
    let mut save = BTreeMap::new();
    let mut args = Vars::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            args.insert(name.to_owned(), value);
        }
    };
    let text = |text: &Option<At<String>>| text.as_ref().map(|text| Value::from(text.as_str()));
    let verb = if let Some(name) = &step.name {
        put("username", Some(Value::from(name.as_str())));
        Verb::Name
    } else if let Some(create) = &step.create {
        put("capacity", create.capacity.map(Value::from));
        save = kept(create.save.as_ref());
        Verb::Create
    } else if let Some(join) = &step.join {
        put("room", text(&join.0.room));
        put("code", text(&join.0.code));
        put("since", join.0.since.map(|_| Value::from("last")));
        put(
            "membership",
            join.0.membership.map(|membership| match membership {
                Membership::Full => Value::from("full"),
                Membership::None => Value::from("none"),
            }),
        );
        save = kept(join.0.save.as_ref());
        Verb::Join
    } else if let Some(leave) = &step.leave {
        put("room", Some(Value::from(leave.0.room.as_str())));
        Verb::Leave
    } else if let Some(typing) = &step.typing {
        put("on", Some(Value::from(typing.on)));
        put("room", text(&typing.room));
        Verb::Typing
    } else if let Some(presence) = &step.presence {
        put("patch", Some(presence.value.clone()));
        Verb::Presence
    } else if let Some(store) = &step.store {
        put("ops", Some(operations(store)));
        put("if_version", store.if_version.clone());
        put("room", text(&store.room));
        Verb::Store
    } else if let Some(read) = &step.read {
        put("number", Some(read.0.number.clone().unwrap_or_else(|| Value::from("last"))));
        put("room", text(&read.0.room));
        Verb::Read
    } else {
        return None;
    };
    let refused = step.refused.as_ref().map(|code| code.value.clone());
    Some(Ask { verb, args, save, refused })
}

fn operations(store: &written::Store) -> Value {
    let put =
        store.put.iter().map(|(key, value)| json!({"put": {"key": key.value, "value": value}}));
    let delete = store.delete.iter().map(|key| json!({"delete": {"key": key}}));
    put.chain(delete).collect()
}

fn kept(save: Option<&At<Save>>) -> BTreeMap<String, String> {
    let pairs = save.into_iter().flat_map(|save| &save.0);
    pairs.map(|(variable, field)| (variable.value.clone(), field.value.clone())).collect()
}

fn expected(expect: &At<expectations::Expect>) -> Expect {
    let count = expect.count.as_ref().map_or(1, |count| count.value);
    let pattern = |kind, fields| Pattern { kind, fields, count, save: kept(expect.save.as_ref()) };
    let mut events = Vec::new();
    for (kind, word, fields) in expect.patterns() {
        let Some(fields) = fields else { continue };
        let mut values = Vars::new();
        if let (Some(value), Some(word)) = (&fields.word, word) {
            values.insert(word.to_owned(), Value::from(value.as_str()));
        }
        for (name, value) in fields.fields.iter() {
            // `from` reads better for a message; it is the same hole.
            let name = match name.as_str() {
                "from" => "who",
                "from?" => "who?",
                name => name,
            };
            values.insert(name.to_owned(), value.value.clone());
        }
        events.push(pattern(kind, values));
    }
    if expect.ping.is_some() {
        events.push(pattern(EventKind::Ping, Vars::new()));
    }
    let members = expect.members.as_ref();
    let members = members.map(|all| all.iter().map(|name| name.value.clone()).collect());
    Expect {
        events,
        members,
        frames: below::frames(expect, count),
        pong: expect.pong.as_ref().map(|pong| pong.0.clone()),
        closed: expect.closed.as_ref().map(below::closed),
    }
}
