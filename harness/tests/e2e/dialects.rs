//! Every shipped scenario passes on every dialect that can carry it, and finds there what is wrong.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::proxy::{Fault, Frame, Hop, Proxy, TEXT, Way};
use super::runs::{Call, Ran, Server};
use super::scenarios::{assert_passes, beside, small};

/// Runs a scenario against a server that the harness starts itself.
fn run_once(scenario: &str, dialect: &str, more: &[&str]) -> Ran {
    let (args, server_args) = small(scenario);
    let server_args = server_args.join(" ");
    let call = Call::shortened(scenario).args(args).args(&["--dialect", dialect]).args(more);
    if server_args.is_empty() || server_args.contains("--heartbeat") {
        // The scenario itself says what heartbeat its server has.
        return call.end();
    }
    call.args(&["--server-args", &server_args]).end()
}

macro_rules! passes {
    ($($test:ident: $scenario:literal, $dialect:literal;)*) => {$(
        #[test]
        fn $test() {
            assert_passes(|| run_once($scenario, $dialect, &[]));
        }
    )*};
}

passes! {
    broadcast_passes_on_project: "broadcast", "project";
    broadcast_passes_on_rooms: "broadcast", "rooms";
    broadcast_passes_on_events: "broadcast", "events";
    broadcast_passes_on_pusher: "broadcast", "pusher";
    broadcast_passes_on_pusher_presence: "broadcast", "pusher-presence";
    fan_out_passes_on_project: "fan-out", "project";
    fan_out_passes_on_events: "fan-out", "events";
    fan_out_passes_on_pusher: "fan-out", "pusher";
    join_passes_on_project: "join", "project";
    join_passes_on_rooms: "join", "rooms";
    join_passes_on_events: "join", "events";
    join_passes_on_pusher: "join", "pusher";
    join_passes_on_pusher_presence: "join", "pusher-presence";
    one_to_one_passes_on_chat: "one-to-one", "chat";
    presence_storm_passes_on_rooms: "presence-storm", "rooms";
    slow_consumer_passes_on_rooms: "slow-consumer", "rooms";
    storage_passes_on_rooms: "storage", "rooms";
    timeout_disconnect_passes_on_project: "timeout-disconnect", "project";
    timeout_disconnect_passes_on_rooms: "timeout-disconnect", "rooms";
    timeout_disconnect_passes_on_events: "timeout-disconnect", "events";
    timeout_disconnect_passes_on_pusher: "timeout-disconnect", "pusher";
    timeout_disconnect_passes_on_pusher_presence: "timeout-disconnect", "pusher-presence";
}

macro_rules! passes_with {
    ($($test:ident: $scenario:literal, $dialect:literal, $var:literal;)*) => {$(
        #[test]
        fn $test() {
            assert_passes(|| run_once($scenario, $dialect, &["--var", $var]));
        }
    )*};
}

// The backend signs, or speaks.
passes_with! {
    pusher_channels_are_authorized_by_the_servers_own_endpoint:
        "join", "pusher", "authorized=fetch";
    pusher_presence_channels_are_authorized_by_the_servers_own_endpoint:
        "join", "pusher-presence", "authorized=fetch";
    broadcast_passes_on_pusher_when_it_is_published_over_http:
        "broadcast", "pusher", "said_by=backend";
    broadcast_passes_on_cache_channels_of_pusher:
        "broadcast", "pusher", "kind=private-cache";
    slow_consumer_passes_on_pusher_presence_when_it_is_published_over_http:
        "slow-consumer", "pusher-presence", "said_by=backend";
}

#[test]
fn a_scenario_that_a_dialect_cannot_carry_says_why() {
    let ran = Call::run("broadcast").args(&["--dialect", "chat"]).end();
    assert_eq!(ran.code, Some(4), "{ran}");
    let why = "skipped: dialect chat lacks join-by-name";
    assert!(ran.out.contains(why), "{ran}");
}

