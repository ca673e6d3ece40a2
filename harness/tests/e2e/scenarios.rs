//! Every shipped scenario passes against a right server, and fails for the right reason against one
//! with a fault made for it.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use serde_json::{Value, json};

use super::faults::{self, Senders};
use super::proxy::{Fault, Frame, Proxy, Way};
use super::runs::{Call, Ran, Server};

/// The shipped scenarios, and what makes them small enough to be run often.
const SCENARIOS: [(&str, &[&str], &[&str]); 9] = [
    ("join", &[], &[]),
    ("broadcast", &["--clients", "crowd=40", "--var", "rooms=4"], &[]),
    ("fan-out", &["--clients", "listeners=60"], &[]),
    ("timeout-disconnect", &["--clients", "crowd=5"], &["--heartbeat", "200ms/600ms"]),
    ("reconnect", &["--clients", "crowd=40", "--clients", "speakers=4", "--var", "rooms=4"], &[]),
    ("presence-storm", &["--clients", "crowd=20"], &[]),
    // More than two seconds of the flood: nobody who reads is that late.
    ("slow-consumer", &["--clients", "listeners=4"], &["--queue-bytes", "4194304"]),
    ("storage", &["--clients", "writers=20", "--clients", "late=5"], &[]),
    ("one-to-one", &["--clients", "host=20", "--clients", "guest=20"], &[]),
];

/// Runs whose time is judged run alone; the others side by side.
static MACHINE: RwLock<()> = RwLock::new(());
/// How often a run may prove nothing because this machine was too busy to judge times.
const ATTEMPTS: usize = 3;

/// What makes a shipped scenario small: more arguments, and its server's.
pub(crate) fn small(scenario: &str) -> (&'static [&'static str], &'static [&'static str]) {
    let known = SCENARIOS.iter().find(|(name, ..)| *name == scenario);
    let (_, args, server_args) = known.expect("a shipped scenario");
    (args, server_args)
}

/// Runs a scenario against the reference server, with something in between.
fn run_once(call: Call, scenario: &str, between: impl FnOnce(&Server) -> Proxy) -> Ran {
    let (args, server_args) = small(scenario);
    let server = Server::start(server_args);
    let proxy = between(&server);
    call.args(args).args(&["--target", &proxy.url()]).end()
}

/// It must pass, alone. On a machine that is too busy to judge times it is run again. When it stays
/// so, nothing may be found but that connections were cut: whoever reads too slowly is cut rightly.
pub(crate) fn assert_passes(run: impl Fn() -> Ran) {
    let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    for attempt in 1..=ATTEMPTS {
        let ran = run();
        if ran.code == Some(0) || !ran.was_late() {
            return ran.assert_passed();
        }
        if attempt == ATTEMPTS {
            let cut = |(_, class, _): &(&str, &str, u64)| *class == "close";
            assert!(ran.found().iter().all(cut), "{ran}");
            return;
        }
        tell_again();
    }
}

/// Beside others of which no time is judged.
pub(crate) fn beside() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// The check must find the class. Those that judge times may be voided by a busy machine, and are
/// then asked again; the others must find it at once.
fn assert_finds(scenario: &str, check: &str, class: &str, between: impl Fn(&Server) -> Proxy) {
    let beside = (!TIMED.contains(&check)).then(beside);
    let alone = beside.is_none().then(|| MACHINE.write().unwrap_or_else(PoisonError::into_inner));
    for attempt in 1..=ATTEMPTS {
        let ran = run_once(Call::in_vain(scenario), scenario, &between);
        let checks = ran.json["checks"].as_array().into_iter().flatten();
        let voided = checks.filter(|row| row["verdict"] == "inconclusive");
        let voided = voided.filter(|row| row["name"] == check).count() > 0;
        if alone.is_none() || !voided || attempt == ATTEMPTS {
            return ran.assert_failed(check, class);
        }
        tell_again();
    }
}

