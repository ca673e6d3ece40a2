//! Runs the proxy as users do, and runs of the harness through it.

use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::server::harness;

/// A proxy that runs. It ends with the value.
pub(crate) struct Middle {
    child: Child,
    pub(crate) url: String,
    scratch: TempDir,
}

impl Middle {
    /// Before this server, with these faults and more options.
    pub(crate) fn start(target: &str, faults: &[&str], options: &[&str]) -> Self {
        let scratch = tempfile::tempdir().expect("a directory");
        let mut command = harness();
        command.args(["proxy", "--target", target, "--seed", "7", "--until-stdin-closes"]);
        command.args(options).arg("--record").arg(scratch.path().join("record"));
        for fault in faults {
            command.args(["--fault", fault]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the harness starts");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        out.read_line(&mut line).expect("a line");
        let Some(url) = line.trim().strip_prefix("listening on ").map(str::to_owned) else {
            let mut said = String::new();
            let err = child.stderr.as_mut().expect("piped");
            err.read_to_string(&mut said).expect("text");
            panic!("{faults:?}: {line}{said}");
        };
        // Nobody reads what it prints: it must not stand still because of that.
        Self { child, url, scratch }
    }

    /// Ends it, and says what it has recorded.
    pub(crate) fn recorded(mut self) -> Vec<Value> {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("our own child");
        assert_eq!(status.code(), Some(0));
        let text = std::fs::read_to_string(self.scratch.path().join("record")).expect("a record");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What came of a run.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) json: Value,
    pub(crate) said: String,
}

/// Runs a scenario.
pub(crate) fn run(text: &str, args: &[&str]) -> Ran {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("t.yaml"), text).expect("written");
    let mut command = harness();
    command.args(["run", "t.yaml", "--quiet", "--report", "report"]).args(args);
    finish(command.current_dir(directory.path()), directory.path())
}

fn finish(command: &mut Command, directory: &Path) -> Ran {
    let output = command.output().expect("the harness starts");
    let json = std::fs::read(directory.join("report/run.json")).unwrap_or_default();
    let json = serde_json::from_slice(&json).unwrap_or_default();
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    Ran { code: output.status.code(), json, said: said.concat() }
}

impl Ran {
    /// The classes of what was found.
    pub(crate) fn classes(&self) -> Vec<String> {
        let checks = self.json["checks"].as_array().into_iter().flatten();
        let classes = checks.filter_map(|check| check["classes"].as_object());
        classes.flat_map(|classes| classes.keys().cloned()).collect()
    }

    pub(crate) fn passed(&self) {
        assert_eq!(self.code, Some(0), "{}", self.said);
        assert_eq!(self.json["findings"], 0, "{}", self.said);
    }
}
