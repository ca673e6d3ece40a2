//! The reference server as a child process, when a run has no target.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;

/// How long the server may take to say where it listens.
const START: Duration = Duration::from_secs(10);
/// How long it may take to end when its standard input has ended.
const END: Duration = Duration::from_secs(5);
/// How much of its log is kept for the case that it dies, in bytes.
const LOG_BYTES_MAX: usize = 8 << 10;
/// How long a process may take to end after its output has.
const ENDING: Duration = Duration::from_secs(1);
const ANNOUNCEMENT: &str = "listening on ";

/// A running reference server. It ends when this is dropped, and also when this process dies: its
/// standard input ends then.
#[derive(Debug)]
pub struct ChildServer {
    child: Child,
    stdin: Option<ChildStdin>,
    url: String,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    args: Vec<String>,
    announced: Receiver<String>,
    /// The timeline has ended it, and not started it again.
    down: bool,
}

impl ChildServer {
    /// Starts this very program as a server on a free port of the loopback interface.
    ///
    /// # Errors
    /// The process cannot be started, or does not say in time where it listens.
    pub fn start(args: &[String]) -> io::Result<Self> {
        let mut server = Self::begin("127.0.0.1:0", args)?;
        let url = server.announced.recv_timeout(START).map_err(|_| server.silence())?;
        server.url = url;
        Ok(server)
    }

    /// Starts the process; where it listens, it says later.
    fn begin(listen: &str, args: &[String]) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--listen", listen, "--until-stdin-closes"]).args(args);
        // It listens on the loopback interface only: these are for whoever can run programs here
        // anyway.
        let more = ["--publish", "--admin"].into_iter();
        command.args(more.filter(|flag| !args.iter().any(|arg| arg == flag)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C in a terminal goes to the whole group: the server must outlive it, so that the
        // interrupted run can still be told apart from a server that died.
        command.process_group(0);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let log = Arc::new(Mutex::new(String::new()));
        let reader = child.stderr.take().map(|stderr| keep_log(stderr, Arc::clone(&log)));
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
        let announced = announcement(stdout)?;
        let (args, url) = (args.to_vec(), String::new());
        Ok(Self { child, stdin, url, log, reader, args, announced, down: false })
    }

    /// Ends it, or begins to, because the timeline wants it.
    pub(super) fn take_down(&mut self, signal: Signal) -> io::Result<()> {
        // Its number may be another process's by now.
        if let Some(status) = self.child.try_wait()? {
            return Err(io::Error::other(format!("the server has ended already ({status})")));
        }
        self.down = true;
        let id = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        kill(Pid::from_raw(id), signal).map_err(io::Error::from)
    }

    /// Whether the timeline has ended it.
    pub(super) fn is_down(&self) -> bool {
        self.down
    }

    /// How it ended, if it has.
    pub(super) fn status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Starts it again, where it was and with the same arguments. It is up when it says so
    /// ([`Self::is_up`]).
    pub(super) fn start_again(&mut self) -> io::Result<()> {
        let listen = self.url.trim_start_matches("ws://").to_owned();
        let mut again = Self::begin(&listen, &self.args)?;
        again.url.clone_from(&self.url);
        again.down = true;
        *self = again;
        Ok(())
    }

    /// Whether it has said that it listens; an error when it never will.
    pub(super) fn is_up(&mut self) -> io::Result<bool> {
        if self.announced.try_recv().is_ok() {
            self.down = false;
            return Ok(true);
        }
        if self.child.try_wait()?.is_some() { Err(self.silence()) } else { Ok(false) }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Err(error) = self.child.kill() {
            tracing::debug!(%error, "the reference server had ended already");
        }
    }

    /// How it ended, if it has: a sentence with the end of its log.
    pub fn has_ended(&mut self) -> Option<String> {
        if self.down { None } else { self.end() }
    }

    fn end(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        let log = self.log.lock();
        let last = log.lines().last().unwrap_or_default();
        Some(format!("the reference server ended with {status}; its last line: {last}"))
    }

    /// Why it does not say where it listens.
    fn silence(&mut self) -> io::Error {
        // Its output ends a moment before it does.
        let patience = Instant::now() + ENDING;
        while self.child.try_wait().is_ok_and(|status| status.is_none())
            && Instant::now() < patience
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        let why = match self.child.try_wait() {
            Ok(Some(_)) => {
                if let Some(Err(_)) = self.reader.take().map(JoinHandle::join) {
                    tracing::warn!("the log reader panicked");
                }
                // What was wrong comes first, then what would have been right.
                let log = self.log.lock();
                log.lines().next().unwrap_or("it ended without a word").to_owned()
            }
            _ => format!("it said nothing in {START:?}"),
        };
        io::Error::other(format!("the reference server did not start: {why}"))
    }
}

/// Reads standard output up to the line that says where the server listens; on from there a thread
/// empties it, so that the server never waits for us.
fn announcement(stdout: impl Read + Send + 'static) -> io::Result<Receiver<String>> {
    let (tell, told) = mpsc::channel();
    std::thread::Builder::new().name("server-output".to_owned()).spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(url) = line.strip_prefix(ANNOUNCEMENT) {
                // Nobody waits any more: the announcement came too late.
                if tell.send(url.trim().to_owned()).is_err() {
                    return;
                }
            }
        }
    })?;
    Ok(told)
}

fn keep_log(stderr: impl Read + Send + 'static, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut log = log.lock();
            if log.len() > LOG_BYTES_MAX {
                log.clear();
            }
            log.push_str(&line);
            log.push('\n');
        }
    })
}

impl Drop for ChildServer {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let end = Instant::now() + END;
        while Instant::now() < end {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
                Ok(Some(_)) | Err(_) => break,
            }
        }
        // Already ended, or stopped (SIGSTOP): then it will not end by itself.
        let killed = self.child.kill().and_then(|()| self.child.wait());
        tracing::debug!(?killed, "the reference server is gone");
        if let Some(reader) = self.reader.take() {
            let joined = reader.join();
            debug_assert!(joined.is_ok(), "the log reader panicked");
        }
    }
}
