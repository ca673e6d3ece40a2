//! What it costs to judge: a million observations of a room in which all is well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use harness::check::{End, Judge, Profile};
use harness::dialect::Heartbeat;
use harness::observe::{ClientId, Entry, MessageId, Observation, RoomId, Time, VoiceId, What, Who};
use harness::plan::{ChecksPlan, Delivery, Echo, Level, Ordering};
use serde_json::json;

const OBSERVATIONS: u64 = 1_000_000;
const MEMBERS: u32 = 100;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(10))
        .configure_from_args();
    let mut group = criterion.benchmark_group("checks");
    group.throughput(Throughput::Elements(OBSERVATIONS));
    for (name, ordering, numbered, all) in [
        ("a million observations, every check", Ordering::Total, true, true),
        ("a million observations, one total order, numbered", Ordering::Total, true, false),
        ("a million observations, one total order", Ordering::Total, false, false),
        ("a million observations, order per sender", Ordering::PerSender, false, false),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| judged(ordering, numbered, all)).sum());
        });
    }
    for (name, kind) in [
        ("a million observations, presences", Kind::Presence),
        ("a million observations, writes", Kind::Write),
        ("a million observations, members who come and go", Kind::Member),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| told(kind)).sum());
        });
    }
    group.finish();
    criterion.final_summary();
}

/// A judge for a room in which all are.
fn full_house(ordering: Ordering, numbered: bool, all: bool) -> Judge {
    let plan = if all { every_check(ordering) } else { plan(ordering) };
    // Longer than the run: nobody pings in it.
    let (every, timeout) = (Duration::from_secs(3_600), Duration::from_secs(7_200));
    let profile = Profile {
        ordering: Some(ordering),
        echo: Some(Echo::Once),
        heartbeat: all.then_some(Heartbeat { every, timeout }),
        idle_pings: false,
        numbered,
    };
    let mut judge = Judge::new(&plan, profile, MEMBERS as usize + 1);
    (0..MEMBERS).for_each(|client| enter(&mut judge, ClientId(client)));
    judge
}

/// The time it takes to judge a million observations.
fn judged(ordering: Ordering, numbered: bool, all: bool) -> Duration {
    let mut judge = full_house(ordering, numbered, all);
    let (mut spent, mut seen, mut number) = (Duration::ZERO, 0, 0);
    let mut batch = Vec::new();
    while seen < OBSERVATIONS {
        say(&mut batch, number, numbered);
        number += 1;
        seen += batch.len() as u64;
        let begun = Instant::now();
        for observation in &batch {
            judge.observe(observation);
        }
        spent += begun.elapsed();
    }
    let end = End { at: Time(u64::from(number) * 1000), settled: true, ..End::default() };
    judge.conclude(&end);
    assert_eq!(judge.findings().total(), 0, "{:?}", judge.findings().kept().first());
    assert_eq!(judge.deliveries().owed, judge.deliveries().received, "all is accounted for");
    spent
}

fn plan(ordering: Ordering) -> ChecksPlan {
    ChecksPlan {
        delivery: Delivery::ExactlyOnce,
        order: Some(ordering),
        echo: Some(Echo::Once),
        membership: Level::Off,
        unknown_messages: Level::Fail,
        presence: None,
        storage: false,
        heartbeat: None,
        recovery: false,
        slow: None,
        messages: true,
        manners: true,
    }
}

fn every_check(ordering: Ordering) -> ChecksPlan {
    ChecksPlan {
        membership: Level::Fail,
        presence: Some(Duration::from_secs(1)),
        storage: true,
        heartbeat: Some(Duration::from_secs(1)),
        recovery: true,
        slow: Some(Duration::from_secs(1)),
        ..plan(ordering)
    }
}

const ROOM: RoomId = RoomId(0);

/// What else members are told of.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Presence,
    Write,
    Member,
}