#[expect(clippy::print_stdout, reason = "a test that needs another attempt says so")]
fn tell_again() {
    println!("inconclusive: this machine was busy; again");
}

/// The checks that judge times.
const TIMED: [&str; 2] = ["heartbeat", "slow"];

#[test]
fn every_shipped_scenario_is_in_the_table() {
    let there = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios"));
    let names = there.expect("scenarios").flatten().map(|file| file.path());
    let names = names.filter(|path| path.extension().is_some_and(|it| it == "yaml"));
    for path in names {
        let name = path.file_stem().expect("a name").to_string_lossy();
        assert!(SCENARIOS.iter().any(|(known, ..)| *known == name), "{name} is not tested");
    }
}

/// One test a scenario, so that they run side by side and are named when they fail.
macro_rules! passes {
    ($($test:ident: $scenario:literal,)*) => {$(
        #[test]
        fn $test() {
            assert_passes(|| {
                let proxy = |server: &Server| Proxy::start(server.address, faults::none());
                run_once(Call::shortened($scenario), $scenario, proxy)
            });
        }
    )*};
}

passes! {
    join_passes: "join",
    broadcast_passes: "broadcast",
    fan_out_passes: "fan-out",
    timeout_disconnect_passes: "timeout-disconnect",
    reconnect_passes: "reconnect",
    presence_storm_passes: "presence-storm",
    slow_consumer_passes: "slow-consumer",
    storage_passes: "storage",
    one_to_one_passes: "one-to-one",
}

/// One test a fault: the scenario, the check that must find it, the class, the fault.
macro_rules! finds {
    ($($test:ident: $scenario:literal, $check:literal, $class:literal, $fault:expr;)*) => {$(
        #[test]
        fn $test() {
            let between = |server: &Server| Proxy::start(server.address, $fault);
            assert_finds($scenario, $check, $class, between);
        }
    )*};
}

