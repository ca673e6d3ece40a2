//! What a frame means to the client that got it, where the frame alone does not say it all: it is
//! one of several that are one event, it is about the client itself, or the client must remember
//! what was said before.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Client;
use super::hear::text;
use crate::books::Books;
use crate::dialect::{Event, EventKind, Part, Verb};
use crate::heard::Heard;
use crate::observe::{Time, What};
use crate::plan::Vars;

/// Unfinished events that are remembered, at most; the oldest go first.
const GATHERED_MAX: usize = 64;

/// Frames that have come of an event that is made of several.
#[derive(Clone, Debug)]
pub(super) struct Gathered {
    rule: usize,
    next: usize,
    fields: Vars,
}

impl Client {
    /// The frame with all that it means to this client; none when more must come first.
    pub(super) fn whole(
        &mut self,
        now: Time,
        heard: &Heard,
        event: &Event,
        books: &mut Books,
    ) -> Option<Arc<Heard>> {
        let mut event = event.clone();
        if let Some(part) = event.means.part {
            event.fields = self.gather(part, event.fields)?;
        }
        let mut known = self.captured.clone();
        known.insert("me".to_owned(), json!(&*self.name));
        known.extend(self.user());
        let recalled = self.dialect.recalled(&event, &known);
        event.fields.extend(recalled);
        if let Some(own) = event.means.own.filter(|own| self.is_own(*own, &event.fields, books)) {
            event.kind = own;
            let member = event.fields.get("member").cloned();
            if let (EventKind::Entered, Some(member)) = (own, member) {
                event.fields.entry("you".to_owned()).or_insert(member);
            }
        } else if self.enters_again(&event, books) {
            let code = "told of its own entry again".into();
            books.observe(now, self.id, What::Complaint { code });
        }
        Some(Heard::whole(event, &heard.text))
    }

    /// Keeps what the connection's later templates may name.
    pub(super) fn remember(&mut self, event: &Event, books: &mut Books) {
        for name in &event.means.remember {
            if let Some(value) = event.fields.get(name) {
                books.keep_secret(name, value);
                self.captured.insert(name.clone(), value.clone());
            }
        }
    }

    /// Puts a frame to those that came before it; gives all their values once it was the last.
    fn gather(&mut self, part: Part, fields: Vars) -> Option<Vars> {
        let Part { rule, nth, of } = part;
        if nth == 0 {
            if self.gathered.len() >= GATHERED_MAX {
                self.gathered.remove(0);
            }
            self.gathered.push(Gathered { rule, next: 1, fields });
            return None;
        }
        // Of several that are under way this one belongs to the first that it does not contradict.
        let agrees = |begun: &Gathered| {
            fields.iter().all(|(name, value)| begun.fields.get(name).is_none_or(|it| it == value))
        };
        let begun = |it: &Gathered| it.rule == rule && it.next == nth && agrees(it);
        let at = self.gathered.iter().position(begun)?;
        let begun = self.gathered.get_mut(at)?;
        begun.fields.extend(fields);
        begun.next += 1;
        (begun.next == of).then(|| self.gathered.remove(at).fields)
    }

    /// Whether this would be its own entry, if it were not inside already.
    fn enters_again(&self, event: &Event, books: &mut Books) -> bool {
        let room = self.room_in(&event.fields, books);
        let you =
            self.rooms.iter().find(|stay| Some(stay.room) == room).and_then(|it| it.you.clone());
        let own = event.means.own == Some(EventKind::Entered);
        own && you.is_some() && you == text(&event.fields, "member")
    }

