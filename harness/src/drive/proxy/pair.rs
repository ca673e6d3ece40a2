//! A connection that is carried: a client, its server, and the bytes between them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::register::Register;
use super::side::Side;
use crate::drive::director::Target;
use crate::drive::swarm::{connected, explain, in_progress};
use crate::handshake::{self, Upgrade};
use crate::observe::Time;
use crate::proxy::{ConnId, Cutter, Decider, Ending, Gap, Piece, Way};

/// So often one direction is read before others have their turn.
const TURN: u32 = 8;
/// How long both sides may take to end after they were told to.
const LINGER: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Pair {
    id: ConnId,
    from: SocketAddr,
    client: Side,
    server: Side,
    to_client: Cutter,
    to_server: Cutter,
    is_connected: bool,
    /// Both sides have been told to end, and have until then.
    lingers: Option<Time>,
    /// When it is looked at next without anything happening.
    pub(super) timer: Option<Time>,
}

/// What a connection is carried with.
pub(super) struct Hands<'a> {
    pub(super) now: Time,
    pub(super) decider: &'a mut Decider,
    pub(super) buffer: &'a mut [u8],
    pub(super) register: &'a Register,
    pub(super) host: Option<&'a str>,
}

/// What came of looking at a connection.
pub(super) enum Pumped {
    /// All was done that can be done now.
    Done,
    /// There is more to do.
    More,
    /// It is over; perhaps because of something that no rule wanted.
    Over(Option<String>),
}

/// A side broke: the other must feel it. Where TLS was broken, it says how.
struct Broken(Option<String>);

