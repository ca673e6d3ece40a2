//! The man in the middle: carries the bytes of each connection between a client and a server, and does
//! to them what a [`Decider`] says.
//!
//! One thread for all connections, as the swarm is: one readiness queue, one buffer. A connection is
//! read only while what was read before has left, so that each side feels the other's congestion and no
//! other.

mod pair;
mod register;
mod side;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};

use self::pair::{Pair, Pumped};
pub(super) use self::register::Register;
use super::director::Target;
use crate::dialect::Dialect;
use crate::observe::Time;
use crate::plan::{Plan, Vars, known_to_all};
use crate::proxy::{ConnId, Decider, Deed, Rule, Story};

const LISTENER: Token = Token(0);
const WAKE: Token = Token(1);
const EVENTS_AT_ONCE: usize = 1024;
const BUFFER_BYTES: usize = 64 << 10;
/// How soon it tries again to take in clients when there are no descriptors left.
const BREATH: Duration = Duration::from_millis(100);
/// How long one of several addresses of a target may take to answer.
const REACHED: Duration = Duration::from_secs(2);
/// The answer to the rules that are set.
type Answer = async_std::channel::Sender<Result<(), String>>;
/// Is told what happens.
pub type Tell = Box<dyn FnMut(News) + Send>;

/// What happens.
#[derive(Debug)]
pub enum News {
    /// A rule did something.
    Deed(Deed),
    /// Something went wrong that no rule wanted: in words for the user.
    Trouble(String),
}

/// What a proxy is to be.
#[expect(missing_debug_implementations, reason = "it holds a function")]
pub struct Setup {
    /// Where clients come.
    pub listener: std::net::TcpListener,
    /// What its rules draw from.
    pub seed: u64,
    /// How clients and server talk, where rules ask for it.
    pub dialect: Option<Arc<Dialect>>,
    /// What is known in patterns of rules.
    pub vars: Vars,
    /// What goes wrong from the start.
    pub rules: Vec<Rule>,
    /// The `Host` of requests instead of what the client says.
    pub host: Option<String>,
    /// Is told what happens.
    pub tell: Option<Tell>,
}

/// A proxy that runs. It ends with the value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    register: Arc<Register>,
    commands: Sender<Command>,
    waker: Waker,
    thread: Option<JoinHandle<io::Result<Vec<Story>>>>,
}

enum Command {
    Rules(Vec<Rule>, Answer),
    Stop,
}

impl Proxy {
    /// Stands before the server of this URL.
    ///
    /// # Errors
    /// The URL is none, its host is unknown, a rule cannot be used; in words for the user.
    pub fn start(setup: Setup, url: &str, tls: &super::Tls) -> Result<Self, String> {
        let (mut target, addresses) = super::probe::locate(url, tls)?;
        // A name may have addresses on which nothing listens. A target that is not there yet may come.
        let answers =
            |address: &&SocketAddr| std::net::TcpStream::connect_timeout(address, REACHED).is_ok();
        if addresses.len() > 1 {
            target.address = addresses.iter().find(answers).copied().unwrap_or(target.address);
        }
        if let Some(path) = &target.path {
            return Err(format!("`{url}`: the path is for the client to say; leave out `{path}`"));
        }
        Self::before(setup, &target, Arc::default(), Instant::now(), false)
    }

