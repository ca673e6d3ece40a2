//! Runs the programs under test, bounded in time, and reads what they leave behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use harness::latency::{LATENESS_LIMIT_US, STALL_LIMIT};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// How long a program may take before it is killed and its test fails.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long something may take to come about before its test fails.
const COMES: Duration = Duration::from_secs(120);
/// The longest phase of a shortened scenario, in seconds; with a fault, the longest wait for what is
/// owed, too.
const PHASE_S: u32 = 4;
/// The same for the flood that a reader who is late by two seconds still has to get through uncut,
/// when one who does not read at all is cut.
const FLOOD_S: u32 = 10;
/// The shortest deadline of a step, in seconds, where all that is asked for comes.
const WITHIN_S: u32 = 30;
const TICK: Duration = Duration::from_millis(10);

/// A call of `harness`.
pub(crate) struct Call {
    command: Command,
    report: TempDir,
}

/// What came of a call.
#[derive(Debug)]
pub(crate) struct Ran {
    /// None: ended by a signal.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    /// `run.json`; null where there is none.
    pub(crate) json: Value,
    /// Keeps the report's files until the test is done.
    pub(crate) report: TempDir,
}

/// A call that is under way.
pub(crate) struct Running {
    pub(crate) child: Child,
    out: JoinHandle<()>,
    err: JoinHandle<()>,
    said: [Said; 2],
    report: TempDir,
}

/// What a program has written so far.
type Said = Arc<Mutex<Vec<u8>>>;

impl Call {
    /// `harness` with these arguments, in a directory of its own.
    pub(crate) fn new(args: &[&str]) -> Self {
        let report = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command.args(args).current_dir(report.path());
        command.env_remove("HARNESS_TARGET").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, report }
    }

    /// `harness run` with a report.
    pub(crate) fn run(scenario: &str) -> Self {
        let mut call = Self::new(&["run", scenario]);
        let report = call.report_path();
        call.command.arg("--report").arg(report);
        call
    }

    /// `harness run` of a scenario of the test's own, with a report.
    pub(crate) fn own(file: &str, text: &str) -> Self {
        let call = Self::run(file);
        std::fs::write(call.directory().join(file), text).expect("written");
        call
    }

    /// A shipped scenario with its phases shortened: what it proves does not hang on their length.
    /// Its steps have time: what comes on an idle machine comes late on a busy one.
    pub(crate) fn shortened(scenario: &str) -> Self {
        Self::changed(scenario, |key, seconds| match key {
            "for" => seconds.min(longest(scenario)),
            "within" => seconds.max(WITHIN_S),
            _ => seconds,
        })
    }

    /// The same where something goes wrong: nobody waits long for what will not come.
    pub(crate) fn in_vain(scenario: &str) -> Self {
        Self::changed(scenario, |key, seconds| match key {
            "for" | "settle" => seconds.min(longest(scenario)),
            _ => seconds,
        })
    }

    /// A shipped scenario with other spans of whole seconds.
    fn changed(scenario: &str, change: impl Fn(&str, u32) -> u32) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let text = std::fs::read_to_string(path.join(format!("{scenario}.yaml"))).expect("shipped");
        let mut short = String::new();
        for line in text.lines() {
            let changed = ["for", "settle", "within"].into_iter().find_map(|key| {
                let (before, span) = line.split_once(&format!("{key}: "))?;
                let seconds: u32 = span.strip_suffix('s')?.parse().ok()?;
                Some(format!("{before}{key}: {}s", change(key, seconds)))
            });
            short += changed.as_deref().unwrap_or(line);
            short.push('\n');
        }
        Self::own(&format!("{scenario}.yaml"), &short)
    }

    pub(crate) fn report_path(&self) -> PathBuf {
        self.report.path().join("report")
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.report.path().to_path_buf()
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// The same call after a command of the shell.
    pub(crate) fn under_shell(mut self, first: &str) -> Self {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{first}; exec \"$@\"")).arg("sh");
        shell.arg(self.command.get_program()).args(self.command.get_args());
        shell.current_dir(self.directory()).env("NO_COLOR", "1");
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command = shell;
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Standard output goes nowhere: its reader has gone already.
    pub(crate) fn start_without_reader(self) -> Running {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        self.start_with(writer.into())
    }

    pub(crate) fn start(self) -> Running {
        self.start_with(Stdio::piped())
    }

    fn start_with(mut self, out: Stdio) -> Running {
        let mut child = self.command.stdout(out).spawn().expect("the harness starts");
        let said = [Said::default(), Said::default()];
        let [out, err] = said.clone();
        let (from_out, from_err) = (child.stdout.take(), child.stderr.take());
        let out = thread::spawn(move || keep(from_out, &out));
        let err = thread::spawn(move || keep(from_err, &err));
        Running { child, out, err, said, report: self.report }
    }

    /// Runs it to its end.
    pub(crate) fn end(self) -> Ran {
        self.start().end()
    }
}

/// The longest phase of this scenario when it is shortened.
fn longest(scenario: &str) -> u32 {
    if scenario == "slow-consumer" { FLOOD_S } else { PHASE_S }
}

impl Running {
    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ran {
        let status = end_of(&mut self.child, PATIENCE);
        self.out.join().expect("read");
        self.err.join().expect("read");
        let [out, err] = self.said.each_ref().map(text);
        let path = self.report.path().join("report/run.json");
        let json = std::fs::read(&path)
            .ok()
            .map(|json| serde_json::from_slice(&json).expect("run.json is JSON"));
        let json = json.unwrap_or_default();
        Ran { code: status.code(), out, err, json, report: self.report }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(&self.child, signal);
    }

