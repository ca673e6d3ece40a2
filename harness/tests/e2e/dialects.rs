//! Every shipped scenario passes on every dialect that can carry it.

use std::sync::PoisonError;

use super::runs::{Call, Ran};
use super::scenarios::{ATTEMPTS, MACHINE, SCENARIOS, tell_again};

/// Runs a scenario against a server that the harness starts itself.
fn run_once(scenario: &str, dialect: &str) -> Ran {
    let known = SCENARIOS.iter().find(|(name, ..)| *name == scenario);
    let (_, args, server_args) = known.expect("a shipped scenario");
    let server_args = server_args.join(" ");
    let call = Call::shortened(scenario).args(args).args(&["--dialect", dialect]);
    if server_args.is_empty() || server_args.contains("--heartbeat") {
        // The scenario itself says what heartbeat its server has.
        return call.end();
    }
    call.args(&["--server-args", &server_args]).end()
}

/// It must pass. A busy machine may make it inconclusive, but never fail.
fn assert_passes(scenario: &str, dialect: &str) {
    let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    for attempt in 1..=ATTEMPTS {
        let ran = run_once(scenario, dialect);
        if ran.code != Some(4) || attempt == ATTEMPTS {
            return ran.assert_passed();
        }
        tell_again();
    }
}

macro_rules! passes {
    ($($test:ident: $scenario:literal, $dialect:literal;)*) => {$(
        #[test]
        fn $test() {
            assert_passes($scenario, $dialect);
        }
    )*};
}

passes! {
    broadcast_passes_on_project: "broadcast", "project";
    broadcast_passes_on_rooms: "broadcast", "rooms";
    broadcast_passes_on_events: "broadcast", "events";
    fan_out_passes_on_project: "fan-out", "project";
    fan_out_passes_on_events: "fan-out", "events";
    join_passes_on_project: "join", "project";
    join_passes_on_rooms: "join", "rooms";
    join_passes_on_events: "join", "events";
    one_to_one_passes_on_chat: "one-to-one", "chat";
    presence_storm_passes_on_rooms: "presence-storm", "rooms";
    slow_consumer_passes_on_rooms: "slow-consumer", "rooms";
    storage_passes_on_rooms: "storage", "rooms";
    timeout_disconnect_passes_on_project: "timeout-disconnect", "project";
    timeout_disconnect_passes_on_rooms: "timeout-disconnect", "rooms";
    timeout_disconnect_passes_on_events: "timeout-disconnect", "events";
}

#[test]
fn a_scenario_that_a_dialect_cannot_carry_says_why() {
    let ran = Call::run("broadcast").args(&["--dialect", "chat"]).end();
    assert_eq!(ran.code, Some(4), "{ran}");
    let why = "skipped: dialect chat lacks join-by-name";
    assert!(ran.out.contains(why), "{ran}");
}
