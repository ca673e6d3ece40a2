//! The thread that connects and reads: all sockets, one readiness queue, one buffer.
//!
//! Reading thousands of sockets costs mostly system calls, so there is one read a burst and no task
//! switch, no timer and no allocation a message (docs/decisions/0004-swarm.md).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Instant;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, SockRef, Socket, Type};

use super::hearing::{Hearing, broke};
use super::link::Link;
use super::proxy::Register;
use super::stage::Shared;
use super::tls::{Got, Secure, Session};
use crate::books::Books;
use crate::client::Client;
use crate::dialect::Dialect;
use crate::handshake::{self, Progress, Request};
use crate::heard::Ears;
use crate::latency::Metric;
use crate::observe::{ClientId, Ending};
use crate::plan::TcpEnd;
use crate::wire::Frames;

const WAKE: Token = Token(usize::MAX);
const EVENTS_AT_ONCE: usize = 1024;
const BUFFER_BYTES: usize = 64 << 10;
/// The receive buffer of a client that is going to stop reading: the kernel would otherwise take
/// megabytes for it before its server notices anything.
const SMALL_BUFFER_BYTES: usize = 4 << 10;

/// What the swarm's thread is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Connect a client.
    Open {
        client: ClientId,
        address: SocketAddr,
        tls: Option<Secure>,
        request: Request,
        small_buffer: bool,
    },
    /// End a client's connection: with a reset, or by forgetting it.
    End { client: ClientId, reset: bool },
    /// A client reads again.
    Resume(ClientId),
    /// End everything.
    Stop,
}

/// The handle of the swarm's thread.
#[derive(Debug)]
pub(super) struct Swarm {
    commands: Sender<Command>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Swarm {
    /// Starts it. Clients that connect to a proxy enter themselves in its register.
    pub(super) fn start(
        shared: Arc<Shared>,
        dialect: Arc<Dialect>,
        register: Option<Arc<Register>>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let (commands, inbox) = mpsc::channel();
        let seats = shared.lock().clients.len();
        let reader = Reader {
            poll,
            shared,
            inbox,
            seats: (0..seats).map(|_| None).collect(),
            ears: Ears::new(dialect),
            register,
            buffer: vec![0; BUFFER_BYTES],
        };
        let thread = std::thread::Builder::new().name("swarm".to_owned());
        let thread = thread.spawn(move || reader.run())?;
        Ok(Self { commands, waker, thread: Some(thread) })
    }

    pub(super) fn command(&self, command: Command) {
        let sent = self.commands.send(command).is_ok();
        let woken = self.waker.wake().is_ok();
        debug_assert!(sent && woken, "the swarm ends last");
    }

    pub(super) fn stop(&mut self) {
        self.command(Command::Stop);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok(), "the swarm's thread panicked");
        }
    }
}

struct Reader {
    poll: Poll,
    shared: Arc<Shared>,
    inbox: Receiver<Command>,
    seats: Vec<Option<Seat>>,
    ears: Ears,
    register: Option<Arc<Register>>,
    buffer: Vec<u8>,
}

/// A client's connection, as its reader sees it.
struct Seat {
    link: Arc<Link>,
    phase: Phase,
}

enum Phase {
    Connecting(Request),
    Shaking(Request, Vec<u8>),
    Open(Frames),
    /// The end is known; what still comes is thrown away.
    Draining,
}

/// What became of a connection after a read.
enum After {
    Goes,
    Ended(Ending),
    Failed(String),
}