    /// Stands between the clients of a plan and their target.
    pub(super) fn of_plan(plan: &Plan, target: &Target, start: Instant) -> Result<Self, String> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0");
        let setup = Setup {
            listener: listener.map_err(|error| format!("no port to listen on: {error}"))?,
            seed: plan.seed,
            dialect: Some(Arc::clone(&plan.dialect)),
            vars: known_to_all(&plan.clients),
            rules: Vec::new(),
            host: None,
            tell: None,
        };
        let follows = plan.network().any(|rule| rule.fault.word() == "misroute");
        Self::before(setup, target, Arc::new(Register::of(plan)), start, follows)
    }

    fn before(
        setup: Setup,
        target: &Target,
        register: Arc<Register>,
        start: Instant,
        follows_rooms: bool,
    ) -> Result<Self, String> {
        let told = |error: io::Error| format!("cannot be in the middle: {error}");
        let mut decider = Decider::new(setup.seed, setup.dialect, setup.vars);
        if follows_rooms {
            decider.follow_rooms();
        }
        if setup.tell.is_some() {
            decider.log_deeds();
        }
        decider.set(Time(0), &setup.rules)?;
        let poll = Poll::new().map_err(told)?;
        let waker = Waker::new(poll.registry(), WAKE).map_err(told)?;
        setup.listener.set_nonblocking(true).map_err(told)?;
        let mut listener = TcpListener::from_std(setup.listener);
        let address = listener.local_addr().map_err(told)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).map_err(told)?;
        let (commands, inbox) = mpsc::channel();
        let middle = Middle {
            poll,
            listener,
            inbox,
            target: target.clone(),
            host: setup.host,
            register: Arc::clone(&register),
            decider,
            start,
            pairs: BTreeMap::new(),
            last: 0,
            work: BTreeSet::new(),
            timers: BTreeSet::new(),
            is_full: false,
            buffer: vec![0; BUFFER_BYTES],
            tell: setup.tell,
        };
        let thread = std::thread::Builder::new().name("proxy".to_owned());
        let thread = thread.spawn(move || middle.run()).map_err(told)?;
        Ok(Self { address, register, commands, waker, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Where clients enter themselves.
    pub(super) fn register(&self) -> Arc<Register> {
        Arc::clone(&self.register)
    }

    /// Puts these rules in the place of those in force; returns when they are.
    pub(super) async fn set(&self, rules: Vec<Rule>) -> Result<(), String> {
        let (sender, answer) = async_std::channel::bounded(1);
        self.command(Command::Rules(rules, sender));
        answer.recv().await.unwrap_or_else(|_| Err("the proxy has ended".to_owned()))
    }

    /// Ends it; returns what its rules have done.
    ///
    /// # Errors
    /// It has ended before, by itself: what came of that is nobody else's fault.
    pub fn stop(mut self) -> Result<Vec<Story>, String> {
        self.end()
    }

    fn end(&mut self) -> Result<Vec<Story>, String> {
        let Some(thread) = self.thread.take() else { return Ok(Vec::new()) };
        self.command(Command::Stop);
        let ended = thread.join().map_err(|_| "the proxy has failed".to_owned())?;
        ended.map_err(|error| format!("the proxy cannot wait for sockets: {error}"))
    }

    fn command(&self, command: Command) {
        // A thread that has ended by itself will say so when it is joined.
        let sent = self.commands.send(command).is_ok() && self.waker.wake().is_ok();
        tracing::trace!(sent, "a command for the proxy");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.end());
    }
}

/// The thread's own.
struct Middle {
    poll: Poll,
    listener: TcpListener,
    inbox: Receiver<Command>,
    target: Target,
    host: Option<String>,
    register: Arc<Register>,
    decider: Decider,
    start: Instant,
    pairs: BTreeMap<ConnId, Pair>,
    /// The number of the last connection.
    last: u64,
    /// Connections to look at.
    work: BTreeSet<ConnId>,
    timers: BTreeSet<(Time, ConnId)>,
    /// There was no descriptor for another client.
    is_full: bool,
    buffer: Vec<u8>,
    tell: Option<Tell>,
}

