//! Whom names and member ids mean: of clients of ours, and of those who have not been heard of yet.

use super::Books;
use crate::heard::Heard;
use crate::observe::{ClientId, RoomId, Time, What, Who};

impl Books {
    /// Notes that a member id of a room is this client's. What others were told of it before is
    /// understood now.
    pub fn introduce(&mut self, room: RoomId, member: &str, client: ClientId) {
        self.members.insert((room, member.into()), client);
        for (at, told, what) in self.strangers.met(room, member, client) {
            self.observe(at, told, what);
        }
    }

    /// Enters what a client was told of somebody. Where only a member id names whom, and the one it
    /// belongs to has not read yet that it is its own, this waits until it has.
    pub fn told_of(&mut self, at: Time, client: ClientId, what: What) {
        if let Some(what) = self.strangers.keep(at, client, what) {
            self.observe(at, client, what);
        }
    }

    /// The clients that can be told now of whom they were told something.
    pub fn take_enlightened(&mut self) -> Vec<ClientId> {
        self.strangers.take_enlightened()
    }

    /// A client asks to be called otherwise. A name that is somebody's already stays his.
    pub fn also_called(&mut self, client: ClientId, name: &str) {
        self.names.entry(name.into()).or_insert(client);
    }

    /// Whom a name or a member id means. What names a client is remembered for its member id.
    pub fn who(&mut self, room: Option<RoomId>, name: Option<&str>, member: Option<&str>) -> Who {
        if let Some(&client) = name.and_then(|name| self.names.get(name)) {
            if let (Some(room), Some(member)) = (room, member) {
                self.members.entry((room, member.into())).or_insert(client);
            }
            return Who::Client(client);
        }
        let known = room.zip(member).and_then(|(room, id)| self.members.get(&(room, id.into())));
        match (known, member.or(name)) {
            (Some(&client), _) => Who::Client(client),
            (None, Some(word)) => Who::Stranger(word.into()),
            (None, None) => Who::Untold,
        }
    }

    /// Resolves whom a text names, once for all clients that hear it.
    pub fn named(&mut self, heard: &Heard, room: Option<RoomId>) -> Who {
        if let Some(&client) = heard.who.get() {
            return Who::Client(client);
        }
        let Some(fields) = heard.fields() else { return Who::Untold };
        let text = |key: &str| fields.get(key).and_then(|value| value.as_str());
        let who = self.who(room, text("who"), text("member"));
        if let Who::Client(client) = who {
            heard.who.get_or_init(|| client);
        }
        who
    }
}