impl Reader {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_AT_ONCE);
        loop {
            if let Err(error) = self.poll.poll(&mut events, None) {
                assert!(error.kind() == io::ErrorKind::Interrupted, "the readiness queue: {error}");
                continue;
            }
            let begun = Instant::now();
            while let Ok(command) = self.inbox.try_recv() {
                if matches!(command, Command::Stop) {
                    return;
                }
                self.obey(command);
            }
            for event in &events {
                if event.token() != WAKE {
                    self.ready(event);
                }
            }
            let busy = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.shared.lock().books.measured.record(Metric::HarnessLoopLag, busy);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Open { client, address, tls, request, small_buffer } => {
                let session = tls.map(|tls| tls.session()).transpose();
                let link = session.and_then(|tls| self.connect(client, address, tls, small_buffer));
                match link {
                    Ok(link) => {
                        let mut stage = self.shared.lock();
                        if let Some(slot) = stage.links.get_mut(client.0 as usize) {
                            *slot = Some(Arc::clone(&link));
                        }
                        drop(stage);
                        let phase = Phase::Connecting(request);
                        self.sit(client, Some(Seat { link, phase }));
                    }
                    Err(error) => self.fail(client, &explain(&error)),
                }
            }
            Command::End { client, reset } => self.end(client, reset),
            Command::Resume(client) => self.read(client, true),
            Command::Stop => {}
        }
    }

    fn connect(
        &self,
        client: ClientId,
        address: SocketAddr,
        tls: Option<Session>,
        small_buffer: bool,
    ) -> io::Result<Arc<Link>> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if small_buffer {
            socket.set_recv_buffer_size(SMALL_BUFFER_BYTES)?;
        }
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if in_progress(&error) => {}
            Err(error) => return Err(error),
        }
        let mut stream = TcpStream::from_std(socket.into());
        if let Some(register) = &self.register {
            register.enter(client, stream.local_addr()?);
        }
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(client.0 as usize), both)?;
        Ok(Arc::new(Link::new(stream, tls)))
    }

    fn sit(&mut self, client: ClientId, seat: Option<Seat>) {
        if let Some(place) = self.seats.get_mut(client.0 as usize) {
            *place = seat;
        }
    }

    fn ready(&mut self, event: &Event) {
        let Ok(client) = u32::try_from(event.token().0).map(ClientId) else { return };
        let Some(Some(seat)) = self.seats.get_mut(client.0 as usize) else { return };
        if event.is_writable() || event.is_error() || event.is_write_closed() {
            if let Phase::Connecting(request) = &seat.phase {
                match connected(seat.link.stream()) {
                    Ok(false) => return,
                    Ok(true) => {
                        seat.link.write(&request.to_bytes());
                        seat.phase = Phase::Shaking(request.clone(), Vec::new());
                    }
                    Err(error) => return self.fail(client, &explain(&error)),
                }
            }
            seat.link.flush();
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read(client, event.is_read_closed() || event.is_error());
        }
    }

    /// Reads what has come, until nothing is left; with the end near, on to the end.
    fn read(&mut self, client: ClientId, to_the_end: bool) {
        loop {
            let Some(Some(seat)) = self.seats.get_mut(client.0 as usize) else { return };
            if matches!(seat.phase, Phase::Open(_)) && seat.link.is_paused() {
                return;
            }
            let mut tcp = None;
            let after = match seat.link.read(&mut self.buffer) {
                Ok(Got { bytes: 0, .. }) => {
                    tcp = Some(TcpEnd::Fin);
                    seat.finished()
                }
                Ok(got) => {
                    let bytes = self.buffer.get(..got.bytes).unwrap_or_default();
                    let after = seat.take(client, bytes, &self.shared, &mut self.ears);
                    if matches!(after, After::Goes) && got.is_all && !to_the_end {
                        return;
                    }
                    after
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => After::Goes,
                Err(error) => {
                    tcp = (error.kind() == io::ErrorKind::ConnectionReset).then_some(TcpEnd::Rst);
                    After::Ended(broke(explain(&error)))
                }
            };
            match after {
                After::Goes => {}
                After::Ended(ending) => return self.ended(client, ending, tcp),
                After::Failed(reason) => return self.fail(client, &reason),
            }
        }
    }

    /// The connection has ended, and its client is told.
    fn ended(&mut self, client: ClientId, ending: Ending, tcp: Option<TcpEnd>) {
        let mut told = false;
        if let Some(Some(seat)) = self.seats.get(client.0 as usize) {
            seat.link.say_end();
            told = matches!(seat.phase, Phase::Draining);
        }
        let now = self.shared.now();
        self.leave(client, |client, books| {
            // Who has heard of this end before may have begun to open another connection.
            if told && !client.is_over() {
                return;
            }
            client.closed(now, ending, books);
            tcp.into_iter().for_each(|tcp| client.tcp_ended(tcp));
        });
    }

    fn fail(&mut self, client: ClientId, reason: &str) {
        let now = self.shared.now();
        self.leave(client, |client, books| client.failed(now, reason, books));
    }

    fn end(&mut self, client: ClientId, reset: bool) {
        if let Some(Some(seat)) = self.seats.get(client.0 as usize).filter(|_| reset) {
            seat.link.break_off();
            // "If on and zero: the connection is reset" on close (socket(7), SO_LINGER).
            let lingering =
                SockRef::from(seat.link.stream()).set_linger(Some(std::time::Duration::ZERO));
            debug_assert!(lingering.is_ok(), "a socket of our own");
        }
        let reason = if reset { "reset by us" } else { "given up by us" };
        let ending = Ending { asked: true, code: None, reason: reason.into(), clean: false };
        self.ended(client, ending, None);
    }

    /// Empties a seat, and tells its client. The socket closes when nobody writes to it any more.
    fn leave(&mut self, id: ClientId, tell: impl FnOnce(&mut Client, &mut Books)) {
        let mut stage = self.shared.lock();
        if let Some((client, books)) = stage.client(id) {
            tell(client, books);
        }
        if let Some(link) = stage.links.get_mut(id.0 as usize) {
            *link = None;
        }
        let wakers = stage.take_wakers(id);
        drop(stage);
        self.sit(id, None);
        wakers.into_iter().for_each(std::task::Waker::wake);
    }
}

