//! What becomes of frames, in a time of the test's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use harness::dialect::Dialect;
use harness::observe::Time;
use harness::plan::Vars;
use harness::proxy::{ConnId, Cutter, Decider, Ending, Frame, Gap, Piece, Way, Who, parse};
use proptest::prelude::*;

const ONE: ConnId = ConnId(1);
const OTHER: ConnId = ConnId(2);
const MS: u64 = 1000;

/// Two connections under rules, and all that has come out.
struct World {
    decider: Decider,
    now: Time,
    out: Vec<(u64, ConnId, Way, Vec<u8>)>,
}

impl World {
    fn new(dialect: Option<&str>, rules: &[&str]) -> Self {
        let dialect = dialect.map(|name| Arc::new(Dialect::shipped(name).expect("shipped")));
        let mut decider = Decider::new(7, dialect, Vars::new());
        decider.log_deeds();
        for (id, name) in [(ONE, "bob"), (OTHER, "carol")] {
            let who = Who { name: Some(name.to_owned()), member: None };
            decider.arrive(id, who, "/ws");
            decider.open(Time(0), id);
        }
        let rules: Vec<_> = rules.iter().map(|rule| parse(rule).expect("a rule")).collect();
        decider.set(Time(0), &rules).expect("usable");
        let mut world = Self { decider, now: Time(0), out: Vec::new() };
        world.leave();
        world
    }

    /// Lets time go by, from one thing that time brings about to the next.
    fn until(&mut self, end: u64) {
        loop {
            let next = [ONE, OTHER].into_iter().filter_map(|id| self.decider.wakes(self.now, id));
            self.now = next.min().unwrap_or(Time(end)).min(Time(end));
            for id in [ONE, OTHER] {
                self.decider.expire(self.now, id);
            }
            self.leave();
            if self.now == Time(end) {
                return;
            }
        }
    }

    fn leave(&mut self) {
        for id in [ONE, OTHER] {
            for way in Way::BOTH {
                let mut bytes = Vec::new();
                self.decider.take(self.now, id, way, usize::MAX, &mut bytes);
                if !bytes.is_empty() {
                    self.out.push((self.now.0, id, way, bytes));
                }
            }
        }
    }

    fn frame(&mut self, id: ConnId, way: Way, opcode: u8, payload: &str) {
        let mask = (way == Way::ToServer).then_some([1, 2, 3, 4]);
        let frame = Frame::made(opcode, payload.as_bytes().to_vec(), mask);
        if self.decider.wants(id, way) & 1 << opcode != 0 {
            self.decider.frame(self.now, id, way, frame);
        } else if self.decider.is_direct(self.now, id, way) {
            self.out.push((self.now.0, id, way, frame.raw));
        } else {
            self.decider.pass(self.now, id, way, &frame.raw);
        }
        self.leave();
    }

    fn text(&mut self, payload: &str) {
        self.frame(ONE, Way::ToClient, 1, payload);
    }

    /// What has come out: texts, with the connection where it is the other.
    fn told(&self) -> String {
        let (mut told, mut cutters) = (Vec::new(), BTreeMap::new());
        for (_, id, way, bytes) in &self.out {
            let cutter = cutters.entry((*id, *way)).or_insert_with(Cutter::of_frames);
            let mut show = |piece: Piece<'_>| {
                let Piece::Whole(frame) = piece else { panic!("{piece:?}") };
                let text = String::from_utf8_lossy(&frame.payload).into_owned();
                let text =
                    if frame.opcode == 1 { text } else { format!("{}:{text}", frame.opcode) };
                let to = if *way == Way::ToServer { ">" } else { "" };
                told.push(if *id == OTHER {
                    format!("@{text}{to}")
                } else {
                    format!("{text}{to}")
                });
            };
            cutter.feed(bytes, u16::MAX, &mut show);
        }
        told.join(" ")
    }
}

/// Ten messages to one client, a millisecond apart; then three seconds.
fn check(rule: &str, expected: &str) {
    let mut world = World::new(None, &[rule]);
    for number in 0..10 {
        world.until(number * MS);
        world.text(&number.to_string());
    }
    world.until(3000 * MS);
    assert_eq!(world.told(), expected, "{rule}");
}

