//! The whole product: what fails at a server that does wrong is made small, and what is written fails
//! in the same way when its own command runs it.

use std::collections::BTreeMap;

use harness::shrink::{Size, Tree};
use serde_json::Value;

use super::proxy::{Fault, Frame, Hop, Proxy, Way};
use super::runs::{Call, Ran, Server};

/// What was written, and what came of running it by its command.
struct Shrunk {
    text: String,
    size: Size,
    again: Ran,
}

/// Runs a scenario that must fail, has it made small, and runs what is left by the command printed.
fn shrink(scenario: &str, args: &[&str]) -> Shrunk {
    // The search ends long before, on a machine that has nothing else to do.
    let call = Call::own("whole.yaml", scenario).args(&["--shrink", "--shrink-time", "10m"]);
    let call = call.args(args);
    again(call, "shrunk.yaml")
}

/// Runs what must fail, and what is left by the command printed.
fn again(call: Call, file: &str) -> Shrunk {
    let first = call.end();
    assert_eq!(first.code, Some(1), "{first}");
    let path = first.report.path().join("report").join(file);
    let text = std::fs::read_to_string(path).unwrap_or_else(|_| panic!("none written: {first}"));
    let mut commands = first.out.lines().filter_map(|line| line.trim().strip_prefix("again "));
    let again = commands.find(|command| command.contains(file));
    let again = again.unwrap_or_else(|| panic!("no command: {first}")).trim();
    assert!(text.contains(again), "{again}\n{text}");
    let words: Vec<&str> = again.split_whitespace().skip(1).collect();
    let again = Call::new(&words).args(&["--report", "report"]).end();
    Shrunk { size: Size::of(&Tree::read(&text).expect("YAML")), text, again }
}

fn assert_found(ran: &Ran, check: &str, class: &str) {
    let found = ran.found();
    assert!(found.iter().any(|(c, k, _)| (*c, *k) == (check, class)), "{found:?}\n{ran}");
}

/// At a receiver of this name, after so many messages of others, a message is overtaken by the one
/// behind it, if that is of somebody else; their numbers stay.
fn swap_after(name: &'static str, spared: usize) -> Fault {
    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    let mut held: Option<(usize, Value)> = None;
    Box::new(move |hop: &mut Hop<'_>| {
        if hop.way != Way::ToClient || !hop.name.starts_with(name) {
            return;
        }
        let before = held.take_if(|(conn, _)| *conn == hop.conn).map(|(_, before)| before);
        let mut after = hop.message().unwrap_or_default();
        let usable = after["type"] == "chat" && after["username"] != hop.name;
        let count = seen.entry(hop.conn).or_default();
        *count += usize::from(usable);
        match before {
            Some(mut before) if usable && before["member"] != after["member"] => {
                let number = before["seq"].take();
                before["seq"] = std::mem::replace(&mut after["seq"], number);
                hop.frames = vec![Frame::json(&after), Frame::json(&before)];
            }
            // Whatever comes next, it is held no longer.
            Some(before) if !usable => hop.frames.insert(0, Frame::json(&before)),
            before if usable && *count > spared => {
                hop.frames = before.iter().map(Frame::json).collect();
                held = Some((hop.conn, after));
            }
            _ => {}
        }
    })
}

/// Forty people in four rooms, of whom one sees two messages in another order than all others.
const CROWD: &str = "
scenario: crowd
needs: [join, say]
seed: 5
vars: { rooms: 2 }
clients:
  bob: { vars: { room: room-0-$run } }
  crowd: { clients: 39, name: user-$index-$run, vars: { room: room-$shard(rooms)-$run } }
steps:
  - as: crowd
    each: [ { open: {} }, { join: $room } ]
  - as: bob
    each: [ { open: {} }, { join: $room } ]
  - phase:
      name: steady
      for: 2s
      run:
        - as: crowd
          every: 100/s
          say: { size: 128B }
  - as: bob
    leave: $room
thresholds:
  messages.lost: { count: 0 }
";

#[test]
fn a_swap_that_comes_late_is_found_in_a_handful_of_messages() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.address, swap_after("bob", 3));
    let Shrunk { text, size, again } = shrink(CROWD, &["--target", &proxy.url()]);
    assert_eq!(again.code, Some(1), "{again}");
    assert_found(&again, "order", "disorder");
    assert!(size.clients <= 6 && size.messages <= 12, "{size}\n{text}");
    assert!(!text.contains("phase") && !text.contains("thresholds"), "{text}");
}