    /// Whether something is about this client itself. Who waits to enter may not know yet what it
    /// is called there: nothing of the room can come to it before its own entry.
    fn is_own(&self, own: EventKind, fields: &Vars, books: &mut Books) -> bool {
        let room = self.room_in(fields, books);
        let named = fields.get("room").and_then(Value::as_str).map(|name| books.room(name));
        if own == EventKind::Entered {
            let inside = self.rooms.iter().any(|stay| named.is_none() || Some(stay.room) == named);
            let waits = self.pending.iter().any(|pending| {
                matches!(pending.verb, Verb::Join | Verb::Create)
                    && (pending.room.is_none() || named.is_none() || pending.room == named)
            });
            let by_path = self.entering.is_some();
            return (waits || by_path) && !inside;
        }
        let stay = self.rooms.iter().find(|stay| Some(stay.room) == room);
        let you = stay.and_then(|stay| stay.you.clone());
        let me = |name: &str, mine: Option<&str>| {
            text(fields, name).is_some_and(|it| Some(&*it) == mine)
        };
        me("member", you.as_deref()) || me("who", Some(&*self.name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::check::{Judge, Profile};
    use crate::dialect::Dialect;
    use crate::heard::Ears;
    use crate::observe::ClientId;
    use crate::plan::{Options, Plan, Source};
    use crate::scenario::Scenario;

    const DIALECT: &str = "\
dialect: d
connect: { path: /ws }
send: { join: { frame: { enter: $room }, ack: entered }, leave: { frame: leave, ack: exited } }
receive:
  - event: message
    frames: [{ begin: $room }, { room: $room, text: $text }]
  - event: typing
    when: { types: $room }
    with: { who: $partner, room: $room }
  - event: joined
    when: { in: $room, id: $member }
    own: entered
  - event: left
    when: { out: $room, id: $member }
    own: exited
  - event: presence
    when: { partner: $partner, is: $state }
    remember: [partner]
";

    /// A client that keeps every event, and what it keeps of these frames.
    struct Bench {
        client: Client,
        books: Books,
        ears: Ears,
    }

    impl Bench {
        fn new() -> Self {
            Self::of(DIALECT)
        }

        fn of(dialect: &str) -> Self {
            let dialect = Dialect::parse("d", dialect).unwrap_or_else(|it| panic!("{it}"));
            let text = "scenario: s\nclients: { a: {} }\nsteps: [{ as: a, open: {} }]\n";
            let source = Source { name: "s".to_owned(), text: text.into() };
            let scenario = Scenario::parse(source).unwrap_or_else(|it| panic!("{it}"));
            let built = Plan::build_with(&scenario, dialect, &Options::default());
            let Ok(crate::plan::Built::Ready(plan, _)) = built else { panic!("a plan") };
            let profile = Profile::new(&plan.checks, None, false);
            let judge = Judge::new(&plan.checks, profile, 1);
            let books = Books::new(1, judge, [Arc::from("a")].into_iter());
            let (dialect, wanted) = (Arc::clone(&plan.dialect), Arc::from(EventKind::ALL));
            let mut client =
                Client::new(ClientId(0), "a".into(), Arc::clone(&dialect), Arc::default(), wanted);
            let mut bench = Self {
                books,
                ears: Ears::new(dialect),
                client: {
                    client.connecting(Time(0), false);
                    client
                },
            };
            bench.client.upgraded(Time(1), &mut bench.books);
            bench
        }

        fn ask(&mut self, verb: Verb, room: &str) {
            let args = Vars::from([("room".to_owned(), json!(room))]);
            let asked = self.client.ask(Time(2), verb, &args, false, &mut self.books);
            assert!(asked.is_ok(), "{asked:?}");
        }

        /// The kinds and fields of the events that these frames are.
        fn hear(&mut self, frames: &[Value]) -> Vec<(EventKind, Value)> {
            for frame in frames {
                let heard = self.ears.hear(&frame.to_string());
                self.client.hear(Time(3), &heard, &mut self.books);
            }
            let event = |event: crate::client::Event| {
                let fields = event.heard.as_ref().and_then(|heard| heard.fields().cloned());
                (event.kind, Value::Object(fields.unwrap_or_default().into_iter().collect()))
            };
            self.client.inbox.drain(..).map(event).collect()
        }
    }

    #[test]
    fn frames_of_two_events_that_are_under_way_are_told_apart() {
        let mut bench = Bench::new();
        let begun = [json!({"begin": "r"}), json!({"begin": "s"})];
        assert_eq!(bench.hear(&begun), []);
        let heard =
            bench.hear(&[json!({"room": "s", "text": "x"}), json!({"room": "t", "text": "y"})]);
        // It is nobody's message here, but it is whole.
        assert_eq!(heard, [(EventKind::Message, json!({"room": "s", "text": "x"}))]);
        let heard =
            bench.hear(&[json!({"room": "r", "text": "z"}), json!({"room": "r", "text": "z"})]);
        assert_eq!(heard.len(), 1, "each beginning is used once");
    }

    #[test]
    fn what_strangers_say_is_not_counted() {
        let mut bench = Bench::new();
        bench.ask(Verb::Join, "r");
        for text in ["a", "b", "c"] {
            let heard = bench.hear(&[json!({"begin": "r"}), json!({"room": "r", "text": text})]);
            assert_eq!(heard.len(), 1);
        }
        assert!(bench.client.fixed_heard.is_empty());
    }

    #[test]
    fn what_was_remembered_is_said_again() {
        let mut bench = Bench::new();
        let typing = json!({"types": "r"});
        assert_eq!(
            bench.hear(std::slice::from_ref(&typing)),
            [(EventKind::Typing, json!({"room": "r"}))]
        );
        bench.hear(&[json!({"partner": "bo", "is": {}})]);
        let said = json!({"room": "r", "who": "bo", "partner": "bo"});
        let heard = bench.hear(&[typing]);
        assert_eq!(heard[0].1["who"], said["who"]);
    }

    /// Where nothing answers a leave, what is asked behind it is answered once it is done.
    #[test]
    fn an_answer_to_something_else_shows_that_a_client_is_out() {
        let leave = "frames: [{ leave: $room }, { ping: 1 }], ack: pong";
        let text = DIALECT.replace("frame: leave, ack: exited", leave);
        let text = text + "  - { event: pong, when: { pong: 1 } }\n";
        let mut bench = Bench::of(&text);
        for room in ["r", "s"] {
            bench.ask(Verb::Join, room);
            bench.hear(&[json!({"in": room, "id": "m1"})]);
        }
        bench.ask(Verb::Leave, "r");
        let inside = |bench: &Bench| -> Vec<String> {
            bench.client.rooms().iter().map(|stay| stay.name.to_string()).collect()
        };
        assert_eq!(inside(&bench), ["r", "s"]);
        bench.hear(&[json!({"pong": 1})]);
        assert_eq!(inside(&bench), ["s"]);
    }

    #[test]
    fn who_waits_to_enter_takes_the_first_entry_for_its_own() {
        let mut bench = Bench::new();
        let kinds = |heard: Vec<(EventKind, Value)>| -> Vec<EventKind> {
            heard.into_iter().map(|(kind, _)| kind).collect()
        };
        let (came, other) = (json!({"in": "r", "id": "m1"}), json!({"in": "r", "id": "m2"}));
        assert_eq!(
            kinds(bench.hear(std::slice::from_ref(&came))),
            [EventKind::Joined],
            "it asked for nothing"
        );
        bench.ask(Verb::Join, "r");
        let heard = bench.hear(&[json!({"in": "s", "id": "m9"}), came, other]);
        assert_eq!(heard[1].1["you"], json!("m1"));
        assert_eq!(kinds(heard), [EventKind::Joined, EventKind::Entered, EventKind::Joined]);
        bench.ask(Verb::Leave, "r");
        let heard = bench.hear(&[json!({"out": "r", "id": "m2"}), json!({"out": "r", "id": "m1"})]);
        assert_eq!(kinds(heard), [EventKind::Left, EventKind::Exited]);
    }
}
