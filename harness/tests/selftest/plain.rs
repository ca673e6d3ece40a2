//! A build without mutants says so, and can still run the good server.

use std::process::{Command, Output};

fn selftest(args: &[&str]) -> Output {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut harness = Command::new(env!("CARGO_BIN_EXE_harness"));
    let report = directory.path().join("report");
    harness.arg("selftest").args(args).arg("--report").arg(report);
    harness.output().expect("the harness runs")
}

#[test]
fn without_mutants_it_cannot_run_and_says_how_to() {
    let ran = selftest(&[]);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(3), "{said}");
    assert!(said.contains("cargo run -p harness --features mutants -- selftest"), "{said}");
    assert!(said.contains("--good-only"), "{said}");
}

#[test]
fn good_runs_need_none() {
    let args = ["--good-only", "--runs", "9", "--seed", "4", "--dialect", "rooms"];
    let ran = selftest(&args);
    let out = String::from_utf8_lossy(&ran.stdout);
    let said = String::from_utf8_lossy(&ran.stderr);
    // What says nothing on a machine that stands still says nothing; what accuses is a failure.
    assert!(matches!(ran.status.code(), Some(0 | 4)), "{out}\n{said}");
    let last = out.lines().last().unwrap_or_default();
    assert!(last.contains("  findings: 0  report: "), "{out}");
    for strain in ["as they are:", "beside load:", "throttled:"] {
        assert!(out.contains(&format!("{strain:<13} 3 runs, 0 false alarms")), "{out}");
    }
}

#[test]
fn names_that_mean_nothing_are_mistakes() {
    for (args, expected) in [
        (["--dialect", "romos"], "did you mean rooms?"),
        (["--mutant", "los-1-in-n"], "did you mean loss-1-in-n?"),
    ] {
        let ran = selftest(&args);
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
