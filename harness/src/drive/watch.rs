//! Watches over a run: an interrupt, a target that died, a target that stopped answering.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use async_io::Timer;
use parking_lot::Mutex;

use super::child::ChildServer;
use super::director::Target;
use super::stage::Shared;
use crate::check::Deliveries;
use crate::client::State;
use crate::observe::{ClientId, Time};

const TICK: Duration = Duration::from_millis(100);
/// Ticks without a byte from the target after which it is asked for a sign of life. Counted in
/// ticks, not by the clock: when this process itself stood still, the target is not to blame.
const ASK_TICKS: u32 = 25;
/// Ticks without a byte after which it counts as unresponsive: the 5 s of every other deadline.
const SILENT_TICKS: u32 = 50;

/// A run is shown once in so many ticks: once a second.
const LIVE_TICKS: u64 = 10;

/// Why a run ended before its timeline did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Cut {
    /// A signal came: its number.
    Interrupted(i32),
    /// The target died, when and how.
    Died(Time, String),
    /// The target stopped answering; since when.
    Unresponsive(Time),
}

/// The signal that came, if one did.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicI32>);

impl Interrupt {
    /// Notes SIGINT and SIGTERM from now on. A second one ends the process at once.
    ///
    /// # Errors
    /// The handlers cannot be set.
    pub fn on_signals() -> std::io::Result<Self> {
        let interrupt = Self::default();
        let mut signals = signal_hook::iterator::Signals::new([
            signal_hook::consts::SIGINT,
            signal_hook::consts::SIGTERM,
        ])?;
        let noted = interrupt.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                if noted.0.swap(signal, Ordering::SeqCst) != 0 {
                    std::process::exit(128 + signal);
                }
            }
        })?;
        Ok(interrupt)
    }

    /// The signal that came.
    pub fn signal(&self) -> Option<i32> {
        Some(self.0.load(Ordering::SeqCst)).filter(|&signal| signal != 0)
    }
}

/// Ends when the run must.
pub(super) async fn watch(
    shared: &Shared,
    target: &Target,
    child: &Mutex<Option<ChildServer>>,
    interrupt: &Interrupt,
    live: &(dyn Fn(&Live) + Sync),
) -> Cut {
    let mut heard = Time(0);
    let mut silent = 0;
    for tick in 1_u64.. {
        Timer::after(TICK).await;
        if tick % LIVE_TICKS == 0 {
            live(&Live::of(shared));
        }
        if let Some(signal) = interrupt.signal() {
            return Cut::Interrupted(signal);
        }
        if let Some(cut) = died(shared, target, child) {
            return cut;
        }
        let (now_heard, listener) = sign_of_life(shared);
        silent = if now_heard > heard || listener.is_none() { 0 } else { silent + 1 };
        heard = heard.max(now_heard);
        if let Some(listener) = listener.filter(|_| silent % ASK_TICKS == ASK_TICKS - 1) {
            // Any bytes that come back will do: nobody waits for this pong in particular.
            let pinged = shared.ping(listener);
            tracing::debug!(?pinged, "is the target still there?");
        }
        if silent >= SILENT_TICKS {
            return Cut::Unresponsive(heard);
        }
    }
    unreachable!("a run of that many ticks outlasts the sun")
}

/// How a run stands, for whoever watches it.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// Since the run began.
    pub elapsed: Duration,
    /// Clients that are connected.
    pub connected: u64,
    /// Messages sent.
    pub sent: u64,
    /// The account so far; what is owed may still be on its way.
    pub deliveries: Deliveries,
    /// Findings so far.
    pub findings: u64,
}

impl Live {
    fn of(shared: &Shared) -> Self {
        let elapsed = Duration::from_micros(shared.now().0);
        let stage = shared.lock();
        let books = &stage.books;
        Self {
            elapsed,
            connected: books.connected_now(),
            sent: books.messages(),
            deliveries: books.judge.deliveries(),
            findings: books.judge.findings().total(),
        }
    }
}

/// Whether the target is gone: the child has ended, or every connection broke without a Close frame
/// and nothing listens any more.
pub(super) fn died(
    shared: &Shared,
    target: &Target,
    child: &Mutex<Option<ChildServer>>,
) -> Option<Cut> {
    let mut child = child.lock();
    if child.as_ref().is_some_and(ChildServer::is_down) {
        // As the timeline wants it.
        return None;
    }
    let ended = child.as_mut().and_then(ChildServer::has_ended);
    drop(child);
    let (broken, alive) = connections(shared);
    if let Some(how) = ended {
        return Some(Cut::Died(broken.unwrap_or_else(|| shared.now()), how));
    }
    let at = broken.filter(|_| !alive)?;
    let refused = TcpStream::connect_timeout(&target.address, TICK).err()?;
    (refused.kind() == std::io::ErrorKind::ConnectionRefused).then(|| {
        let how = "every connection broke, and nothing listens there any more".to_owned();
        Cut::Died(at, how)
    })
}

/// When a connection last broke without a Close frame, and whether any is left.
fn connections(shared: &Shared) -> (Option<Time>, bool) {
    let stage = shared.lock();
    let mut broken = None;
    let mut alive = false;
    for client in &stage.clients {
        match &client.state {
            State::Closed(at, ending) if !ending.asked && !ending.clean => {
                broken = broken.max(Some(*at));
            }
            State::Open | State::Opening | State::Closing => alive = true,
            _ => {}
        }
    }
    (broken, alive)
}

/// When bytes came last, and a client that would see an answer.
fn sign_of_life(shared: &Shared) -> (Time, Option<ClientId>) {
    let stage = shared.lock();
    let listener = stage.clients.iter().find(|it| it.is_open() && it.reads && it.pongs);
    (stage.heard_at, listener.map(|client| client.id))
}
