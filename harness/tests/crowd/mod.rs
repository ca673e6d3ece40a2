//! Many members who all speak: what it costs.

use std::time::Instant;

use harness::check::{End, Judge, Profile};
use harness::observe::{ClientId, Entry, MessageId, Observation, RoomId, Time, VoiceId, What, Who};
use harness::plan::{Echo, Ordering};

fn judge(clients: u32, ordering: Ordering, echo: Echo) -> Judge {
    let mut plan = crate::world::plan();
    (plan.order, plan.echo) = (Some(ordering), Some(echo));
    let mut judge = Judge::new(&plan, Profile::new(&plan, None, false), clients as usize);
    for client in 0..clients {
        let see = |what| Observation { at: Time(0), client: ClientId(client), what };
        judge.observe(&see(What::Joining { room: Some(RoomId(0)), since: false }));
        let entry = Entry {
            room: RoomId(0),
            confirmed: true,
            full: false,
            you: None,
            tickets: 0,
            members: None,
            count: None,
            epoch: None,
            number: None,
            view: None,
            recovered: None,
            storage: None,
        };
        judge.observe(&see(What::Entered(Box::new(entry))));
    }
    judge
}

/// Everybody says so many things in turn, everybody hears them; says how long a delivery took in
/// nanoseconds.
fn talk(judge: &mut Judge, clients: u32, senders: u32, messages: u32, echo: bool) -> f64 {
    let mut spent = 0.0;
    for ticket in 0..messages {
        let sender = ticket % senders;
        let message = MessageId { voice: VoiceId(sender), seq: ticket / senders };
        let (room, intended) = (RoomId(0), Time(0));
        let what = What::Sending { message, room, ticket, intended, hash: ticket };
        judge.observe(&Observation { at: Time(0), client: ClientId(sender), what });
        let what = What::Received {
            message,
            room: Some(room),
            from: Who::Client(ClientId(sender)),
            hash: ticket,
            number: None,
        };
        let mut seen = Observation { at: Time(0), client: ClientId(0), what };
        let begun = Instant::now();
        for receiver in (0..clients).filter(|receiver| echo || *receiver != sender) {
            seen.client = ClientId(receiver);
            judge.observe(&seen);
        }
        spent += begun.elapsed().as_secs_f64();
    }
    spent * 1e9 / (f64::from(messages) * f64::from(clients))
}

/// Five thousand who all speak in one room: 25 million pairs, of which none may cost memory.
#[test]
fn five_thousand_speakers_cost_nothing_per_pair() {
    let clients = 5_000;
    for (ordering, echo) in
        [(Ordering::Total, Echo::Once), (Ordering::TotalAmongOthers, Echo::Never)]
    {
        let mut judge = judge(clients, ordering, echo);
        // Each speaks once in 5,000; a part of it shows the same per pair, at a fiftieth the time.
        talk(&mut judge, clients, clients, 100, echo == Echo::Once);
        let size = judge.footprint();
        assert!(size.pairs == 0, "{size:?}");
        assert!(size.bytes_per_member < 300, "{size:?}");
        judge.conclude(&End { at: Time(1), settled: true, ..End::default() });
        assert_eq!(judge.findings().total(), 0);
        let account = judge.deliveries();
        assert_eq!((account.owed, account.received), (100 * 4_999, 100 * 4_999));
    }
}

/// The whole of it: 25 million deliveries. `cargo test --release -- --ignored --nocapture`
#[test]
#[ignore = "measures; only a release build tells something"]
fn nanoseconds_per_delivery() {
    let shapes = [(100, 10), (1_000, 100), (5_000, 5_000)];
    let promises = [
        (Ordering::Total, Echo::Once),
        (Ordering::TotalAmongOthers, Echo::Never),
        (Ordering::PerSender, Echo::Once),
    ];
    for (clients, senders) in shapes {
        for (ordering, echo) in promises {
            let mut judge = judge(clients, ordering, echo);
            let messages =
                if clients == 5_000 { 5_000 } else { 500_000_u32.div_ceil(clients) * 10 };
            let ns = talk(&mut judge, clients, senders, messages, echo == Echo::Once);
            println!(
                "{clients} x {senders} {ordering:?} {echo:?}: {ns:.1} ns {:?}",
                judge.footprint()
            );
        }
    }
}
