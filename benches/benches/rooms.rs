//! What one chat costs in a room, by the number of its members: decoded, put into the log, encoded
//! once, and pushed to everybody. No sockets.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use protocol::native::Session;
use protocol::{ConnId, Flow, Ids, Limits, LocalWorld, Now, World};

const MEMBERS: [u64; 4] = [10, 100, 1_000, 10_000];
const CHAT: &str = r#"{"type":"chat","room":"hall","text":"a message of the usual length, neither long nor short, as people write them"}"#;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut group = criterion.benchmark_group("room fan-out");
    for members in MEMBERS {
        group.throughput(Throughput::Elements(members));
        let mut room = Room::of(members);
        group.bench_function(BenchmarkId::from_parameter(members), |bencher| {
            bencher.iter_custom(|times| room.chats(times));
        });
    }
    group.finish();
    criterion.final_summary();
}

/// A room with an audience, and one who speaks.
struct Room {
    world: LocalWorld,
    speaker: Session<ConnId>,
    members: u64,
}

impl Room {
    fn of(members: u64) -> Self {
        // The speaker says more in a second than a server would let it.
        let limits = Limits { requests_per_s: 0, ..Limits::default() };
        let world = LocalWorld::new(limits, Ids::new([7; 32]));
        for member in 1..members {
            // The session may go: its place in the room stays.
            let join = r#"{"type":"join","room":"hall","membership":"none"}"#;
            drop(enter(&world, ConnId(member), join));
        }
        let join = r#"{"type":"join","room":"hall"}"#;
        let speaker = enter(&world, ConnId(0), join);
        Self { world, speaker, members }
    }

    /// The time of so many chats. What was pushed is thrown away outside of it.
    fn chats(&mut self, times: u64) -> Duration {
        let mut spent = Duration::ZERO;
        for _ in 0..times {
            let begun = Instant::now();
            let flow = self.speaker.received(Now::default(), black_box(CHAT), &self.world);
            spent += begun.elapsed();
            assert_eq!(flow, Flow::Continue, "the chat is let through");
            for member in 0..self.members {
                assert_eq!(self.world.take(ConnId(member)).len(), 1, "everybody got it");
            }
        }
        spent
    }
}

fn enter(world: &LocalWorld, conn: ConnId, join: &str) -> Session<ConnId> {
    let id = world.with_ids(Ids::connection);
    let mut session = Session::open(Now::default(), id, conn, world);
    assert_eq!(session.received(Now::default(), join, world), Flow::Continue, "it is let in");
    assert_eq!(world.take(conn).len(), 2, "welcome and joined");
    session
}