#[test]
fn each_fault_does_what_it_says() {
    for (rule, expected) in [
        ("drop after=2 times=1", "0 1 3 4 5 6 7 8 9"),
        ("drop", ""),
        ("drop to=server", "0 1 2 3 4 5 6 7 8 9"),
        ("drop at=2", "0 1 2 3 4 5 6 7 8 9"),
        ("drop at=1,2 after=8", "0 1 2 3 4 5 6 7"),
        ("drop at=bo*  after=8", "0 1 2 3 4 5 6 7"),
        ("drop opcode=ping", "0 1 2 3 4 5 6 7 8 9"),
        ("drop frame={$above: 6}", "0 1 2 3 4 5 6"),
        ("duplicate after=8", "0 1 2 3 4 5 6 7 8 8 9 9"),
        ("duplicate=2 after=2 times=1", "0 1 2 3 4 2 5 6 7 8 9"),
        ("duplicate=3ms after=2 times=1", "0 1 2 3 4 2 5 6 7 8 9"),
        ("swap after=2 times=1", "0 1 3 2 4 5 6 7 8 9"),
        ("swap", "1 0 3 2 5 4 7 6 9 8"),
        ("hold=3 after=2 times=1", "0 1 3 4 5 2 6 7 8 9"),
        ("hold=3ms after=2 times=1", "0 1 3 4 2 5 6 7 8 9"),
        // Nobody overtakes the last one: it goes on by itself.
        ("hold=3 after=9", "0 1 2 3 4 5 6 7 8 9"),
        ("swap after=9", "0 1 2 3 4 5 6 7 8 9"),
        ("delay=5ms after=2 times=1", "0 1 2 3 4 5 6 7 8 9"),
        ("truncate=0B after=8", "0 1 2 3 4 5 6 7  "),
        ("inject=new after=8 times=1", "0 1 2 3 4 5 6 7 8 new 9"),
        ("misroute after=8", "0 1 2 3 4 5 6 7 8 @8 9 @9"),
        ("misroute=instead after=8", "0 1 2 3 4 5 6 7 @8 @9"),
        ("stall=4ms after=2 times=1", "0 1 2 3 4 5 6 7 8 9"),
        ("cut after=2", "0 1"),
        ("cut=1011 after=2", "0 1 8:\u{3}\u{fffd}"),
        ("half_open after=2", "0 1"),
        ("throttle=1KiB/s", "0 1 2 3 4 5 6 7 8 9"),
    ] {
        check(rule, expected);
    }
}

#[test]
fn what_comes_later_comes_when_it_should() {
    let times = |rule: &str| {
        let mut world = World::new(None, &[rule]);
        for number in 0..4 {
            world.until(number * MS);
            world.text(&number.to_string());
        }
        world.until(3000 * MS);
        world.out.iter().map(|(at, ..)| at / MS).collect::<Vec<_>>()
    };
    assert_eq!(times("delay=5ms after=1 times=1"), [0, 6]);
    assert_eq!(times("delay=5ms"), [5, 6, 7, 8]);
    assert_eq!(times("stall=10ms after=1 times=1"), [0, 11]);
    assert_eq!(times("hold=3 after=3"), [0, 1, 2, 2003]);
    // 12 bytes at 600 a second, in portions of 20 ms.
    let paced = times("throttle=600B/s to=client");
    assert!(paced.last() <= Some(&60) && paced.last() >= Some(&19), "{paced:?}");
}

#[test]
fn a_connection_is_cut_at_once_where_no_frame_is_named() {
    for (rule, ending) in [
        ("cut at=bob", Some(Ending::Now)),
        ("cut=fin at=bob", Some(Ending::Finish)),
        ("cut=1000 at=bob", Some(Ending::Finish)),
        ("cut at=carol", None),
        ("cut after=1", None),
        ("cut event=ping", None),
        ("half_open", None),
    ] {
        let world = World::new(None, &[rule]);
        assert_eq!(world.decider.ending(ONE), ending, "{rule}");
        assert_eq!(world.decider.is_half_open(ONE), rule == "half_open", "{rule}");
    }
}

#[test]
fn taking_the_rules_away_sets_all_free_in_order() {
    let mut world = World::new(None, &["hold=100 times=1", "half_open after=2"]);
    for number in 0..6 {
        world.text(&number.to_string());
    }
    // What is held does not come to the second rule.
    assert_eq!(world.told(), "1 2");
    world.decider.set(world.now, &[]).expect("no rule");
    world.leave();
    world.text("6");
    assert_eq!(world.told(), "1 2 3 4 5 0 6");
    let stories: Vec<_> = world.decider.stories().iter().map(|it| (it.times, it.until)).collect();
    assert_eq!(stories, [(1, Some(Time(0))), (1, Some(Time(0)))]);
}

#[test]
fn several_rules_befall_one_frame() {
    let mut world = World::new(None, &["truncate=1B", "duplicate", "inject=x times=1"]);
    world.text("abc");
    world.text("def");
    assert_eq!(world.told(), "a a x d d");
}