/// What stands between is a rule of the scenario: with it the failure is certain.
#[test]
fn two_hundred_clients_and_two_thousand_messages_become_a_handful() {
    let Shrunk { text, size, again } = shrink(TWO_ORDERS, &["--seed", "1"]);
    assert_eq!(again.code, Some(1), "{again}");
    assert_found(&again, "order", "disorder");
    assert!(size.clients <= 4 && size.messages <= 6, "{size}\n{text}");
    assert!(text.contains("swap: two-senders") && !text.contains("phase"), "{text}");
}

/// Two hundred people in four rooms, two thousand messages; at one of them two messages of two senders
/// change places, one in five hundred.
const TWO_ORDERS: &str = "
scenario: two-orders
about: Two hundred people in four rooms.
needs: [join, say]
vars: { rooms: 4 }
clients:
  bob: { vars: { room: room-0-$run } }
  crowd: { clients: 199, name: user-$index-$run, vars: { room: room-$shard(rooms)-$run } }
steps:
  - as: bob
    each: [ { open: {} }, { join: $room } ]
  - as: crowd
    each: [ { open: {} }, { join: $room } ]
  - network: { swap: two-senders, to: client, event: message, at: bob, rate: 1/500 }
  - phase:
      name: steady
      for: 5s
      run:
        - as: crowd
          every: 400/s
          say: { size: 64B }
  - settle: 10s
checks: { delivery: exactly-once, order: total }
thresholds:
  messages.lost: { count: 0 }
";

/// Nobody is told who joins. What is waited for in vain must still be done.
#[test]
fn a_step_that_waits_in_vain_keeps_what_it_waits_for() {
    let scenario = "
scenario: newcomers
clients: { alice: {}, bob: {}, crowd: { clients: 5 } }
checks: { membership: off }
steps:
  - as: crowd
    each: [ { open: {} }, { join: elsewhere-$run } ]
  - as: alice
    open: {}
  - as: alice
    join: lobby-$run
  - as: bob
    open: {}
  - as: bob
    join: lobby-$run
  - as: alice
    expect: { joined: bob }
    within: 500ms
  - as: bob
    say: never said
";
    let server = Server::start(&[]);
    let fault: Fault = Box::new(|hop| {
        if hop.told("member_joined").is_some() {
            hop.frames.clear();
        }
    });
    let proxy = Proxy::start(server.address, fault);
    let Shrunk { text, size, again } = shrink(scenario, &["--target", &proxy.url()]);
    assert_eq!(again.code, Some(1), "{again}");
    assert_found(&again, "steps", "notice");
    assert_eq!(size, Size { clients: 2, messages: 0, steps: 5 }, "{text}");
    assert!(text.contains("as: bob\n    join: lobby-$run"), "{text}");
}

/// Each candidate is a copy of the scenario: there is an end to what memory is taken.
#[test]
fn a_scenario_of_very_many_steps_is_not_made_smaller() {
    let waits = "  - wait: 0s\n".repeat(1_001);
    let scenario = format!(
        "scenario: long\nclients: {{ alice: {{}} }}\nsteps:\n  - {{ as: alice, open: {{}} }}\n{waits}  \
         - {{ as: alice, expect: {{ frame: {{ type: silence }} }}, within: 100ms }}\n"
    );
    let ran = Call::own("long.yaml", &scenario).args(&["--shrink"]).end();
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.out.contains("not shrunk: it has 1003 steps, and no more than 1000"), "{ran}");
}

/// A case becomes a scenario: what its suite and its profile say of it is written into it.
#[test]
fn a_case_that_fails_becomes_a_scenario_by_itself() {
    let server = Server::start(&[]);
    let fault: Fault = Box::new(|hop| {
        let Some(mut message) = hop.told("error") else { return };
        if message["code"] == "not_joined" {
            message["code"] = "bad_request".into();
            hop.frames = vec![Frame::json(&message)];
        }
    });
    let proxy = Proxy::start(server.address, fault);
    let case = "native/leave/is-no-member-any-more";
    let target = format!("native={}", proxy.url());
    let call = Call::new(&["conform", "--target", &target, "--only", case, "--shrink"]);
    let call = call.args(&["--shrink-time", "10m"]);
    let report = call.report_path().display().to_string();
    let call = call.args(&["--report", &report]);
    let Shrunk { text, size, again } = again(call, &format!("shrunk/{case}.yaml"));
    assert_eq!(again.code, Some(1), "{again}");
    assert_found(&again, "steps", "reply");
    assert!(size.clients == 1 && size.steps <= 4, "{size}\n{text}");
    assert!(!text.contains("requires") && text.contains("not_joined"), "{text}");
}