impl Middle {
    fn run(mut self) -> io::Result<Vec<Story>> {
        let mut events = Events::with_capacity(EVENTS_AT_ONCE);
        loop {
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
                Ok(()) => {}
            }
            while let Ok(command) = self.inbox.try_recv() {
                match command {
                    Command::Stop => return Ok(self.decider.stories().to_vec()),
                    Command::Rules(rules, answer) => {
                        let set = self.decider.set(self.now(), &rules);
                        // Who has asked may have gone on without the answer.
                        let told = answer.try_send(set).is_ok();
                        tracing::trace!(told, "rules are set");
                    }
                }
            }
            for event in &events {
                match event.token() {
                    WAKE => {}
                    LISTENER => self.is_full = true,
                    Token(number) => {
                        let id = ConnId(number as u64 / 2);
                        if let Some(pair) = self.pairs.get_mut(&id) {
                            pair.is_ready(number % 2 == 0, event);
                            self.work.insert(id);
                        }
                    }
                }
            }
            if self.is_full {
                self.accept();
            }
            self.expire();
            self.work_off();
            self.report();
        }
    }

    /// For how long nothing has to be done.
    fn patience(&self) -> Option<Duration> {
        if !self.work.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self.timers.first().map(|(at, _)| {
            let micros = at.0.saturating_sub(self.now().0);
            // A wait is in whole milliseconds, and rounded down by some.
            Duration::from_micros(micros).max(Duration::from_millis(1))
        });
        let breath = Some(BREATH).filter(|_| self.is_full);
        next.into_iter().chain(breath).min()
    }

    fn now(&self) -> Time {
        let elapsed = self.start.elapsed();
        Time(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
    }

    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((client, from)) => {
                    self.last += 1;
                    let id = ConnId(self.last);
                    match Pair::connect(id, client, from, &self.target, self.poll.registry()) {
                        Ok(pair) => {
                            self.pairs.insert(id, pair);
                        }
                        Err(error) => self.trouble(format!("#{id}: {error}")),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_full = false;
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // Clients wait in the listener's queue until there is room again.
                    tracing::debug!(%error, "accept");
                    return;
                }
            }
        }
    }

    fn expire(&mut self) {
        let now = self.now();
        while let Some(&(at, id)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            self.work.insert(id);
        }
    }

    /// Looks once at each connection where something can be done. Those that this has stirred have
    /// their turn after the next look at what comes from outside.
    fn work_off(&mut self) {
        let mut todo = std::mem::take(&mut self.work);
        todo.extend(self.decider.take_stirred());
        while let Some(id) = todo.pop_first() {
            let now = self.now();
            let Some(pair) = self.pairs.get_mut(&id) else { continue };
            // What is due by now has no other time to wait for.
            self.decider.expire(now, id);
            let mut hands = pair::Hands {
                now,
                decider: &mut self.decider,
                buffer: &mut self.buffer,
                register: &self.register,
                host: self.host.as_deref(),
            };
            let pumped = pair.pump(&mut hands);
            if let Some(old) = pair.timer.take() {
                self.timers.remove(&(old, id));
            }
            let lingers = pair.lingers_until();
            match pumped {
                Pumped::Done => {}
                Pumped::More => {
                    self.work.insert(id);
                }
                Pumped::Over(reason) => {
                    self.pairs.remove(&id);
                    self.decider.leave(id);
                    reason.into_iter().for_each(|why| self.trouble(format!("#{id}: {why}")));
                    continue;
                }
            }
            let next = self.decider.wakes(now, id).into_iter().chain(lingers).min();
            if let (Some(next), Some(pair)) = (next, self.pairs.get_mut(&id)) {
                pair.timer = Some(next);
                self.timers.insert((next, id));
            }
        }
        self.work.extend(self.decider.take_stirred());
    }

    fn report(&mut self) {
        let deeds = self.decider.take_deeds();
        if let Some(tell) = &mut self.tell {
            deeds.into_iter().for_each(|deed| tell(News::Deed(deed)));
        }
    }

    fn trouble(&mut self, what: String) {
        tracing::debug!(what, "the proxy");
        if let Some(tell) = &mut self.tell {
            tell(News::Trouble(what));
        }
    }
}
