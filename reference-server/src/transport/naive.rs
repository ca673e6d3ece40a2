//! tide-websockets as its README shows it, and rooms as people put them on it: to be found out.
//!
//! tide's own listener and the crate's own upgrade, which looks at no version. No limits, no
//! heartbeat, no Close frames but the 1000 with which the crate answers any. What a room has to say is sent
//! member by member under a lock of the room, each awaited: a member that does not read holds up
//! all, and what waits for them grows without end.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque, hash_map::Entry},
    fmt, io,
    net::TcpListener,
    sync::Arc,
};

use async_std::sync::Mutex as Turnstile;
use futures_lite::{StreamExt, future};
use parking_lot::Mutex;
use protocol::{
    Change, Flow, Frame, Ids, Incoming, Limits, Make, NotKept, Now, Outlet, Reason, Room, Session,
    Tally, Time, World, events, pusher::App,
};
use tide::{Request, Response};
use tide_websockets::{Message, WebSocket, WebSocketConnection};
use tracing::debug;

use crate::{
    handler::Speaks,
    publish,
    routes::{self, Endpoint, Serves},
    server::Server,
    shutdown::Shutdown,
    upgrade::Asked,
    world,
};

/// Serves through tide's own listener, until told to end: then it just stops.
pub(crate) async fn serve(
    server: Arc<Server>,
    endpoints: Vec<Endpoint>,
    listener: TcpListener,
    shutdown: &Shutdown,
) -> io::Result<()> {
    let is_ours =
        |endpoint: &Endpoint| matches!(endpoint.serves, Serves::Socket(_) | Serves::Publish);
    // Its rooms are its own: what is published by the API would be heard by nobody.
    let endpoints = endpoints.into_iter().filter(|it| !matches!(it.serves, Serves::Api(_)));
    let (ours, others) = endpoints.partition(is_ours);
    let mut app = routes::app(server.clone(), others);
    let hall = Arc::new(Hall { server: server.clone(), rooms: Mutex::default() });
    for endpoint in ours.iter().filter(|endpoint| endpoint.is_on(&server.config)) {
        mount(&mut app, endpoint, &hall);
    }
    future::or(app.listen(listener), async {
        shutdown.begun().await;
        Ok(())
    })
    .await
}

fn mount(app: &mut tide::Server<Arc<Server>>, endpoint: &Endpoint, hall: &Arc<Hall>) {
    for path in endpoint.patterns() {
        let hall = hall.clone();
        let mut route = app.at(&path);
        match endpoint.serves {
            Serves::Socket(speaks) => {
                let known = speaks.subprotocol();
                let socket = WebSocket::new(move |request, stream| {
                    converse(hall.clone(), speaks, request, stream)
                });
                route.get(socket.with_protocols(known.as_slice()));
            }
            _ => {
                route.post(move |request| publish(hall.clone(), request));
            }
        }
    }
}

/// The handler of a WebSocket: it reads, the session answers, all is sent.
async fn converse(
    hall: Arc<Hall>,
    speaks: Speaks,
    request: Request<Arc<Server>>,
    mut stream: WebSocketConnection,
) -> tide::Result<()> {
    let server = hall.server.clone();
    server.metrics.connected(speaks);
    let asked = Asked::of(&request);
    let peer = Peer(stream.clone());
    let mut turn = Turn { hall, here: RefCell::default(), errands: RefCell::default() };
    let open = |dialect| Session::open(dialect, server.now(), asked.opening(), peer.clone(), &turn);
    // Whoever is not let in is told no reason.
    let Ok(mut session) = speaks.dialect().map(open).transpose() else {
        server.metrics.disconnected(speaks);
        return Ok(());
    };
    turn.send_all().await;
    while let Some(Ok(message)) = stream.next().await {
        let flow = match (&mut session, &message) {
            (Some(session), Message::Text(text)) => {
                session.received(server.now(), Incoming::Text(text), &turn)
            }
            (Some(session), Message::Binary(bytes)) => {
                session.received(server.now(), Incoming::Binary(bytes), &turn)
            }
            (None, Message::Text(_) | Message::Binary(_)) => match stream.send(message).await {
                Ok(()) => Flow::Continue,
                Err(_gone) => break,
            },
            _ => Flow::Continue,
        };
        turn.send_all().await;
        if let Flow::Close(_) = flow {
            break;
        }
    }
    if let Some(session) = &mut session {
        session.end(server.now(), Reason::Closed, &turn);
    }
    drop((stream, peer));
    turn.send_all().await;
    server.metrics.disconnected(speaks);
    Ok(())
}

async fn publish(hall: Arc<Hall>, request: Request<Arc<Server>>) -> tide::Result<Response> {
    let (channel, body) = match publish::wanted(request).await {
        Ok(wanted) => wanted,
        Err(refusal) => return Ok(refusal),
    };
    let server = hall.server.clone();
    let mut turn = Turn { hall, here: RefCell::default(), errands: RefCell::default() };
    let published = events::publish(server.now(), &channel, &body, &turn);
    turn.send_all().await;
    Ok(publish::told(&server, published))
}

