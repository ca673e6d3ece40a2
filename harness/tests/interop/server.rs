//! Starts the servers of interop/servers, one at a time: their timers are judged, too.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long a server may take to end after its standard input was closed: never waited for when all
/// is well.
const END: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(10);

/// Only one is judged at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// A server that runs.
pub(crate) struct Foreign {
    child: Child,
    pub(crate) url: String,
    _alone: MutexGuard<'static, ()>,
}

impl Foreign {
    /// A server of interop/servers; none where its language is missing, which is told (and fails in CI).
    pub(crate) fn start(program: &str, args: &[&str]) -> Option<Self> {
        let python = prepared()?;
        let path = root().join("interop/servers").join(program);
        let is_python = path.extension().is_some_and(|extension| extension == "py");
        let interpreter = if is_python { python.as_path() } else { Path::new("node") };
        let mut command = Command::new(interpreter);
        command.arg(path).args(args).current_dir(root());
        Self::begin(command)
    }

    /// The server that this command starts.
    pub(crate) fn begin(mut command: Command) -> Option<Self> {
        prepared()?;
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it was there a moment ago");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let url = line.trim().strip_prefix("listening on ").expect("an announcement").to_owned();
        Some(Self { child, url, _alone: alone })
    }

    /// Its standard input is closed: it ends by itself, with 0.
    pub(crate) fn ends_well(mut self) {
        drop(self.child.stdin.take());
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                break status;
            }
            assert!(begun.elapsed() < END, "it still runs");
            std::thread::sleep(TICK);
        };
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The smoke test that the servers bring with them.
pub(crate) fn smoke() -> Option<Output> {
    let python = prepared()?;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new("node");
    command.args(["--test", "smoke.test.mjs"]).env("PYTHON", python);
    Some(command.current_dir(root().join("interop/servers")).output().expect("node"))
}

/// `harness`, with nothing of the surroundings.
pub(crate) fn harness() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
    command.env_remove("HARNESS_TARGET").env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// What a program has said.
pub(crate) fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    format!("{:?}\n{out}\n{err}", output.status.code())
}

/// The workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Python that has what the servers need; Node's packages are there, too.
pub(crate) fn prepared() -> Option<&'static PathBuf> {
    static PREPARED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PREPARED.get_or_init(prepare) {
        Ok(python) => Some(python),
        Err(reason) if std::env::var("CI").is_ok_and(|ci| ci == "true") => panic!("{reason}"),
        Err(reason) => {
            // What is printed in the usual way is shown of tests that fail only.
            drop(writeln!(std::io::stderr(), "skipped: {reason}"));
            None
        }
    }
}

fn prepare() -> Result<PathBuf, String> {
    let ran = Command::new(root().join("interop/setup")).output();
    let ran = ran.map_err(|error| format!("interop/setup: {error}"))?;
    let python = root().join("target/interop/python/bin/python");
    ran.status.success().then_some(python).ok_or_else(|| said(&ran))
}
