//! Rooms that are in the path of the upgrade request: to enter one is to connect.

use super::Client;
use crate::books::Books;
use crate::observe::{RoomId, Time, What};
use crate::scenario::template::as_text;

/// What a client that is ready to connect will ask for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Armed {
    /// More headers of the upgrade request.
    pub headers: Vec<(String, String)>,
    /// The greeting is a frame like others.
    pub bare: bool,
}

impl Client {
    /// It is about to connect, and so to enter this room.
    pub fn entering(&mut self, now: Time, room: &str, books: &mut Books) {
        let room = books.room(room);
        self.entering = Some(room);
        books.observe(now, self.id, What::Joining { room: Some(room), since: false });
    }

    /// The name of the room that it enters with its next connection.
    pub fn chosen_room(&self, books: &Books) -> Option<std::sync::Arc<str>> {
        self.entering.map(|room| books.room_name(room))
    }

    /// It is about to leave its only room, by closing. Says which room that is.
    pub fn leaving(&mut self, now: Time, books: &mut Books) -> Option<RoomId> {
        let room = self.rooms.last()?.room;
        books.observe(now, self.id, What::Leaving { room });
        Some(room)
    }

    /// Where a connection is in its room from the start, it is there now.
    pub(super) fn be_inside(&mut self, now: Time, books: &mut Books) {
        let chosen = self.entering.take();
        let room = chosen.unwrap_or_else(|| {
            let name = self.vars.get("room").map_or_else(|| "*".to_owned(), as_text);
            let room = books.room(&name);
            books.observe(now, self.id, What::Joining { room: Some(room), since: false });
            room
        });
        // What the server has answered since the upgrade shows that it knows of the connection.
        let certain = chosen.is_some() && self.dialect.connect.ready.is_some();
        self.enter_unasked(now, room, true, certain, books);
    }
}
