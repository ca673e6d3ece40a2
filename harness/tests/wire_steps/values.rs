//! Comparisons, and what makes a verdict.

use super::runs::{HEAD, run, steps};

const NAMED: &str = "  - { as: crowd, open: {} }\n  - { as: crowd, join: $room }\n  \
                     - { as: crowd, expect: { frame: { type: joined, you: $you, epoch: $epoch } } }\n";

fn named(more: &str) -> super::runs::Ran {
    steps(&format!("{NAMED}{more}"))
}

#[test]
fn values_are_compared() {
    named("  - { as: crowd, distinct: you }\n  - { as: crowd, equal: $epoch }\n").passed();
    named("  - { as: crowd, distinct: epoch }\n")
        .failed("identity", "`epoch` should be another one for each: crowd-");
    named("  - { as: crowd, equal: you }\n").failed("view", "`you` should be the same for all");
    named("  - { as: alice, same: [$run, $run] }\n  - { as: alice, differ: [1, 2, $me] }\n")
        .passed();
    named("  - { as: alice, same: [1, 1, '1'] }\n")
        .failed("reply", "1 and 1 should be the same: 1 and \"1\"");
    named("  - { as: alice, differ: [$me, 2, $me] }\n")
        .failed("reply", "$me and $me should differ");
    let times = "'2026-01-02T03:04:05.5Z', '2026-01-02T03:04:05.51Z', '2026-01-02T04:04:06+01:00'";
    named(&format!(
        "  - {{ as: alice, ordered: [-1, 1, 1, 2.5] }}\n  - {{ as: alice, ordered: [{times}] }}\n"
    ))
    .passed();
    for (values, odd) in [
        ("2, 1", "2 and 1"),
        ("1, 2, '3'", "2 and 3"),
        ("'2026-01-02T03:04:05Z', '2026-01-02T03:04:04.999Z'", "04.999Z"),
        ("'2026-01-02T03:04:05Z', yesterday", "2026-01-02T03:04:05Z and yesterday"),
    ] {
        let odd = format!("{odd} should be numbers or times in this order");
        named(&format!("  - {{ as: alice, ordered: [{values}] }}\n")).failed("reply", &odd);
    }
    named("  - { as: bob, same: [$alice.you, 1] }\n  - { as: alice, expect: { frame: { you: $you } } }\n")
        .failed("reply", "`$alice.you` has no value here");
}

#[test]
fn a_breach_is_called_what_the_scenario_says() {
    named("  - { as: alice, class: auth, same: [1, 2] }\n").failed("auth", "1 and 2");
    named("  - { class: limit, together: [{ as: alice, same: [1, 2] }] }\n").failed("limit", "1");
    let all = |step: &str| run(&format!("{HEAD}class: storage\nsteps:\n{step}"), &[]);
    all("  - { as: alice, same: [1, 2] }\n").failed("storage", "1 and 2");
    all("  - { as: alice, class: view, same: [1, 2] }\n").failed("view", "1 and 2");
    // How a connection ended is a finding of its own.
    let ended = "  - { as: alice, open: {} }\n  - { as: alice, close: {} }\n  \
                 - { as: alice, expect: { frame: { type: nothing } } }\n";
    all(ended).failed("close", "the connection ended first");
}

#[test]
fn too_little_traffic_is_inconclusive() {
    let minimum = |minimum: &str| {
        let head = format!("{HEAD}traffic: {{ {minimum} }}\n");
        let talk = "  - { as: alice, open: {} }\n  - { as: alice, join: $room }\n  \
                    - { as: bob, open: {} }\n  - { as: bob, join: $room }\n  \
                    - { as: bob, say: hi }\n  - { as: alice, expect: { message: hi } }\n";
        run(&format!("{head}steps:\n{talk}"), &[])
    };
    minimum("deliveries: 1, frames: 5, events: 5").passed();
    minimum("deliveries: 2").inconclusive("only 1 deliveries were seen");
    minimum("faults: 1/1000").inconclusive("with a chance below 1e-6 only takes at least 13809");
    minimum("faults: 1/1").passed();
    minimum("frames: 100").inconclusive("the scenario asks for at least 100");
    minimum("events: 100").inconclusive("events were seen");
}

#[test]
fn an_expectation_that_was_met_is_a_fact() {
    let ran = steps("  - { as: alice, handshake: {} }\n");
    ran.passed();
    assert_eq!(ran.json["expectations"], 1, "{}", ran.said);
    steps("  - { wait: 10ms }\n").inconclusive("nothing was judged");
}