impl Seat {
    /// The server has closed its half.
    fn finished(&self) -> After {
        match &self.phase {
            Phase::Connecting(_) => After::Failed("the connection ended at once".to_owned()),
            Phase::Shaking(request, bytes) => match handshake::read_answer(request, bytes, true) {
                Err(refusal) => After::Failed(refusal.to_string()),
                Ok(_) => After::Failed("the connection ended in the handshake".to_owned()),
            },
            Phase::Open(_) => After::Ended(broke("end of TCP without a Close frame")),
            Phase::Draining => After::Ended(broke("")),
        }
    }

    fn take(&mut self, client: ClientId, bytes: &[u8], shared: &Shared, ears: &mut Ears) -> After {
        match &mut self.phase {
            Phase::Connecting(_) | Phase::Draining => After::Goes,
            Phase::Shaking(request, gathered) => {
                gathered.extend_from_slice(bytes);
                match handshake::read_answer(request, gathered, false) {
                    Ok(Progress::More) => After::Goes,
                    Err(refusal) => After::Failed(refusal.to_string()),
                    Ok(Progress::Accepted(head)) => {
                        let early = gathered.get(head..).unwrap_or_default().to_vec();
                        self.phase = Phase::Open(Frames::default());
                        let now = shared.now();
                        let mut stage = shared.lock();
                        let told = stage.client(client);
                        let asks = told.is_some_and(|(client, books)| client.upgraded(now, books));
                        let wakers = stage.take_wakers(client);
                        drop(stage);
                        wakers.into_iter().for_each(std::task::Waker::wake);
                        if asks {
                            shared.greet(client);
                        }
                        self.take(client, &early, shared, ears)
                    }
                }
            }
            Phase::Open(frames) => {
                let mut hearing = Hearing::new(client, shared, ears);
                let fed = frames.feed(bytes, |incoming| hearing.take(incoming));
                if let Err(breach) = &fed {
                    hearing.broken(breach);
                }
                let over = hearing.done();
                if over {
                    self.phase = Phase::Draining;
                }
                After::Goes
            }
        }
    }
}

/// Whether a connect has come to an end, and how (connect(2), EINPROGRESS).
pub(super) fn connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn in_progress(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32)
}

/// A socket's error in words that say what to do.
pub(super) fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused: nothing listens there".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by the server".to_owned(),
        io::ErrorKind::AddrNotAvailable => {
            "no free port to connect from: fewer clients, or more target addresses".to_owned()
        }
        _ => error.to_string(),
    }
}
