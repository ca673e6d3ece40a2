//! The command line of `harness proxy`, and the page that documents it.

use harness::proxy::{CONDITIONS, FAULTS, parse};

use super::server::harness;

const PAGE: &str = include_str!("../../../docs/PROXY.md");

#[test]
fn every_fault_and_condition_is_documented() {
    for (fault, argument, meaning) in FAULTS {
        let row = format!("| `{fault}` | {argument} | {meaning} |");
        assert!(PAGE.contains(&row.replace("|  |", "| |")), "{row}");
    }
    for (condition, meaning) in CONDITIONS {
        assert!(PAGE.contains(&format!("| `{condition}` | {meaning} |")), "{condition}: {meaning}");
    }
}

/// Each rule on the page, in single or double quotes behind `--fault`.
#[test]
fn every_rule_on_the_page_is_right() {
    let rules = PAGE.split("--fault \"").skip(1).filter_map(|rest| rest.split('"').next());
    let rules: Vec<&str> = rules.collect();
    assert!(rules.len() > 3);
    for rule in rules {
        parse(rule).unwrap_or_else(|problems| panic!("{problems}"));
    }
}

#[test]
fn mistakes_are_told_before_anything_begins() {
    for (args, code, told) in [
        (&["--fault", "dorp"][..], 2, "did you mean `drop`?"),
        (&["--fault", "drop event=message"], 2, "add --dialect"),
        (&["--fault", "drop at=bob"], 2, "name a connection by"),
        (&["--fault", "drop at=crowd/3"], 2, "only scenarios have groups"),
        (&["--var", "x=1"], 2, "--dialect"),
        (&["--fault", "drop event=presence", "--dialect", "chat"], 2, "has no such event"),
        (&["--dialect", "nonsense"], 2, "nonsense"),
        (&["--dialect", "native", "--var", "x=1"], 2, "has no such parameter"),
        (&["--listen", "nowhere"], 2, "--listen"),
        (&["--record", "/nonexistent/record"], 5, "/nonexistent/record"),
    ] {
        let mut command = harness();
        let output = command.args(["proxy", "--target", "ws://127.0.0.1:1"]).args(args).output();
        let output = output.expect("the harness starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(told), "{args:?}: {said}");
    }
    let output = harness().args(["proxy", "--target", "ws://127.0.0.1:1/ws"]).output();
    let said = output.expect("the harness starts").stderr;
    assert!(String::from_utf8_lossy(&said).contains("the path is for the client to say"));
}