/// A message of the native protocol.
fn chat(room: &str, who: &str, text: &str) -> String {
    format!(
        r#"{{"type":"chat","room":"{room}","seq":1,"member":"m-{who}","username":"{who}","text":"{text}","at":"now"}}"#
    )
}

/// The texts that have come to the first client.
fn said(world: &World) -> String {
    let told = world.told();
    let texts = told.split("\"text\":\"").skip(1).map(|rest| rest.split('"').next().unwrap_or(""));
    texts.collect::<Vec<_>>().join(" ")
}

#[test]
fn whose_messages_change_places_is_heeded() {
    let all =
        [("r", "a", "a1"), ("r", "a", "a2"), ("r", "b", "b1"), ("s", "b", "s1"), ("r", "a", "a3")];
    for (rule, expected) in [
        ("swap=two-senders event=message times=1", "a1 b1 a2 s1 a3"),
        ("swap=one-sender event=message times=1", "a2 a1 b1 s1 a3"),
        ("swap=one-sender event=message after=1 times=1", "a1 b1 s1 a3 a2"),
        ("swap=any event=message after=2 times=1", "a1 a2 s1 a3 b1"),
    ] {
        let mut world = World::new(Some("native"), &[rule]);
        for (room, who, text) in all {
            world.text(&chat(room, who, text));
        }
        world.until(5000 * MS);
        assert_eq!(said(&world), expected, "{rule}");
    }
}

#[test]
fn nothing_but_such_messages_overtakes_the_first_of_two() {
    let mut world = World::new(Some("native"), &["swap=two-senders event=message"]);
    world.text(&chat("r", "a", "a1"));
    world.frame(ONE, Way::ToClient, 10, "fence");
    world.text(&chat("r", "a", "a2"));
    world.text(&chat("r", "b", "b1"));
    assert!(world.told().find("a1") < world.told().find("fence"), "{}", world.told());
    assert_eq!(said(&world), "a1 b1 a2");
}

#[test]
fn a_leak_goes_to_another_room() {
    let entered = |room: &str| {
        format!(
            r#"{{"type":"joined","re":1,"room":"{room}","epoch":"e","seq":0,"view":1,"you":"m","members":[],"count":1}}"#
        )
    };
    for (room, leaks) in [("r", false), ("s", true)] {
        let mut world = World::new(Some("native"), &["misroute event=message"]);
        world.text(&entered("r"));
        world.frame(OTHER, Way::ToClient, 1, &entered(room));
        world.text(&chat("r", "a", "here"));
        assert_eq!(world.told().contains("@{\"type\":\"chat\""), leaks, "{room}");
    }
}

#[test]
fn nothing_that_nobody_sent_comes_inside_of_what_passes() {
    let rules = ["misroute at=1", "hold=1ms at=1", "cut=1011 at=2"];
    let mut world = World::new(None, &rules[..2]);
    let inside = |world: &mut World, id, is_inside: bool| {
        let gap = if is_inside { Gap::None } else { Gap::Messages };
        world.decider.ends_at(world.now, id, Way::ToClient, gap);
        world.leave();
    };
    inside(&mut world, OTHER, true);
    world.text("held, and not astray");
    inside(&mut world, ONE, true);
    world.until(5 * MS);
    assert_eq!(world.told(), "");
    // A Close frame waits, too.
    world.decider.set(world.now, &[parse(rules[2]).expect("a rule")]).expect("usable");
    world.leave();
    assert_eq!((world.told().as_str(), world.decider.ending(OTHER)), ("", None));
    inside(&mut world, ONE, false);
    inside(&mut world, OTHER, false);
    assert_eq!(world.told(), "held, and not astray @8:\u{3}\u{fffd}");
    assert_eq!(world.decider.ending(OTHER), Some(Ending::Finish));
    let mut world = World::new(None, &rules[..1]);
    inside(&mut world, OTHER, true);
    inside(&mut world, OTHER, false);
    world.text("astray");
    assert_eq!(world.told(), "astray @astray");
}

/// What is kept back until the end of a long message must not keep that end back.
#[test]
fn much_that_is_kept_back_does_not_stop_what_it_waits_for() {
    let mut world = World::new(None, &["hold=1ms opcode=binary"]);
    world.frame(ONE, Way::ToClient, 2, &"x".repeat(2 << 20));
    let reads = |world: &World| world.decider.reads(world.now, ONE, Way::ToClient);
    assert!(!reads(&world), "there is enough for now");
    for gap in [Gap::None, Gap::Fragments] {
        world.decider.ends_at(world.now, ONE, Way::ToClient, gap);
        world.until(world.now.0 + 5 * MS);
        assert!(reads(&world) && world.out.is_empty());
    }
    world.decider.ends_at(world.now, ONE, Way::ToClient, Gap::Messages);
    world.leave();
    assert!(reads(&world) && world.out.len() == 1);
}