impl Pair {
    /// Takes a client in, and begins to connect to its server.
    pub(super) fn connect(
        id: ConnId,
        mut client: TcpStream,
        from: SocketAddr,
        target: &Target,
        registry: &Registry,
    ) -> io::Result<Self> {
        use socket2::{Domain, Socket, Type};
        Side::shrink(&client)?;
        let tls = target.tls.as_ref().map(|tls| tls.session()).transpose()?;
        let socket = Socket::new(Domain::for_address(target.address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&target.address.into()) {
            Ok(()) => {}
            Err(error) if in_progress(&error) => {}
            Err(error) => return Err(error),
        }
        let mut server = TcpStream::from_std(socket.into());
        Side::shrink(&server)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        let token = |side: u64| Token(usize::try_from(2 * id.0 + side).unwrap_or(usize::MAX));
        registry.register(&mut client, token(0), both)?;
        registry.register(&mut server, token(1), both)?;
        Ok(Self {
            id,
            from,
            client: Side::new(client, None),
            server: Side::new(server, tls),
            to_client: Cutter::of_http(),
            to_server: Cutter::of_http(),
            is_connected: false,
            lingers: None,
            timer: None,
        })
    }

    /// Something has happened to one of its sockets.
    pub(super) fn is_ready(&mut self, of_client: bool, event: &Event) {
        let side = if of_client { &mut self.client } else { &mut self.server };
        side.end_is_near |= event.is_read_closed() || event.is_error();
        side.is_readable |= event.is_readable() || side.end_is_near;
    }

    /// Until when it waits for both sides to end.
    pub(super) fn lingers_until(&self) -> Option<Time> {
        self.lingers
    }

    /// Carries what can be carried now.
    pub(super) fn pump(&mut self, hands: &mut Hands<'_>) -> Pumped {
        if hands.decider.is_half_open(self.id) {
            // Where both have gone, nobody is left who could learn anything.
            let both = self.client.end_is_near && self.server.end_is_near;
            return if both { self.reset(None) } else { Pumped::Done };
        }
        if hands.decider.ending(self.id) == Some(Ending::Now) {
            return self.reset(None);
        }
        if !self.is_connected {
            match connected(&self.server.stream) {
                Ok(false) => return Pumped::Done,
                Ok(true) => self.is_connected = true,
                // The nearest to a refusal that a client can get who has been let in.
                Err(error) => return self.reset(Some(explain(&error))),
            }
        }
        if self.lingers.is_some() {
            return self.linger(hands);
        }
        let mut more = false;
        for way in Way::BOTH {
            match self.carry(way, hands) {
                Ok(again) => more |= again,
                Err(Broken(reason)) => {
                    // What the other side was sent before comes before the end of it.
                    self.client.flush();
                    self.server.flush();
                    return self.reset(reason);
                }
            }
        }
        if let Some(pumped) = self.ending(hands) {
            return pumped;
        }
        let over = |source: &Side, target: &Side| source.has_ended && target.is_told;
        if over(&self.client, &self.server) && over(&self.server, &self.client) {
            return Pumped::Over(None);
        }
        // Who has ended and takes no more is gone: what the other says to it meets a reset.
        let gone = |side: &Side| side.has_ended && side.is_broken;
        if gone(&self.client) || gone(&self.server) {
            return self.reset(None);
        }
        if more { Pumped::More } else { Pumped::Done }
    }

    /// Carries one direction; says whether there is more to do.
    fn carry(&mut self, way: Way, hands: &mut Hands<'_>) -> Result<bool, Broken> {
        let mut turns = 0;
        loop {
            let target = self.target(way);
            target.flush();
            if !target.waiting.is_empty() {
                return Ok(false);
            }
            let most = hands.buffer.len();
            let mut waiting = std::mem::take(&mut self.target(way).waiting);
            hands.decider.take(hands.now, self.id, way, most, &mut waiting);
            let moved = !waiting.is_empty();
            self.target(way).waiting = waiting;
            if moved {
                continue;
            }
            if !hands.decider.reads(hands.now, self.id, way)
                || hands.decider.ending(self.id).is_some()
            {
                return Ok(false);
            }
            let source = self.source(way);
            if source.has_ended {
                self.end(way, hands);
                return Ok(false);
            }
            if !source.is_readable {
                return Ok(false);
            }
            if turns == TURN {
                return Ok(true);
            }
            turns += 1;
            let read = source.read(hands.buffer).map_err(|error| {
                let tls = error.kind() == io::ErrorKind::InvalidData;
                Broken(tls.then(|| error.to_string()))
            })?;
            if let Some(bytes) = read {
                self.take(way, bytes, hands);
            } else if self.source(way).has_ended {
                self.last_words(way, hands);
            }
        }
    }

    fn target(&mut self, way: Way) -> &mut Side {
        match way {
            Way::ToClient => &mut self.client,
            Way::ToServer => &mut self.server,
        }
    }

    fn source(&mut self, way: Way) -> &mut Side {
        match way {
            Way::ToClient => &mut self.server,
            Way::ToServer => &mut self.client,
        }
    }

    /// Bytes have come: the first so many of the buffer.
    fn take(&mut self, way: Way, count: usize, hands: &mut Hands<'_>) {
        let Hands { now, decider, buffer, .. } = hands;
        let (now, id) = (*now, self.id);
        let mut rest = buffer.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            let wanted = decider.wants(id, way);
            let (cutter, target) = match way {
                Way::ToClient => (&mut self.to_client, &mut self.client),
                Way::ToServer => (&mut self.to_server, &mut self.server),
            };
            let mut head = None;
            let taken = cutter.feed(rest, wanted, &mut |piece| match piece {
                Piece::Pass(bytes) if decider.is_direct(now, id, way) => target.write(bytes),
                Piece::Pass(bytes) => decider.pass(now, id, way, bytes),
                Piece::Whole(frame) => decider.frame(now, id, way, frame),
                Piece::Head(bytes) => head = Some(bytes),
            });
            rest = rest.get(taken..).unwrap_or_default();
            decider.ends_at(now, id, way, cutter.gap());
            if let Some(head) = head {
                match way {
                    Way::ToServer => {
                        self.asked(&head, decider, hands.register, hands.host);
                    }
                    Way::ToClient => self.answered(&head, now, decider),
                }
            }
        }
    }