finds! {
    join_finds_a_newcomer_who_is_not_announced:
        "join", "membership", "notice", faults::drop_each("member_joined", 1);
    join_finds_a_farewell_that_does_not_come:
        "join", "membership", "ghost", faults::drop_each("member_left", 1);
    join_finds_a_notice_that_comes_twice:
        "join", "membership", "notice", faults::double_each("member_joined", 1);
    join_finds_a_lost_message:
        "join", "delivery", "loss", faults::drop_to_others("chat");
    join_finds_a_member_list_without_its_members:
        "join", "membership", "view", members_are_left_out();

    join_finds_a_message_after_the_leave:
        "join", "delivery", "late", faults::deliver_after_the_leave();

    broadcast_finds_a_lost_message:
        "broadcast", "delivery", "loss", faults::drop_each("chat", 500);
    broadcast_finds_a_message_that_comes_twice:
        "broadcast", "delivery", "duplicate", faults::double_each("chat", 500);
    broadcast_finds_two_receivers_with_two_orders:
        "broadcast", "order", "disorder", faults::swap_at_one_receiver(Senders::Two);
    broadcast_finds_a_message_from_another_room:
        "broadcast", "delivery", "leak", faults::misroute_each(500);
    broadcast_finds_a_message_in_anothers_name:
        "broadcast", "delivery", "misattributed", faults::misattribute_each(500);

    broadcast_finds_a_message_that_nobody_said:
        "broadcast", "delivery", "phantom", faults::forge_stamp(2);
    broadcast_finds_a_message_of_another_run:
        "broadcast", "delivery", "leak", faults::forge_stamp(0);
    broadcast_finds_an_echo_that_does_not_come:
        "broadcast", "delivery", "echo", faults::drop_own_each(50);
    broadcast_finds_a_broken_frame:
        "broadcast", "protocol", "framing", faults::break_framing_each(2000);
    broadcast_finds_a_connection_that_is_closed_without_need:
        "broadcast", "protocol", "close", faults::close_one_after(1000);

    fan_out_finds_a_damaged_message:
        "fan-out", "delivery", "corrupt", faults::corrupt_each(500);
    fan_out_finds_one_senders_messages_out_of_order:
        "fan-out", "order", "reorder", faults::swap_at_one_receiver(Senders::Same);

    timeout_disconnect_finds_a_ghost_that_never_times_out:
        "timeout-disconnect", "heartbeat", "timeout", faults::answer_pings_for("ghost");
    timeout_disconnect_finds_a_farewell_that_does_not_come:
        "timeout-disconnect", "membership", "ghost", faults::drop_each("member_left", 1);
    timeout_disconnect_finds_a_living_client_that_is_dropped:
        "timeout-disconnect", "heartbeat", "timeout", faults::swallow_pongs_of("watcher");
    timeout_disconnect_finds_pings_that_do_not_come:
        "timeout-disconnect", "heartbeat", "ping", faults::swallow_pings();

    reconnect_finds_a_gap_in_what_was_missed:
        "reconnect", "recovery", "recovery", faults::drop_first_recovered();
    reconnect_finds_a_server_that_takes_it_up_at_another_place:
        "reconnect", "recovery", "recovery", faults::alter_one("joined", another_place);
    reconnect_finds_what_was_missed_coming_twice:
        "reconnect", "delivery", "duplicate", faults::double_each("chat", 300);

    presence_storm_finds_one_member_with_old_states:
        "presence-storm", "presence", "presence", faults::stale_presence_at_one();

    storage_finds_a_write_that_does_not_arrive:
        "storage", "storage", "storage", faults::drop_each("stored", 200);
    storage_finds_another_value_than_was_written:
        "storage", "storage", "storage", faults::alter_one("stored", another_value);
    storage_finds_a_newcomer_with_an_old_content:
        "storage", "storage", "snapshot", faults::alter_one("joined", an_old_entry);

    storage_finds_a_number_that_is_left_out:
        "storage", "numbering", "loss", faults::drop_each("stored", 200);
    join_finds_a_message_of_an_unknown_kind:
        "join", "unknown_messages", "framing", faults::add_nonsense();
    join_finds_an_answer_that_does_not_come:
        "join", "protocol", "reply", faults::drop_each("left", 1);

    one_to_one_finds_another_pairs_message:
        "one-to-one", "delivery", "leak", faults::misroute_each(100);
    one_to_one_finds_a_lost_message:
        "one-to-one", "delivery", "loss", faults::drop_each("chat", 500);
}

#[test]
fn slow_consumer_finds_everybody_waiting_for_the_slowest() {
    let between = |server: &Server| Proxy::that_waits_for_the_slowest(server.address);
    assert_finds("slow-consumer", "slow", "slow", between);
}

/// A client that comes back is told that it gets everything after a message that it has not seen.
fn another_place(entry: &mut Value) -> bool {
    let recovered = entry["recovered"] == true;
    if recovered {
        entry["seq"] = json!(entry["seq"].as_u64().unwrap_or_default() + 1);
    }
    recovered
}

fn another_value(message: &mut Value) -> bool {
    let value = message.pointer_mut("/ops/0/put/value");
    value.map(|value| *value = json!("never written")).is_some()
}

/// What a newcomer is told of the storage misses a write that was there.
fn an_old_entry(message: &mut Value) -> bool {
    let entries = message.pointer_mut("/storage/entries").and_then(Value::as_object_mut);
    let Some(entries) = entries else { return false };
    let Some(key) = entries.keys().next().cloned() else { return false };
    entries.insert(key, json!("long overwritten"));
    true
}

/// Newcomers are told that they are alone.
fn members_are_left_out() -> Fault {
    Box::new(|hop| {
        if hop.way != Way::ToClient {
            return;
        }
        let Some(mut entry) = hop.told("joined") else { return };
        let you = entry["you"].clone();
        if let Some(members) = entry["members"].as_array_mut() {
            members.retain(|member| member["member"] == you);
        }
        entry["count"] = json!(1);
        hop.frames = vec![Frame::json(&entry)];
    })
}
