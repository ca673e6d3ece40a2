//! What it costs to judge: a million observations of a room in which all is well.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use harness::check::{End, Judge, Profile};
use harness::observe::{ClientId, Entry, MessageId, Observation, RoomId, Time, VoiceId, What, Who};
use harness::plan::{ChecksPlan, Delivery, Echo, Level, Ordering};

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
    for (name, ordering, numbered) in [
        ("a million observations, one total order, numbered", Ordering::Total, true),
        ("a million observations, one total order", Ordering::Total, false),
        ("a million observations, order per sender", Ordering::PerSender, false),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| judged(ordering, numbered)).sum());
        });
    }
    group.finish();
    criterion.final_summary();
}

/// The time it takes to judge a million observations.
fn judged(ordering: Ordering, numbered: bool) -> Duration {
    let plan = plan(ordering);
    let profile = Profile {
        ordering: Some(ordering),
        echo: Some(Echo::Once),
        heartbeat: None,
        idle_pings: false,
        numbered,
    };
    let mut judge = Judge::new(&plan, profile, MEMBERS as usize);
    (0..MEMBERS).for_each(|client| enter(&mut judge, ClientId(client)));
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

const ROOM: RoomId = RoomId(0);

fn enter(judge: &mut Judge, client: ClientId) {
    let entry = Entry {
        room: ROOM,
        confirmed: true,
        full: true,
        you: None,
        tickets: 0,
        members: None,
        count: None,
        epoch: Some("e-1".into()),
        number: Some(0),
        view: None,
        recovered: None,
        storage: None,
    };
    let whats = [
        What::Opened { connection: None },
        What::Joining { room: Some(ROOM), since: false },
        What::Entered(Box::new(entry)),
    ];
    for what in whats {
        judge.observe(&Observation { at: Time(0), client, what });
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