/// All rooms, under one lock.
struct Hall {
    server: Arc<Server>,
    rooms: Mutex<HashMap<Box<str>, Place>>,
}

/// A room, and its post.
type Place = (Room<Peer>, Arc<Post>);

/// What the members of a room are to be sent, one after the other.
#[derive(Debug, Default)]
struct Post {
    letters: Mutex<VecDeque<(Peer, Frame)>>,
    /// Held, across all awaits, by whoever sends.
    sending: Turnstile<()>,
}

/// The way to a client.
#[derive(Clone, Debug)]
struct Peer(WebSocketConnection);

impl Peer {
    async fn send(&self, frame: &Frame) {
        if let Err(error) = self.0.send(super::message(frame.bytes())).await {
            debug!(%error, "not sent");
        }
    }
}

/// What one message leads to.
struct Turn {
    hall: Arc<Hall>,
    /// The post of the room that is being acted in.
    here: RefCell<Option<Arc<Post>>>,
    errands: RefCell<Vec<Errand>>,
}

enum Errand {
    To(Peer, Frame),
    Room(Arc<Post>),
}

impl Turn {
    async fn send_all(&mut self) {
        for errand in std::mem::take(self.errands.get_mut()) {
            match errand {
                Errand::To(peer, frame) => peer.send(&frame).await,
                Errand::Room(post) => {
                    let _sending = post.sending.lock().await;
                    loop {
                        let letter = post.letters.lock().pop_front();
                        let Some((peer, frame)) = letter else { break };
                        peer.send(&frame).await;
                    }
                }
            }
        }
    }
}

impl Outlet for Turn {
    type Peer = Peer;

    fn push(&self, to: &Peer, frame: &Frame) {
        let letter = (to.clone(), frame.clone());
        match &*self.here.borrow() {
            Some(post) => post.letters.lock().push_back(letter),
            None => self.errands.borrow_mut().push(Errand::To(letter.0, letter.1)),
        }
    }
}

impl World for Turn {
    fn with_room<R>(
        &self,
        name: &str,
        make: Make,
        act: impl FnOnce(&mut Room<Peer>) -> R,
    ) -> Option<R> {
        let mut rooms = self.hall.rooms.lock();
        let mut entry = match (rooms.entry(name.into()), make) {
            (Entry::Occupied(_), Make::Fresh) | (Entry::Vacant(_), Make::Never) => return None,
            (Entry::Occupied(entry), _) => entry,
            (Entry::Vacant(entry), _) => {
                let mut room = Room::new(name, &mut self.hall.server.ids.lock());
                // With all rooms locked meanwhile.
                if !world::restore(&self.hall.server, &mut room) {
                    return None;
                }
                entry.insert_entry((room, Arc::default()))
            }
        };
        let (room, post) = entry.get_mut();
        *self.here.borrow_mut() = Some(post.clone());
        let result = act(room);
        *self.here.borrow_mut() = None;
        self.errands.borrow_mut().push(Errand::Room(post.clone()));
        if room.is_dead() {
            entry.remove();
        }
        Some(result)
    }

    fn rooms_named(&self, prefix: &str, look: &mut dyn FnMut(&Room<Peer>)) {
        let rooms = self.hall.rooms.lock();
        for (_, (room, _)) in rooms.iter().filter(|(name, _)| name.starts_with(prefix)) {
            look(room);
        }
    }

    fn with_ids<R>(&self, act: impl FnOnce(&mut Ids) -> R) -> R {
        act(&mut self.hall.server.ids.lock())
    }

    fn app(&self, key: &str) -> Option<Arc<App>> {
        self.hall.server.apps.with_key(key)
    }

    fn admit(&self, app: &App) -> bool {
        self.hall.server.apps.admit(app)
    }

    fn dismiss(&self, app: &App) {
        self.hall.server.apps.dismiss(app);
    }

    fn limits(&self) -> &Limits {
        &self.hall.server.config.limits
    }

    fn draining(&self) -> bool {
        false
    }

    fn keeps(&self) -> bool {
        self.hall.server.config.data.is_some()
    }

    fn keep<'a>(
        &self,
        room: &str,
        version: u64,
        changes: impl Iterator<Item = Change<'a>>,
    ) -> Result<(), NotKept> {
        world::keep(&self.hall.server, room, version, changes)
    }

    /// A task and a timer of its own for each.
    fn wake_room(&self, name: &str, at: Time) {
        let (hall, name) = (self.hall.clone(), name.to_owned());
        let tick = async move {
            let wait = at.since(hall.server.now().time);
            async_std::task::sleep(wait).await;
            let now: Now = hall.server.now();
            let mut turn = Self { hall, here: RefCell::default(), errands: RefCell::default() };
            protocol::tick_room(now, &name, &turn);
            turn.send_all().await;
        };
        // Nobody learns how it ends.
        drop(async_std::task::spawn(tick));
    }

    fn tally(&self, what: Tally) {
        self.hall.server.metrics.tally(what);
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}