    /// The client's request: as it is, but for what would make its frames unreadable.
    fn asked(
        &mut self,
        head: &[u8],
        decider: &mut Decider,
        register: &Register,
        host: Option<&str>,
    ) {
        let upgrade = handshake::upgrade(head, host);
        self.to_server.go_on(upgrade.is_some());
        match upgrade {
            Some(Upgrade { path, head }) => {
                decider.arrive(self.id, register.take(self.from), &path);
                self.server.write(&head);
            }
            None => {
                self.to_client.go_on(false);
                self.server.write(head);
            }
        }
    }

    /// The server's answer.
    fn answered(&mut self, head: &[u8], now: Time, decider: &mut Decider) {
        self.client.write(head);
        match handshake::status(head) {
            Some(101) => {
                self.to_client.go_on(true);
                decider.open(now, self.id);
            }
            // "An interim response" (RFC 9110, 15.2): the real one follows.
            Some(100..=199) => {}
            _ => {
                self.to_client.go_on(false);
                let kept = self.to_server.rest();
                self.to_server.go_on(false);
                self.server.write(&kept);
            }
        }
    }

    /// What was kept back of a source that has ended will never be whole.
    fn last_words(&mut self, way: Way, hands: &mut Hands<'_>) {
        let kept = match way {
            Way::ToClient => self.to_client.rest(),
            Way::ToServer => self.to_server.rest(),
        };
        match hands.decider.is_direct(hands.now, self.id, way) {
            _ if kept.is_empty() => {}
            true => self.target(way).write(&kept),
            false => hands.decider.pass(hands.now, self.id, way, &kept),
        }
        // A frame that broke off has no rest that others would have to wait for.
        hands.decider.ends_at(hands.now, self.id, way, Gap::Messages);
    }

    /// A source has ended: when all of it has left, its target is told.
    fn end(&mut self, way: Way, hands: &Hands<'_>) {
        let empty = hands.decider.is_empty(self.id, way);
        let target = self.target(way);
        if empty && target.is_flushed() && !target.is_told {
            target.tell_end();
        }
    }

    /// A rule wants an end.
    fn ending(&mut self, hands: &Hands<'_>) -> Option<Pumped> {
        let ending = hands.decider.ending(self.id)?;
        let empty = Way::BOTH
            .into_iter()
            .all(|way| hands.decider.is_empty(self.id, way) && self.target(way).is_flushed());
        match ending {
            Ending::Now => Some(self.reset(None)),
            _ if !empty => None,
            Ending::Reset => Some(self.reset(None)),
            Ending::Finish => {
                self.client.tell_end();
                self.server.tell_end();
                let micros = u64::try_from(LINGER.as_micros()).unwrap_or(u64::MAX);
                self.lingers = Some(Time(hands.now.0 + micros));
                Some(Pumped::More)
            }
        }
    }

    /// Reads what still comes, which is nobody's: a socket that is closed with something unread resets
    /// its connection.
    fn linger(&mut self, hands: &mut Hands<'_>) -> Pumped {
        let mut more = false;
        for side in [&mut self.client, &mut self.server] {
            for _ in 0..TURN {
                if !side.has_ended && side.is_readable && side.read(hands.buffer).is_err() {
                    side.has_ended = true;
                }
            }
            more |= !side.has_ended && side.is_readable;
        }
        let late = self.lingers.is_some_and(|until| until <= hands.now);
        let over = self.client.has_ended && self.server.has_ended;
        match (over || late, more) {
            (true, _) => Pumped::Over(None),
            (false, true) => Pumped::More,
            (false, false) => Pumped::Done,
        }
    }

    /// Both sides are reset.
    fn reset(&self, reason: Option<String>) -> Pumped {
        self.client.reset();
        self.server.reset();
        Pumped::Over(reason)
    }
}
