//! A world for one thread: for tests, benchmarks and simulations, and the simplest one to read.

use std::cell::{Cell, Ref, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::dialect::{Dialect, Heartbeat};
use crate::frame::Frame;
use crate::ids::Ids;
use crate::limits::{Limits, passes};
use crate::pusher::{App, Hook};
use crate::room::Room;
use crate::time::Time;
use crate::world::{Make, Outlet, World};

/// A connection of a [`LocalWorld`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ConnId(pub u64);

/// Rooms in a map, and for each connection the frames that were pushed to it.
///
/// Its cells panic where a concurrent world would deadlock: on `with_room` inside of `with_room`.
#[derive(Debug)]
pub struct LocalWorld {
    rooms: RefCell<BTreeMap<String, Room<ConnId>>>,
    ids: RefCell<Ids>,
    limits: Limits,
    draining: Cell<bool>,
    wakes: RefCell<BTreeSet<(Time, String)>>,
    sent: RefCell<BTreeMap<ConnId, Vec<Frame>>>,
    apps: Vec<Arc<App>>,
    /// By the application's id: its connections.
    places: RefCell<BTreeMap<String, usize>>,
    hooks: RefCell<Vec<(String, Hook)>>,
    heartbeats: BTreeMap<Dialect, Heartbeat>,
}

impl LocalWorld {
    /// A world without rooms.
    pub fn new(limits: Limits, ids: Ids) -> Self {
        Self {
            rooms: RefCell::default(),
            ids: RefCell::new(ids),
            limits,
            draining: Cell::new(false),
            wakes: RefCell::default(),
            sent: RefCell::default(),
            apps: Vec::new(),
            places: RefCell::default(),
            hooks: RefCell::default(),
            heartbeats: BTreeMap::new(),
        }
    }

    /// The same, with this application of `pusher`.
    #[must_use]
    pub fn with_app(mut self, app: App) -> Self {
        self.apps.push(Arc::new(app));
        self
    }

    /// The same, with this heartbeat of a dialect.
    #[must_use]
    pub fn with_heartbeat(mut self, dialect: Dialect, heartbeat: Heartbeat) -> Self {
        self.heartbeats.insert(dialect, heartbeat);
        self
    }

    /// Takes what webhooks were to tell since this was last asked, each with its application's id.
    pub fn take_hooks(&self) -> Vec<(String, Hook)> {
        self.hooks.take()
    }

    /// How many connections this application has.
    pub fn places_of(&self, app: &App) -> usize {
        self.places.borrow().get(&app.id).copied().unwrap_or(0)
    }

    /// Takes what has been pushed to this connection since it was last asked.
    pub fn take(&self, conn: ConnId) -> Vec<Frame> {
        self.sent.borrow_mut().remove(&conn).unwrap_or_default()
    }

    /// From now on (or no more) nobody is let in.
    pub fn set_draining(&self, draining: bool) {
        self.draining.set(draining);
    }

    /// When the next room wants to be ticked.
    pub fn next_wake(&self) -> Option<Time> {
        self.wakes.borrow().first().map(|(at, _)| *at)
    }

    /// The next room that is due at `now`, if any: it is to be ticked, and is not named again.
    pub fn due(&self, now: Time) -> Option<String> {
        let mut wakes = self.wakes.borrow_mut();
        let due = wakes.first().is_some_and(|(at, _)| *at <= now);
        let (_, name) = if due { wakes.pop_first() } else { None }?;
        Some(name)
    }

    /// The rooms that are alive.
    pub fn rooms(&self) -> Ref<'_, BTreeMap<String, Room<ConnId>>> {
        self.rooms.borrow()
    }
}

impl Outlet for LocalWorld {
    type Peer = ConnId;

    fn push(&self, to: &ConnId, frame: &Frame) {
        self.sent.borrow_mut().entry(*to).or_default().push(frame.clone());
    }
}

impl World for LocalWorld {
    fn with_room<R>(
        &self,
        name: &str,
        make: Make,
        act: impl FnOnce(&mut Room<ConnId>) -> R,
    ) -> Option<R> {
        let mut rooms = self.rooms.borrow_mut();
        let absent = !rooms.contains_key(name);
        match (make, absent) {
            (Make::Never, true) | (Make::Fresh, false) => return None,
            (Make::IfAbsent | Make::Fresh, true) => {
                let room = Room::new(name, &mut self.ids.borrow_mut());
                rooms.insert(name.to_owned(), room);
            }
            (Make::Never | Make::IfAbsent, false) => {}
        }
        let room = rooms.get_mut(name)?;
        let result = act(room);
        if room.is_dead() {
            rooms.remove(name);
        }
        Some(result)
    }

    fn rooms_named(&self, prefix: &str, look: &mut dyn FnMut(&Room<ConnId>)) {
        let rooms = self.rooms.borrow();
        let named = rooms.range(prefix.to_owned()..);
        for (_, room) in named.take_while(|(name, _)| name.starts_with(prefix)) {
            look(room);
        }
    }

    fn with_ids<R>(&self, act: impl FnOnce(&mut Ids) -> R) -> R {
        act(&mut self.ids.borrow_mut())
    }

    fn heartbeat(&self, dialect: Dialect) -> Heartbeat {
        self.heartbeats.get(&dialect).copied().unwrap_or_else(|| dialect.heartbeat())
    }

    fn app(&self, key: &str) -> Option<Arc<App>> {
        self.apps.iter().find(|app| app.key == key).cloned()
    }

    fn admit(&self, app: &App) -> bool {
        let mut places = self.places.borrow_mut();
        let taken = places.entry(app.id.clone()).or_default();
        let admitted = !passes(*taken + 1, app.max_connections);
        *taken += usize::from(admitted);
        admitted
    }

    fn dismiss(&self, app: &App) {
        let mut places = self.places.borrow_mut();
        let taken = places.get_mut(&app.id).expect("only who was admitted is dismissed");
        *taken = taken.checked_sub(1).expect("each is dismissed once");
    }

    fn hook(&self, app: &Arc<App>, hook: Hook) {
        self.hooks.borrow_mut().push((app.id.clone(), hook));
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn draining(&self) -> bool {
        self.draining.get()
    }

    fn wake_room(&self, name: &str, at: Time) {
        self.wakes.borrow_mut().insert((at, name.to_owned()));
    }
}
