//! `chat`: two people who share a code.

use harness::dialect::{EventKind, Verb};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::seed::{Bench, CLIENTS, Told, assert_read, of};

#[derive(Clone, Debug)]
enum Step {
    Name(usize, String),
    Create(usize),
    /// With the code that was drawn last.
    Join(usize),
    JoinNowhere(usize, String),
    Leave(usize),
    Say(usize, String),
    Typing(usize, bool),
    Cut(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..CLIENTS;
    prop_oneof![
        3 => (who.clone(), "[^\\p{C}\\s]{1,8}").prop_map(|(who, name)| Step::Name(who, name)),
        3 => who.clone().prop_map(Step::Create),
        4 => who.clone().prop_map(Step::Join),
        1 => (who.clone(), "[A-Z]{6}").prop_map(|(who, code)| Step::JoinNowhere(who, code)),
        2 => who.clone().prop_map(Step::Leave),
        6 => (who.clone(), "\\PC{1,12}").prop_map(|(who, text)| Step::Say(who, text)),
        4 => (who.clone(), any::<bool>()).prop_map(|(who, on)| Step::Typing(who, on)),
        1 => who.prop_map(Step::Cut),
    ]
}

/// Every frame is the event that its type says, read from where it says something. What only the
/// connection can know (who the partner is) is not read from it.
fn assert_meant(told: &Told) {
    let recalled: Vec<&str> = told.event.recalled().collect();
    let kind = told.frame["type"].as_str().expect("a type");
    match kind {
        "connected" => assert_read(told, &[("connection", "/client_id")]),
        "username_set" => assert_read(told, &[("username", "/username")]),
        "room_created" => {
            assert!(told.is(EventKind::Created) && told.is(EventKind::Entered));
            assert_eq!(recalled, ["members"]);
            assert_eq!(told.field("count"), json!(1));
            assert_eq!(
                (told.field("code"), told.field("room")),
                (told.frame["room_code"].clone(), told.frame["room_code"].clone())
            );
        }
        "room_joined" => {
            assert_eq!(told.event.kind, EventKind::Entered);
            assert_eq!(told.field("room"), told.frame["room_code"]);
            let alone = told.frame["partner"].is_null();
            assert_eq!(told.field("count"), json!(if alone { 1 } else { 2 }));
            assert_eq!(told.field("partner"), told.frame["partner"]);
            assert_eq!(told.event.means.remember.is_empty(), alone);
        }
        "partner_joined" => {
            assert_eq!(told.event.kind, EventKind::Joined);
            assert_read(told, &[("partner", "/username"), ("who", "/username")]);
        }
        "chat" => {
            assert_eq!(told.event.kind, EventKind::Message);
            assert_read(told, &[("who", "/from"), ("text", "/content")]);
        }
        "partner_typing" | "partner_stop_typing" => {
            assert_eq!(told.event.kind, EventKind::Typing);
            assert_eq!(recalled, ["who"]);
            assert_eq!(told.field("on"), json!(kind == "partner_typing"));
        }
        "partner_left" => assert_eq!((told.event.kind, recalled), (EventKind::Left, vec!["who"])),
        "error" => assert_read(told, &[("code", "/code"), ("reason", "/message")]),
        other => panic!("{other} is not in the table"),
    }
}

#[derive(Default)]
struct Model {
    names: [Option<String>; CLIENTS],
    rooms: [Option<Value>; CLIENTS],
    typing: [bool; CLIENTS],
    code: Option<Value>,
}

impl Model {
    fn partner(&self, who: usize) -> Option<usize> {
        let room = self.rooms[who].as_ref()?;
        (0..CLIENTS).find(|it| *it != who && self.rooms[*it].as_ref() == Some(room))
    }
}

fn run(bench: &mut Bench, model: &mut Model, step: &Step) {
    let told = match step {
        Step::Name(who, name) => {
            let (_, told) = bench.ask(*who, Verb::Name, &json!({ "username": name }));
            let answer = answer(&told, *who, bench.file.acknowledged_by(Verb::Name));
            assert_eq!(answer.map(|it| it.field("username")), Some(json!(name)));
            model.names[*who] = Some(name.clone());
            told
        }
        Step::Create(who) => {
            let (_, told) = bench.ask(*who, Verb::Create, &json!({}));
            if let Some(made) = answer(&told, *who, Some(EventKind::Created)) {
                model.code = Some(made.field("code"));
                model.rooms[*who] = model.code.clone();
            }
            told
        }
        Step::Join(who) => join(bench, model, *who),
        Step::JoinNowhere(who, code) => {
            let (_, told) = bench.ask(*who, Verb::Join, &json!({ "code": code }));
            assert!(answer(&told, *who, Some(EventKind::Error)).is_some(), "there is no such room");
            told
        }
        Step::Leave(who) => {
            let (_, told) = bench.ask(*who, Verb::Leave, &json!({}));
            gone(model, *who, &told);
            told
        }
        Step::Say(who, text) => {
            let (_, told) = bench.ask(*who, Verb::Say, &json!({ "text": text }));
            let heard = of(&told, EventKind::Message);
            let partner = Vec::from_iter(model.partner(*who));
            assert_eq!(heard.iter().map(|it| it.client).collect::<Vec<_>>(), partner);
            for heard in heard {
                assert_eq!(heard.field("text"), json!(text));
                assert_eq!(heard.field("who"), json!(model.names[*who]));
            }
            model.typing[*who] = false;
            told
        }
        Step::Typing(who, on) => {
            let (_, told) = bench.ask(*who, Verb::Typing, &json!({ "on": on }));
            // Where nobody can be told, nothing is noted.
            let news = model.typing[*who] != *on;
            let told_of: Vec<usize> =
                of(&told, EventKind::Typing).iter().map(|it| it.client).collect();
            let partner = model.partner(*who).filter(|_| news);
            assert_eq!(told_of, Vec::from_iter(partner));
            model.typing[*who] = model.partner(*who).is_some() && *on;
            told
        }
        Step::Cut(who) => {
            let told = bench.cut(*who);
            gone(model, *who, &told);
            model.names[*who] = None;
            let greeted = bench.open(*who, None);
            assert!(answer(&greeted, *who, bench.file.connect.ready).is_some());
            greeted.iter().for_each(assert_meant);
            told
        }
    };
    told.iter().for_each(assert_meant);
}

fn join(bench: &mut Bench, model: &mut Model, who: usize) -> Vec<Told> {
    let Some(code) = model.code.clone() else { return Vec::new() };
    let (_, told) = bench.ask(who, Verb::Join, &json!({ "code": code }));
    if let Some(entry) = answer(&told, who, Some(EventKind::Entered)) {
        assert_eq!(entry.field("room"), code);
        model.rooms[who] = Some(code);
        let partner = model.partner(who);
        let name = partner.and_then(|it| model.names[it].clone());
        assert_eq!(entry.field("partner"), json!(name), "who is there already");
        let joined = of(&told, EventKind::Joined);
        let hearers: Vec<usize> = joined.iter().map(|it| it.client).collect();
        assert_eq!(hearers, Vec::from_iter(partner));
        assert!(joined.iter().all(|it| it.field("who") == json!(model.names[who])));
    }
    told
}

fn gone(model: &mut Model, who: usize, told: &[Told]) {
    let left: Vec<usize> = of(told, EventKind::Left).iter().map(|told| told.client).collect();
    assert_eq!(left, Vec::from_iter(model.partner(who)));
    // Whoever comes next has not been told that the one who stays types.
    if let Some(partner) = model.partner(who) {
        model.typing[partner] = false;
    }
    model.rooms[who] = None;
    model.typing[who] = false;
}

fn answer(told: &[Told], who: usize, kind: Option<EventKind>) -> Option<Told> {
    told.iter().find(|told| told.client == who && kind.is_some_and(|kind| told.is(kind))).cloned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn the_dialect_file_and_the_server_mean_the_same(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut bench = Bench::new(protocol::Dialect::Chat);
        for client in 0..CLIENTS {
            let greeted = bench.open(client, None);
            prop_assert!(answer(&greeted, client, bench.file.connect.ready).is_some());
        }
        let mut model = Model::default();
        for step in &steps {
            run(&mut bench, &mut model, step);
        }
        bench.tick();
    }
}
