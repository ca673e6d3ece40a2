//! What it costs to read a request and to write its answer, without a room full of people.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use protocol::native::Session;
use protocol::{ConnId, Flow, Frame, Ids, Limits, LocalWorld, Now, World};

/// What is said, and how many frames come back.
const REQUESTS: [(&str, &str, usize); 5] = [
    ("ping, and its pong", r#"{"type":"ping","id":1}"#, 1),
    ("nonsense, and its error", r#"{"type":"nonsense","id":1,"more":[1,2,3]}"#, 1),
    (
        "chat, its event and its ok",
        r#"{"type":"chat","id":1,"room":"hall","text":"a message of the usual length, neither long nor short"}"#,
        2,
    ),
    (
        "presence, its event and its ok",
        r#"{"type":"presence","id":1,"room":"hall","patch":{"status":"busy","at":{"x":1}}}"#,
        2,
    ),
    (
        "store, its event and its ok",
        r#"{"type":"store","id":1,"room":"hall","ops":[{"put":{"key":"k","value":{"v":[1,2]}}}]}"#,
        2,
    ),
];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    requests(&mut criterion);
    framing(&mut criterion);
    criterion.final_summary();
}

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    for (name, request, frames) in REQUESTS {
        let limits = Limits { requests_per_s: 0, ..Limits::default() };
        let world = LocalWorld::new(limits, Ids::new([7; 32]));
        let id = world.with_ids(Ids::connection);
        let mut session = Session::open(Now::default(), id, ConnId(0), &world);
        let flow = session.received(Now::default(), r#"{"type":"join","room":"hall"}"#, &world);
        assert_eq!(flow, Flow::Continue, "it is let in");
        world.take(ConnId(0));
        group.throughput(Throughput::Bytes(request.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let flow = session.received(Now::default(), black_box(request), &world);
                assert_eq!(flow, Flow::Continue, "it is let through");
                assert_eq!(world.take(ConnId(0)).len(), frames, "all answers");
            });
        });
    }
    group.finish();
}

fn framing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("framing");
    for size in [16, 128, 4096] {
        let text = "x".repeat(size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("{size} B of text"), |bencher| {
            bencher.iter(|| Frame::text(black_box(&text)));
        });
    }
    group.finish();
}
