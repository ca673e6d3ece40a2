//! A world that commits one fault, at the seams: what goes out, and what is drawn.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::pusher::{App, Hook};
use protocol::{
    Change, ConnId, Frame, Ids, Limits, LocalWorld, Make, NotKept, Outlet, RawValue, Room, Tally,
    Time, World,
};

/// Something that goes wrong once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// What.
    pub(crate) what: What,
    /// The type of the message that it happens to; any text, if it is empty.
    pub(crate) on: &'static str,
    /// How many of them are spared.
    pub(crate) after: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// It is not sent.
    Drop,
    /// It is sent twice.
    Duplicate,
    /// It is sent after the next one of its type, to the same receiver.
    Swap,
    /// Another connection gets it too.
    Leak,
    /// Something else is in it.
    Corrupt,
    /// Every id that is drawn is the same.
    SameIds,
    /// What is kept is not what was told.
    KeepLess,
    /// What could not be kept is told as if it was.
    KeepNothing,
    /// There is no place for another room.
    NoRooms,
}

/// What is left of a room's storage when the room is gone.
pub(crate) type Kept = (u64, BTreeMap<String, Box<RawValue>>);

/// A [`LocalWorld`], seen through a fault.
pub(crate) struct Faulty {
    /// Whether storage outlives its room.
    pub(crate) keeps: Cell<bool>,
    /// Whether it could not be written down.
    pub(crate) disk_full: Cell<bool>,
    /// By room: what was written down.
    pub(crate) kept: RefCell<BTreeMap<String, Kept>>,
    pub(crate) inner: LocalWorld,
    fault: Option<Fault>,
    spared: Cell<u32>,
    held: RefCell<Option<(ConnId, Frame)>>,
    fired: Cell<bool>,
    latest: Cell<ConnId>,
    tallies: RefCell<Vec<Tally>>,
}

impl Faulty {
    pub(crate) fn new(limits: Limits, fault: Option<Fault>) -> Self {
        Self {
            keeps: Cell::new(false),
            disk_full: Cell::new(false),
            kept: RefCell::default(),
            inner: LocalWorld::new(limits, Ids::new([42; 32])).with_app(App::default()),
            fault,
            spared: Cell::new(0),
            held: RefCell::new(None),
            fired: Cell::new(false),
            latest: Cell::new(ConnId(0)),
            tallies: RefCell::default(),
        }
    }

    /// Whether the fault has happened.
    pub(crate) fn fired(&self) -> bool {
        self.fired.get()
    }

    /// What has been counted since this was last asked.
    pub(crate) fn take_tallies(&self) -> Vec<Tally> {
        self.tallies.take()
    }

