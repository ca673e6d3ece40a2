//! The shipped scenarios made small: so few clients and so short that hundreds of them can be run, and
//! still with real traffic. Limits on latencies go: they are about the sizes.

use crate::plan::Source;
use crate::scenario::files;
use crate::scenario::{Problems, Scenario};

/// The scenarios that come with the program.
pub const NAMES: [&str; 9] = [
    "broadcast",
    "fan-out",
    "join",
    "one-to-one",
    "presence-storm",
    "reconnect",
    "slow-consumer",
    "storage",
    "timeout-disconnect",
];

/// What is said otherwise: in which scenario, what stands there, and what instead. The number of rooms
/// gets another name: a profile may have a limit that is called `rooms`, and its word would stand over
/// the scenario's.
pub const EDITS: [(&str, &str, &str); 40] = [
    ("broadcast", "rooms: 50 ", "halls: 4 "),
    ("broadcast", "$shard(rooms)", "$shard(halls)"),
    ("broadcast", "clients: 5000\n", "clients: 40\n"),
    ("broadcast", "for: 3s\n", "for: 1s\n"),
    ("broadcast", "for: 20s\n", "for: 2s\n"),
    ("broadcast", "  deliver.latency: { p50: <100ms, p99: <500ms }\n", "\n"),
    ("fan-out", "clients: 5000,", "clients: 50,"),
    ("fan-out", "for: 2s\n", "for: 1s\n"),
    ("fan-out", "for: 15s\n", "for: 3s\n"),
    ("fan-out", "every: 2/s\n", "every: 10/s\n"),
    ("fan-out", "every: 4/s\n", "every: 20/s\n"),
    ("fan-out", "  deliver.latency: { p99: <500ms }\n", "\n"),
    ("one-to-one", "host: { clients: 1000,", "host: { clients: 15,"),
    ("one-to-one", "guest: { clients: 1000,", "guest: { clients: 15,"),
    ("one-to-one", "for: 15s\n", "for: 2s\n"),
    ("one-to-one", "every: 400/s\n", "every: 150/s\n"),
    ("one-to-one", "every: 100/s\n", "every: 30/s\n"),
    ("one-to-one", "  deliver.latency: { p50: <100ms, p99: <500ms }\n", "\n"),
    ("presence-storm", "clients: 500,", "clients: 20,"),
    ("presence-storm", "for: 10s\n", "for: 2s\n"),
    ("reconnect", "rooms: 10 ", "halls: 2 "),
    ("reconnect", "$shard(rooms)", "$shard(halls)"),
    ("reconnect", "clients: 10\n", "clients: 2\n"),
    ("reconnect", "clients: 500\n", "clients: 20\n"),
    ("reconnect", "for: 10s\n", "for: 3s\n"),
    ("reconnect", "wait: 3s\n", "wait: 1s\n"),
    ("reconnect", "  reconnect.latency: { p99: <5s }\n", "\n"),
    ("slow-consumer", "clients: 10,", "clients: 3,"),
    ("slow-consumer", "for: 20s\n", "for: 8s\n"),
    ("slow-consumer", "every: 200/s\n", "every: 400/s\n"),
    ("slow-consumer", "  deliver.latency: { p99: <500ms }\n", "\n"),
    ("storage", "rooms: 5,", "halls: 2,"),
    ("storage", "$shard(rooms)", "$shard(halls)"),
    ("storage", "clients: 50\n", "clients: 10\n"),
    ("storage", "clients: 5\n", "clients: 2\n"),
    ("storage", "for: 10s\n", "for: 2s\n"),
    ("timeout-disconnect", "clients: 20,", "clients: 6,"),
    ("broadcast", "ramp: 1000/s", "ramp: 200/s"),
    ("fan-out", "ramp: 1000/s", "ramp: 200/s"),
    ("reconnect", "ramp: 500/s", "ramp: 200/s"),
];

/// A scenario by its name, made small.
///
/// # Errors
/// There is none of this name, or something is wrong with it.
pub fn small(name: &str) -> Result<Scenario, Problems> {
    Scenario::parse(edited(name, files::scenario(name)?))
}

/// A scenario's file as the table says; its lines stay where they are.
fn edited(name: &str, source: Source) -> Source {
    let mut text = source.text.to_string();
    for (_, written, instead) in EDITS.iter().filter(|(scenario, ..)| *scenario == name) {
        text = text.replace(written, instead);
    }
    Source { text: text.into(), ..source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edit_changes_something_and_every_scenario_stays_right() {
        for name in NAMES {
            let source = files::scenario(name).expect("a scenario that comes with the program");
            for (_, written, _) in EDITS.iter().filter(|(scenario, ..)| *scenario == name) {
                assert!(source.text.contains(written), "{name}: {written}");
            }
            let lines = source.text.lines().count();
            let small = small(name).unwrap_or_else(|problems| panic!("{name}: {problems}"));
            assert_eq!(small.source.text.lines().count(), lines, "{name}");
        }
        let shipped: Vec<String> =
            files::shipped_scenarios().into_iter().map(|it| it.name).collect();
        let named: Vec<String> =
            NAMES.iter().map(|name| format!("scenarios/{name}.yaml")).collect();
        assert_eq!(shipped, named, "which scenarios there are");
    }
}
