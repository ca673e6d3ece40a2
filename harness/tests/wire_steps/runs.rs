//! Runs small scenarios through the program, and reads what came of them.

use std::process::Command;

use serde_json::Value;

/// Clients and a room, for steps that need no more.
pub(crate) const HEAD: &str = "\
scenario: t
clients: { alice: {}, bob: {}, crowd: { clients: 3 } }
vars: { room: lobby-$run }
";

/// A dialect that knows nothing: for servers of a test's own.
const PLAIN: &str = "dialect: plain\nencoding: text\nconnect: { path: / }\nsend: {}\n";

/// What came of a run.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) json: Value,
    pub(crate) said: String,
}

/// Runs a scenario, at the target or with a server of its own.
pub(crate) fn run(text: &str, args: &[&str]) -> Ran {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).expect("written");
    };
    write("t.yaml", text);
    write("plain.yaml", PLAIN);
    let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
    command.args(["run", "t.yaml", "--quiet", "--report", "report"]).args(args);
    command.current_dir(directory.path()).env_remove("HARNESS_TARGET").env("NO_COLOR", "1");
    let output = command.output().expect("the harness starts");
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    let json = std::fs::read(directory.path().join("report/run.json")).unwrap_or_default();
    let json = serde_json::from_slice(&json).unwrap_or_default();
    Ran { code: output.status.code(), json, said: said.concat() }
}

/// Runs these steps with a server of the run's own.
pub(crate) fn steps(steps: &str) -> Ran {
    run(&format!("{HEAD}steps:\n{steps}"), &[])
}

impl Ran {
    pub(crate) fn passed(&self) {
        assert_eq!(self.code, Some(0), "{}", self.said);
        assert_eq!(self.json["verdict"], "passed", "{}", self.said);
        assert_eq!(self.json["findings"], 0, "{}", self.said);
    }

    /// A step failed with this class, and in these words.
    pub(crate) fn failed(&self, class: &str, words: &str) {
        assert_eq!(self.code, Some(1), "{}", self.said);
        self.found("steps", class);
        let steps = self.json["steps"].as_array().into_iter().flatten();
        let mut messages = steps.filter_map(|step| step["message"].as_str());
        assert!(messages.any(|message| message.contains(words)), "not `{words}`: {}", self.said);
    }

    /// A check found something of this class.
    pub(crate) fn found(&self, check: &str, class: &str) {
        let checks = self.json["checks"].as_array().into_iter().flatten();
        let mut own = checks.filter(|it| it["name"] == check);
        let found = own.any(|it| it["classes"][class].as_u64() > Some(0));
        assert!(found, "no {class} by {check}: {}", self.said);
    }

    pub(crate) fn inconclusive(&self, words: &str) {
        assert_eq!(self.code, Some(4), "{}", self.said);
        assert!(self.said.contains(words), "not `{words}`: {}", self.said);
    }
}
