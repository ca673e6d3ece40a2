//! What a timeline does to the run's own server.

use super::runs::{HEAD, Ran, run};

const IN: &str = "  - { as: alice, open: {} }\n  - { as: alice, join: $room }\n";

fn own(steps: &str) -> Ran {
    run(&format!("{HEAD}own_server: true\nsteps:\n{steps}"), &[])
}

#[test]
fn a_server_is_stopped_and_started_again_where_it_was() {
    own(&format!(
        "{IN}  - stop_server: {{}}\n  - expect_exit: 0\n  \
         - {{ as: alice, expect: {{ closed: {{ by: server, clean: true }} }} }}\n  \
         - start_server: {{}}\n  - {{ as: alice, reconnect: {{ rejoin: true }} }}\n"
    ))
    .passed();
    own(&format!("{IN}  - stop_server: {{}}\n  - expect_exit: 3\n"))
        .failed("killed", "the server ended with the exit code 0, not with 3");
    own("  - { as: alice, open: {} }\n  - expect_exit: 0\n")
        .failed("killed", "the server is running");
    own("  - kill_server: {}\n  - stop_server: {}\n")
        .failed("killed", "the server has ended already (signal: 9");
    own("  - start_server: {}\n").failed("reply", "the server is running already");
}

#[test]
fn a_server_that_is_killed_says_nothing_and_leaves_no_blame() {
    own(&format!(
        "{IN}  - kill_server: {{}}\n  - {{ as: alice, expect: {{ closed: {{ clean: false }} }} }}\n  \
         - start_server: {{}}\n  - {{ as: alice, open: {{}} }}\n"
    ))
    .passed();
    // Nobody looks at how the connection ended.
    own(&format!("{IN}  - kill_server: {{}}\n  - {{ as: bob, same: [1, 1] }}\n")).passed();
    own(&format!("{IN}  - kill_server: {{}}\n  - expect_exit: 0\n"))
        .failed("killed", "signal 9 ended the server");
}

#[test]
fn a_server_of_ones_own_is_not_had_at_a_target() {
    let text = format!("{HEAD}own_server: true\nsteps:\n{IN}");
    let ran = run(&text, &["--target", "ws://127.0.0.1:9"]);
    assert_eq!(ran.code, Some(4), "{}", ran.said);
    assert!(ran.said.contains("needs a server of its own"), "{}", ran.said);
}