/// What nobody takes away does not grow for ever.
#[test]
fn nobody_is_told_more_of_others_than_there_is_place_for() {
    let mut world = World::new(None, &["delay=1h at=2", "misroute at=1"]);
    world.frame(OTHER, Way::ToClient, 1, "late");
    let long = "x".repeat(1 << 10);
    (0..3000).for_each(|_| world.text(&long));
    let deeds = world.decider.take_deeds();
    let astray = deeds.iter().filter(|deed| deed.fault == "misroute").count();
    assert!((900..=1024).contains(&astray), "{astray}");
}

#[test]
fn a_client_is_known_by_the_name_that_it_takes() {
    let mut decider = World::new(Some("native"), &["drop to=client at=dora"]).decider;
    let id = ConnId(3);
    decider.arrive(id, Who::default(), "/ws");
    decider.open(Time(0), id);
    assert_ne!(decider.wants(id, Way::ToServer), 0, "it looks for a name");
    assert_eq!(decider.wants(id, Way::ToClient), 0);
    let name = br#"{"type":"name","id":1,"username":"dora"}"#.to_vec();
    decider.frame(Time(0), id, Way::ToServer, Frame::made(1, name, Some([0; 4])));
    assert_ne!(decider.wants(id, Way::ToClient), 0);
    assert_eq!(decider.wants(id, Way::ToServer), 0, "it has found one");
}

#[test]
fn deeds_are_told_without_secrets() {
    let mut world = World::new(Some("native"), &["drop to=client times=2"]);
    world.text(r#"{"list":[{"token":"very-secret"}],"again":"very-secret"}"#);
    let deeds = world.decider.take_deeds();
    let [deed] = deeds.as_slice() else { panic!("{deeds:?}") };
    let (json, line) = (deed.json(), deed.line());
    for shown in [&json, &line] {
        assert!(!shown.contains("very-secret") && shown.contains("again"), "{shown}");
    }
    assert!(line.contains("drop") && line.contains("#1 bob to client"), "{line}");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["connection"], &json["to"]), (&1.into(), &"client".into()));
}

#[test]
fn the_same_seed_draws_the_same_for_each_client() {
    let dropped = |first: &[u8]| {
        let mut world = World::new(None, &["drop to=client rate=1/4"]);
        for number in 0..400 {
            // The other client's frames come in between as they like.
            if first.get(number % first.len()) == Some(&1) {
                world.frame(OTHER, Way::ToClient, 1, "x");
            }
            world.text(&number.to_string());
        }
        let told = world.told();
        let kept = told.split(' ').filter(|it| !it.starts_with('@'));
        kept.map(str::to_owned).collect::<Vec<_>>()
    };
    let one = dropped(&[0]);
    assert_eq!(one, dropped(&[1, 0, 1]));
    assert!((230..=370).contains(&one.len()), "about three of four remain: {}", one.len());
}

proptest! {
    /// No rule is about it: whatever the bytes are and however they are cut, they leave as they came.
    #[test]
    fn without_a_fault_nothing_changes(
        bytes: Vec<u8>,
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
        watched: bool,
    ) {
        // A rule that looks at all messages and spares them.
        let rules: &[&str] = if watched { &["drop after=1000000"] } else { &[] };
        let mut world = World::new(None, rules);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let (mut cutter, mut out) = (Cutter::of_frames(), Vec::new());
        for pair in cuts.windows(2) {
            let wanted = world.decider.wants(ONE, Way::ToClient);
            prop_assert_eq!(wanted != 0, watched);
            let decider = &mut world.decider;
            cutter.feed(&bytes[pair[0]..pair[1]], wanted, &mut |piece| match piece {
                Piece::Pass(bytes) if decider.is_direct(Time(0), ONE, Way::ToClient) => {
                    out.extend_from_slice(bytes);
                }
                Piece::Pass(bytes) => decider.pass(Time(0), ONE, Way::ToClient, bytes),
                Piece::Whole(frame) => decider.frame(Time(0), ONE, Way::ToClient, frame),
                Piece::Head(_) => panic!("no head is awaited"),
            });
            decider.take(Time(0), ONE, Way::ToClient, usize::MAX, &mut out);
        }
        out.extend(cutter.rest());
        if watched {
            // A control frame between the fragments of a message comes before them.
            out.sort_unstable();
            let mut bytes = bytes;
            bytes.sort_unstable();
            prop_assert_eq!(out, bytes);
        } else {
            prop_assert_eq!(out, bytes);
        }
    }
}