/// Every `n`th text to a client that has this in it meets with something.
fn each(
    part: &'static str,
    n: usize,
    mut meets: impl FnMut(&mut Hop<'_>) + Send + 'static,
) -> Fault {
    let mut count = 0;
    Box::new(move |hop| {
        let text =
            String::from_utf8_lossy(hop.frames.first().map_or(&[], |it| &it.payload)).into_owned();
        if hop.way == Way::ToClient && hop.opcode() == TEXT && text.contains(part) {
            count += 1;
            if count % n == 0 {
                meets(hop);
            }
        }
    })
}

fn drop_each(part: &'static str, n: usize) -> Fault {
    each(part, n, |hop| hop.frames.clear())
}

fn double_each(part: &'static str, n: usize) -> Fault {
    each(part, n, |hop| hop.frames.extend_from_within(..))
}

/// Of the texts to a client that have this in them, the second is lost. Whose comes first, of those to
/// several clients, nobody knows.
fn drop_second(part: &'static str) -> Fault {
    let mut counts = BTreeMap::new();
    each(part, 1, move |hop| {
        let count = counts.entry(hop.conn).or_insert(0);
        *count += 1;
        if *count == 2 {
            hop.frames.clear();
        }
    })
}

/// What a newcomer is told of the content is not what the others have.
fn spoil_snapshots() -> Fault {
    each("StorageUpdated", 1, |hop| {
        let Some(mut update) = hop.message() else { return };
        let operations = update.pointer_mut("/StorageUpdated/operations");
        if let Some(operations) = operations.and_then(Value::as_array_mut)
            && operations.len() > 1
            && let Some(value) =
                operations.iter_mut().find_map(|it| it.pointer_mut("/Insert/value"))
        {
            *value = json!("spoilt");
            hop.frames = vec![Frame::json(&update)];
        }
    })
}

/// The check must find the class on this dialect.
fn assert_finds(scenario: &str, dialect: &str, (check, class): (&str, &str), fault: Fault) {
    let _beside = beside();
    let (args, server_args) = small(scenario);
    let server = Server::start(server_args);
    let proxy = Proxy::start(server.address, fault);
    let call = Call::in_vain(scenario).args(args).args(&["--dialect", dialect]);
    call.args(&["--target", &proxy.url()]).end().assert_failed(check, class);
}

macro_rules! finds {
    ($($test:ident: $scenario:literal, $dialect:literal, $check:literal, $class:literal, $fault:expr;)*) => {$(
        #[test]
        fn $test() {
            assert_finds($scenario, $dialect, ($check, $class), $fault);
        }
    )*};
}

finds! {
    project_a_text_that_does_not_arrive:
        "broadcast", "project", "delivery", "loss", drop_each("~H", 500);
    project_a_text_that_comes_twice:
        "broadcast", "project", "delivery", "duplicate", double_each("~H", 500);
    project_a_fixed_text_that_comes_twice:
        "join", "project", "delivery", "duplicate", double_each("hello bob", 1);
    rooms_a_write_that_does_not_arrive:
        "storage", "rooms", "storage", "storage", drop_each("StorageUpdated", 200);
    rooms_a_version_that_is_left_out:
        "broadcast", "rooms", "numbering", "loss", drop_each("StorageUpdated", 500);
    rooms_a_newcomer_with_another_content:
        "storage", "rooms", "storage", "snapshot", spoil_snapshots();
    rooms_a_newcomer_who_is_not_announced:
        "join", "rooms", "steps", "notice", drop_second("RoomJoined");
    rooms_a_newcomer_who_is_announced_twice:
        "join", "rooms", "membership", "notice", double_each("RoomJoined", 1);
    rooms_an_entry_that_is_told_twice:
        "timeout-disconnect", "rooms", "protocol", "reply", double_each("RoomJoined", 1);
    pusher_a_message_that_does_not_arrive:
        "broadcast", "pusher", "delivery", "loss", drop_each("client-message", 500);
    pusher_a_message_that_comes_twice:
        "broadcast", "pusher", "delivery", "duplicate", double_each("client-message", 500);
    pusher_a_member_who_is_not_announced:
        "join", "pusher-presence", "steps", "notice", drop_each("member_added", 1);
    pusher_a_member_who_is_announced_twice:
        "join", "pusher-presence", "membership", "notice", double_each("member_added", 1);
    pusher_a_farewell_that_does_not_come:
        "join", "pusher-presence", "steps", "notice", drop_each("member_removed", 1);
    chat_a_farewell_that_does_not_come:
        "one-to-one", "chat", "steps", "notice", drop_each("partner_left", 1);
    chat_a_message_that_does_not_arrive:
        "one-to-one", "chat", "delivery", "loss", drop_each(r#""type":"chat""#, 200);
}
