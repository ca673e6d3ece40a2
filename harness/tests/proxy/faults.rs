//! Each fault, put before a server that is not ours, is found by a run of the harness and called what
//! it is.

use std::sync::Mutex;
use std::sync::PoisonError;

use super::programs::{Middle, run};
use super::server::Foreign;

/// So many faults are tried at a time.
const AT_A_TIME: usize = 3;

/// Two rooms in which all talk, for so long.
fn talk(seconds: &str) -> String {
    format!(
        "
scenario: talk
vars: {{ rooms: 2 }}
clients:
  crowd:
    clients: 6
    vars: {{ room: lobby-$shard(rooms)-$run }}
steps:
  - as: crowd
    each: [ {{ open: {{}} }}, {{ join: $room }} ]
    within: 30s
  - phase:
      name: talk
      for: {seconds}
      run:
        - as: crowd
          every: 60/s
          say: {{}}
  - settle: 3s
checks: {{ delivery: exactly-once, heartbeat: {{ slack: 1s }} }}
"
    )
}

/// All are in a room and say nothing: their pongs alone show that they live.
const QUIET: &str = "
scenario: quiet
vars: { room: lobby-$run }
clients: { crowd: { clients: 4 } }
steps:
  - as: crowd
    each: [ { open: {} }, { join: $room } ]
    within: 30s
  - wait: 4s
checks: { heartbeat: { slack: 1s } }
";

/// What happens in a run.
#[derive(Clone, Copy, PartialEq)]
enum Scene {
    Talk,
    /// Longer than a server waits for a pong.
    LongTalk,
    Quiet,
}

use Scene::{LongTalk, Quiet, Talk};

/// The fault, what goes on meanwhile, and the class that must be found.
const TABLE: [(&str, Scene, &str); 28] = [
    ("drop to=client event=message rate=1/10", Talk, "loss"),
    ("drop to=server event=say rate=1/10", Talk, "loss"),
    // Long enough that an answer is overdue when the run ends.
    ("drop to=client event=ok rate=1/10", LongTalk, "reply"),
    ("drop to=client opcode=ping", LongTalk, "ping"),
    ("drop to=server opcode=pong", Quiet, "timeout"),
    ("duplicate to=client event=message rate=1/10", Talk, "duplicate"),
    ("duplicate=3 to=client event=message rate=1/10", Talk, "duplicate"),
    ("duplicate=200ms to=client event=message rate=1/10", Talk, "duplicate"),
    ("swap to=client event=message rate=1/10", Talk, "disorder"),
    ("swap=two-senders to=client event=message rate=1/10", Talk, "disorder"),
    ("swap=one-sender to=client event=message rate=1/10", Talk, "reorder"),
    ("delay=2500ms to=client opcode=ping after=4", LongTalk, "ping"),
    ("hold=3 to=client event=message rate=1/10", Talk, "disorder"),
    ("hold=400ms to=client event=message rate=1/10", Talk, "reorder"),
    ("corrupt to=client event=message rate=1/10", Talk, "corrupt"),
    ("corrupt=bytes to=client event=message rate=1/10", Talk, "framing"),
    ("corrupt=header to=client event=message after=20 times=1", Talk, "framing"),
    ("truncate to=client event=message rate=1/10", Talk, "framing"),
    ("inject='{\"surprise\":1}' to=client event=message rate=1/10", Talk, "framing"),
    ("misroute to=client event=message rate=1/10", Talk, "leak"),
    ("misroute=instead to=client event=message rate=1/10", Talk, "leak"),
    ("stall=4s to=client event=message after=20 times=1", LongTalk, "ping"),
    ("cut to=client event=message after=20 times=1", Talk, "killed"),
    ("cut=fin to=client event=message after=20 times=1", Talk, "killed"),
    ("cut=inside to=client event=message after=20 times=1", Talk, "killed"),
    ("cut=1011 to=client event=message after=20 times=1", Talk, "close"),
    ("half_open to=client event=message after=20 times=1", LongTalk, "ping"),
    ("throttle=512B/s to=client at=3", LongTalk, "loss"),
];

#[test]
fn each_fault_is_found_as_what_it_is() {
    let Some(foreign) = Foreign::start("native.py", &["--heartbeat", "500ms/1500ms"]) else {
        return;
    };
    let (todo, failed) = (Mutex::new(TABLE.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(row) = next(&todo) {
                    if let Err(how) = found(&foreign.url, *row) {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(how);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    foreign.ends_well();
}

fn next<T>(all: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    all.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// Whether a run through a proxy with this fault finds this class, and the proxy tells of it.
fn found(target: &str, (fault, scene, class): (&str, Scene, &str)) -> Result<(), String> {
    let middle = Middle::start(target, &[fault], &["--dialect", "native", "--quiet"]);
    let scenario = match scene {
        Talk => talk("1s"),
        LongTalk => talk("3s"),
        Quiet => QUIET.to_owned(),
    };
    let ran = run(&scenario, &["--dialect", "native", "--target", &middle.url, "--seed", "7"]);
    let recorded = middle.recorded();
    let is_found = ran.classes().iter().any(|found| found == class);
    let told = recorded.iter().any(|deed| deed["connection"].is_u64());
    if ran.code == Some(1) && is_found && told {
        return Ok(());
    }
    let (found, deeds) = (ran.classes(), recorded.len());
    Err(format!("{fault}: {class} is not among {found:?}, {deeds} deeds\n{}", ran.said))
}