    /// Waits until it has told of something on standard error.
    pub(crate) fn until_it_tells(&self, word: &str) {
        let [_, err] = &self.said;
        until(word, || text(err).contains(word));
    }

    /// The process ids of its children.
    pub(crate) fn children(&self) -> Vec<u32> {
        let id = self.child.id();
        let mut ids = Vec::new();
        // Any of its threads may be the parent.
        for task in std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
            let path = task.path().join("children");
            let children = std::fs::read_to_string(path).unwrap_or_default();
            ids.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        }
        ids
    }
}

impl Ran {
    /// Every check and class with findings, and how many.
    pub(crate) fn found(&self) -> Vec<(&str, &str, u64)> {
        let mut found = Vec::new();
        for check in self.json["checks"].as_array().into_iter().flatten() {
            let name = check["name"].as_str().unwrap_or_default();
            for (class, count) in check["classes"].as_object().into_iter().flatten() {
                found.push((name, class.as_str(), count.as_u64().unwrap_or(0)));
            }
        }
        found.retain(|(.., count)| *count > 0);
        found
    }

    pub(crate) fn count(&self, pointer: &str) -> u64 {
        let value = self.json.pointer(pointer).and_then(Value::as_u64);
        value.unwrap_or_else(|| panic!("no number at {pointer} in {self}"))
    }

    /// The harness itself was late or stood still: this machine was too busy to judge by the clock.
    pub(crate) fn was_late(&self) -> bool {
        let [stall, lateness] = ["stall_us", "lateness_p99_us"]
            .map(|own| self.json["generator"][own].as_u64().unwrap_or_default());
        u128::from(stall) > STALL_LIMIT.as_micros() || lateness as f64 > LATENESS_LIMIT_US
    }

    /// Exit code, findings and verdict say that all is well.
    pub(crate) fn assert_passed(&self) {
        assert_eq!(self.code, Some(0), "{self}");
        assert_eq!(self.json["verdict"], "passed", "{self}");
        assert_eq!(self.json["findings"], 0, "{self}");
        assert_eq!(self.found(), [], "{self}");
    }

    /// Nothing was found. Times may be void: a busy machine says nothing against a server.
    pub(crate) fn assert_no_findings(&self) {
        assert!(matches!(self.code, Some(0 | 4)), "{self}");
        assert_eq!(self.json["findings"], 0, "{self}");
        assert_eq!(self.found(), [], "{self}");
        let checks = self.json["checks"].as_array().into_iter().flatten();
        let judged = checks.filter(|row| row["verdict"] == "passed");
        assert!(judged.map(|row| row["facts"].as_u64()).max() > Some(Some(0)), "{self}");
    }

    /// The run failed, and this check found this class.
    pub(crate) fn assert_failed(&self, check: &str, class: &str) {
        assert_eq!(self.code, Some(1), "{self}");
        assert_eq!(self.json["verdict"], "failed", "{self}");
        let found = self.found().iter().any(|(by, what, _)| (*by, *what) == (check, class));
        assert!(found, "{check} found no {class}: {self}");
        assert!(self.json["findings"].as_u64() > Some(0), "{self}");
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { code, out, err, json, .. } = self;
        writeln!(f, "exit code {code:?}, found {:?}\n--- out\n{out}--- err\n{err}", self.found())?;
        for part in ["checks", "steps", "thresholds"] {
            for row in json[part].as_array().into_iter().flatten() {
                let row = row.to_string();
                writeln!(f, "--- {}", row.get(..2000).unwrap_or(&row))?;
            }
        }
        Ok(())
    }
}

/// The reference server as a process of its own. It ends with the value.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command.args(["serve", "--log", "error"]).args(args);
        if !args.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the server starts");
        let out = child.stdout.take().expect("piped");
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).expect("a line");
        let (scheme, address) = line.trim().split_once("://").expect("the announcement");
        assert!(["listening on ws", "listening on wss"].contains(&scheme), "{line}");
        let address = address.parse().expect("an address");
        Self { child, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(&self.child, signal);
    }

    /// One of its counters or gauges, by its whole name with labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let answer = get(self.address, "/metrics");
        let line = answer.lines().find_map(|line| line.strip_prefix(name));
        let value = line.unwrap_or_else(|| panic!("no {name} in {answer}"));
        value.trim().parse().expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended, or been stopped, by its test.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Asks by plain HTTP.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

/// Waits until the condition holds; fails when it never does.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + COMES;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(TICK);
    }
}

/// Whether a process of this id lives (a zombie does not).
pub(crate) fn lives(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

fn send(child: &Child, signal: Signal) {
    let id = i32::try_from(child.id()).expect("a process id");
    kill(Pid::from_raw(id), signal).expect("a process of ours");
}

fn end_of(child: &mut Child, patience: Duration) -> ExitStatus {
    let end = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status;
        }
        if Instant::now() >= end {
            drop(child.kill());
            drop(child.wait());
            panic!("still running after {patience:?}");
        }
        thread::sleep(TICK);
    }
}

/// Collects what is written, to its end.
fn keep(from: Option<impl Read>, said: &Said) {
    let Some(mut from) = from else { return };
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        lock(said).extend(buffer.iter().take(read));
    }
}

fn text(said: &Said) -> String {
    String::from_utf8_lossy(&lock(said)).into_owned()
}

/// A test that has failed elsewhere does not make this one fail.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