    fn commit(&self, what: What, to: ConnId, frame: &Frame) {
        match what {
            What::Drop | What::SameIds | What::NoRooms | What::KeepLess | What::KeepNothing => {}
            What::Duplicate => {
                self.inner.push(&to, frame);
                self.inner.push(&to, frame);
            }
            What::Swap => *self.held.borrow_mut() = Some((to, frame.clone())),
            What::Leak => {
                self.inner.push(&to, frame);
                let latest = self.latest.get();
                let other = if latest == to { ConnId(to.0 - 1) } else { latest };
                self.inner.push(&other, frame);
            }
            What::Corrupt => {
                let text = frame.as_text().replace(r#""text":"t"#, r#""text":"x"#);
                let text = text.replace(r#""member":"m-"#, r#""member":"m-x"#);
                let text = text.replace(r#""value":"#, r#""value":1"#);
                let text = text.replace(r#""presence":{"#, r#""presence":{"odd":1,"#);
                let text = if text == frame.as_text() { text.replace('t', "x") } else { text };
                self.inner.push(&to, &Frame::text(text));
            }
        }
    }
}

/// Whether the message is of that type, however its dialect says so.
fn is_a(text: &str, kind: &str) -> bool {
    let starts = |before: &str| {
        text.strip_prefix(before)
            .and_then(|rest| rest.strip_prefix(kind))
            .is_some_and(|rest| rest.starts_with('"'))
    };
    kind.is_empty()
        || [r#"{"type":""#, r#"{"status":""#, r#"{"event":""#, r#"{""#].into_iter().any(starts)
}

impl Outlet for Faulty {
    type Peer = ConnId;

    fn push(&self, to: &ConnId, frame: &Frame) {
        self.latest.set(self.latest.get().max(*to));
        let hit = self.fault.filter(|fault| is_a(frame.as_text(), fault.on));
        match hit {
            Some(fault) if !self.fired.get() && self.spared.get() == fault.after => {
                self.fired.set(true);
                self.commit(fault.what, *to, frame);
            }
            _ => {
                self.spared.set(self.spared.get() + u32::from(hit.is_some()));
                self.inner.push(to, frame);
                let release = hit.is_some()
                    && self.held.borrow().as_ref().is_some_and(|(held_for, _)| held_for == to);
                if release && let Some((to, frame)) = self.held.take() {
                    self.inner.push(&to, &frame);
                }
            }
        }
    }
}

impl World for Faulty {
    fn with_room<R>(
        &self,
        name: &str,
        make: Make,
        act: impl FnOnce(&mut Room<ConnId>) -> R,
    ) -> Option<R> {
        let full = matches!(self.fault, Some(Fault { what: What::NoRooms, .. }));
        let make = if full && make == Make::IfAbsent { Make::Never } else { make };
        if full && make == Make::Fresh {
            return None;
        }
        let is_new = !self.inner.rooms().contains_key(name);
        let kept = self.kept.borrow().get(name).filter(|_| is_new).cloned();
        self.inner.with_room(name, make, |room| {
            if let Some((version, entries)) = kept {
                room.restore(version, entries);
            }
            act(room)
        })
    }

    fn keeps(&self) -> bool {
        self.keeps.get()
    }

    fn keep<'a>(
        &self,
        room: &str,
        version: u64,
        changes: impl Iterator<Item = Change<'a>>,
    ) -> Result<(), NotKept> {
        assert!(self.keeps(), "only a world that keeps is asked to");
        if self.disk_full.get() {
            return Err(NotKept);
        }
        match self.fault.map(|fault| fault.what) {
            Some(What::KeepNothing) => {
                self.fired.set(true);
                return Ok(());
            }
            Some(What::KeepLess) if version > 1 => {
                self.fired.set(true);
                self.kept.borrow_mut().entry(room.to_owned()).or_default().0 = version;
                return Ok(());
            }
            _ => {}
        }
        let mut all = self.kept.borrow_mut();
        let kept = all.entry(room.to_owned()).or_default();
        assert_eq!(version, kept.0 + 1, "{room}: every version is kept, once");
        kept.0 = version;
        for Change { key, value } in changes {
            match value {
                Some(value) => drop(kept.1.insert(key.to_owned(), value.to_owned())),
                None => drop(kept.1.remove(key)),
            }
        }
        Ok(())
    }

    fn rooms_named(&self, prefix: &str, look: &mut dyn FnMut(&Room<ConnId>)) {
        self.inner.rooms_named(prefix, look);
    }

    fn app(&self, key: &str) -> Option<Arc<App>> {
        self.inner.app(key)
    }

    fn admit(&self, app: &App) -> bool {
        self.inner.admit(app)
    }

    fn dismiss(&self, app: &App) {
        self.inner.dismiss(app);
    }

    fn hook(&self, app: &Arc<App>, hook: Hook) {
        self.inner.hook(app, hook);
    }

    fn with_ids<R>(&self, act: impl FnOnce(&mut Ids) -> R) -> R {
        if let Some(Fault { what: What::SameIds, .. }) = self.fault {
            self.fired.set(true);
            return act(&mut Ids::new([0; 32]));
        }
        self.inner.with_ids(act)
    }

    fn limits(&self) -> &Limits {
        self.inner.limits()
    }

    fn draining(&self) -> bool {
        self.inner.draining()
    }

    fn wake_room(&self, name: &str, at: Time) {
        self.inner.wake_room(name, at);
    }

    fn tally(&self, what: Tally) {
        self.tallies.borrow_mut().push(what);
    }
}