/// The time it takes to judge a million observations of this kind, with every check.
fn told(kind: Kind) -> Duration {
    let mut judge = full_house(Ordering::Total, true, true);
    let (mut spent, mut seen, mut number) = (Duration::ZERO, 0, 0);
    let mut batch = Vec::new();
    while seen < OBSERVATIONS {
        number += 1;
        tell(&mut batch, kind, number);
        seen += batch.len() as u64;
        let begun = Instant::now();
        for observation in &batch {
            judge.observe(observation);
        }
        spent += begun.elapsed();
    }
    let end = End { at: Time(number * 1000 + 5_000_000), settled: true, ..End::default() };
    judge.conclude(&end);
    assert_eq!(judge.findings().total(), 0, "{:?}", judge.findings().kept().first());
    spent
}

/// One change: asked for by one, told to everybody.
fn tell(batch: &mut Vec<Observation>, kind: Kind, number: u64) {
    let at = Time(number * 1000);
    let speaker = u32::try_from(number).unwrap_or_default() % MEMBERS;
    let (room, who) = (ROOM, Who::Client(ClientId(speaker)));
    batch.clear();
    let mut saw = |client, what| batch.push(Observation { at, client: ClientId(client), what });
    match kind {
        Kind::Presence => {
            let state = Arc::new(json!({ "at": number }));
            saw(speaker, What::PresenceSending { room, state: Arc::clone(&state) });
            for client in 0..MEMBERS {
                let (who, state) = (who.clone(), Arc::clone(&state));
                saw(client, What::Presence { room, who, state, number: Some(number) });
            }
        }
        Kind::Write => {
            let ops = Arc::new(json!([{ "put": { "key": "k", "value": number } }]));
            let (request, version) = (u32::try_from(number).unwrap_or_default(), Some(number));
            saw(speaker, What::Storing { room, request, ops: Arc::clone(&ops) });
            saw(speaker, What::StoreAcked { room, request, version });
            for client in 0..MEMBERS {
                let (who, ops) = (who.clone(), Arc::clone(&ops));
                saw(client, What::Stored { room, who, version: number, ops, number: version });
            }
        }
        Kind::Member => {
            // One more comes, and goes.
            let (guest, view) = (MEMBERS, Some(number));
            let who = Who::Client(ClientId(guest));
            let comes = number % 2 == 1;
            if comes {
                saw(guest, What::Joining { room: Some(room), since: false });
                saw(guest, What::Entered(Box::new(Entry { view, ..entry() })));
            } else {
                saw(guest, What::Leaving { room });
                saw(guest, What::Exited { room });
            }
            for client in 0..MEMBERS {
                let who = who.clone();
                saw(
                    client,
                    match comes {
                        true => What::Joined { room, who, view },
                        false => What::Left { room, who, view, reason: None },
                    },
                );
            }
        }
    }
}

fn entry() -> Entry {
    Entry {
        room: ROOM,
        confirmed: true,
        full: true,
        you: None,
        tickets: 0,
        members: None,
        count: None,
        epoch: Some("e-1".into()),
        number: Some(0),
        view: Some(0),
        recovered: None,
        storage: None,
    }
}

fn enter(judge: &mut Judge, client: ClientId) {
    let whats = [
        What::Opened { connection: None },
        What::Joining { room: Some(ROOM), since: false },
        What::Entered(Box::new(entry())),
    ];
    for what in whats {
        judge.observe(&Observation { at: Time(0), client, what });
    }
    for other in (0..client.0).map(ClientId) {
        let what = What::Joined { room: ROOM, who: Who::Client(client), view: None };
        judge.observe(&Observation { at: Time(0), client: other, what });
    }
}

/// One message: said, sent, received by everybody, confirmed.
fn say(batch: &mut Vec<Observation>, number: u32, numbered: bool) {
    let (speaker, seq) = (number % MEMBERS, number / MEMBERS);
    let message = MessageId { voice: VoiceId(speaker), seq };
    let at = Time(u64::from(number) * 1000);
    let place = numbered.then_some(u64::from(number) + 1);
    batch.clear();
    let mut saw = |client, what| batch.push(Observation { at, client: ClientId(client), what });
    saw(speaker, What::Sending { message, room: ROOM, ticket: number, intended: at, hash: number });
    saw(speaker, What::Sent { message });
    for client in 0..MEMBERS {
        let from = Who::Client(ClientId(speaker));
        let room = Some(ROOM);
        saw(client, What::Received { message, room, from, hash: number, number: place });
    }
    saw(speaker, What::Acked { message, number: place });
}
