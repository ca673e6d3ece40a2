//! Runs the proxy as users do, and runs of the harness through it.

use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::server::harness;

/// A program that runs, and has said where it listens. It ends with the value.
pub(crate) struct Program {
    child: Child,
    pub(crate) url: String,
}

impl Program {
    /// `harness` with these arguments.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = harness();
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the harness starts");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        out.read_line(&mut line).expect("a line");
        let Some(url) = line.trim().strip_prefix("listening on ").map(str::to_owned) else {
            let mut said = String::new();
            let err = child.stderr.as_mut().expect("piped");
            err.read_to_string(&mut said).expect("text");
            panic!("{args:?}: {line}{said}");
        };
        Self { child, url }
    }

    /// Closes its standard input, and waits for its end.
    fn end(&mut self) -> Option<i32> {
        drop(self.child.stdin.take());
        self.child.wait().expect("our own child").code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A proxy that runs. It ends with the value.
pub(crate) struct Middle {
    program: Program,
    pub(crate) url: String,
    scratch: TempDir,
}

impl Middle {
    /// Before this server, with these faults and more options. It prints little: nobody reads that.
    pub(crate) fn start(target: &str, faults: &[&str], options: &[&str]) -> Self {
        let scratch = tempfile::tempdir().expect("a directory");
        let record = scratch.path().join("record").display().to_string();
        let mut args = vec!["proxy", "--target", target, "--seed", "7", "--until-stdin-closes"];
        args.extend(options);
        args.extend(["--record", record.as_str()]);
        args.extend(faults.iter().flat_map(|fault| ["--fault", *fault]));
        let program = Program::start(&args);
        Self { url: program.url.clone(), program, scratch }
    }

    /// Ends it, and says what it has recorded.
    pub(crate) fn recorded(mut self) -> Vec<Value> {
        assert_eq!(self.program.end(), Some(0));
        let text = std::fs::read_to_string(self.scratch.path().join("record")).expect("a record");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
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
