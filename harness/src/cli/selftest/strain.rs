//! What makes it hard for the harness: busy threads beside it, or being stopped again and again.

use std::hint::black_box;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::drive::Interrupt;

/// For how long a process is stopped, and runs on, at once: in milliseconds.
const STEP_MS: std::ops::RangeInclusive<u64> = 20..=50;
/// How long a worker that shall end may take.
const END: Duration = Duration::from_secs(10);

/// Threads that are always busy, until this is dropped.
pub(super) struct Load {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Twice as many threads as there are processors.
    pub(super) fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let count = 2 * std::thread::available_parallelism().map_or(1, usize::from);
        let busy = |_| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                let mut n = 0_u64;
                while !over.load(Ordering::Relaxed) {
                    n = black_box(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
                }
            })
        };
        Self { threads: (0..count).map(busy).collect(), over }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let joined = thread.join();
            debug_assert!(joined.is_ok(), "a busy thread panicked");
        }
    }
}

/// This very program as a worker that is stopped half of the time. However this ends, the worker is
/// continued and ended; if this process is killed, the worker's standard input ends, and on Linux the
/// kernel ends the worker even while it is stopped.
pub(super) struct Throttled {
    child: Child,
    reader: Option<JoinHandle<()>>,
    rng: StdRng,
}

impl Throttled {
    /// Starts it with these arguments; `hear` is given each line that it prints.
    pub(super) fn start(
        args: &[String],
        seed: u64,
        mut hear: impl FnMut(&str) + Send + 'static,
    ) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let lines = child.stdout.take().map(|out| BufReader::new(out).lines());
        let reader = std::thread::spawn(move || {
            lines.into_iter().flatten().map_while(Result::ok).for_each(|line| hear(&line));
        });
        Ok(Self { child, reader: Some(reader), rng: StdRng::seed_from_u64(seed) })
    }

    /// Stops and continues it until it ends, the signal comes, or it takes longer than this; an error
    /// says how it did not end well.
    pub(super) fn attend(&mut self, interrupt: &Interrupt, most: Duration) -> Result<(), String> {
        let end = Instant::now() + most;
        while interrupt.signal().is_none() {
            for signal in [Signal::SIGSTOP, Signal::SIGCONT] {
                match self.child.try_wait() {
                    Ok(Some(status)) if status.success() => return Ok(()),
                    Ok(Some(status)) => return Err(format!("the throttled worker: {status}")),
                    // It has not been waited for, so its number is still its own.
                    Ok(None) => self.signal(signal).map_err(|error| {
                        format!("the throttled worker cannot be stopped and continued: {error}")
                    })?,
                    Err(error) => return Err(format!("the throttled worker: {error}")),
                }
                std::thread::sleep(Duration::from_millis(self.rng.random_range(STEP_MS)));
            }
            if Instant::now() > end {
                return Err(format!("the throttled runs did not end in {most:?}"));
            }
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let id = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        kill(Pid::from_raw(id), signal).map_err(io::Error::from)
    }
}

impl Drop for Throttled {
    fn drop(&mut self) {
        let ended = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        if !ended(&mut self.child) {
            let told = self.signal(Signal::SIGCONT).and_then(|()| self.signal(Signal::SIGTERM));
            tracing::debug!(?told, "the throttled worker shall end");
            let patience = Instant::now() + END;
            while !ended(&mut self.child) && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let killed = self.child.kill().and_then(|()| self.child.wait());
        tracing::debug!(?killed, "the throttled worker is gone");
        if let Some(reader) = self.reader.take() {
            let joined = reader.join();
            debug_assert!(joined.is_ok(), "the reader of the worker's lines panicked");
        }
    }
}
