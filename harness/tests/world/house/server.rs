//! What the server of the house does with a request: correct, but for what `faults` does to it.

use super::*;

impl House {
    /// The server takes one request of a client.
    pub(super) fn serve(&mut self, client: usize) {
        let Some(connection) = self.clients[client].connection else { return };
        if let Some(ask) = self.clients[client].out.pop_front() {
            self.answer(connection, client, ask);
        }
    }

    /// The server gets on with one of the connections that have ended: it takes what was asked over
    /// it, and at last gives it up.
    pub(super) fn notice_one(&mut self) {
        if self.gone.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.gone.len());
        let (connection, client, out) = &mut self.gone[at];
        let (connection, client, ask) = (*connection, *client, out.pop_front());
        if let Some(ask) = ask {
            return self.answer(connection, client, ask);
        }
        self.gone.swap_remove(at);
        if self.forgets(Kind::Gone) {
            return;
        }
        for room in 0..self.plot.rooms {
            self.remove(connection, room);
        }
    }

    fn answer(&mut self, connection: u32, client: usize, ask: Ask) {
        let room = match &ask {
            Ask::Join { room, .. }
            | Ask::Leave { room }
            | Ask::Say { room, .. }
            | Ask::Present { room, .. }
            | Ask::Store { room, .. } => *room,
        };
        let inside = self.rooms[room].members.iter().any(|it| it.connection == connection);
        match ask {
            Ask::Join { room, since } if !inside => self.admit(connection, client, room, since),
            _ if !inside => {}
            Ask::Join { .. } => {}
            Ask::Leave { room } => {
                self.remove(connection, room);
                self.tell(connection, client, What::Exited { room: room_of(room) });
            }
            Ask::Say { room, id } => self.said(connection, client, room, id),
            Ask::Present { room, state } => {
                let members = &mut self.rooms[room].members;
                let me = members.iter_mut().find(|it| it.connection == connection);
                me.expect("it is inside").state = Arc::clone(&state);
                self.tell(connection, client, What::PresenceAcked { room: room_of(room) });
                let number = Some(self.rooms[room].log.len() as u64 + 1);
                let who = who(client);
                self.event(room, &What::Presence { room: room_of(room), who, state, number });
            }
            Ask::Store { room, request, ops } => {
                self.written(connection, client, (room, request), ops);
            }
        }
    }

    fn said(&mut self, connection: u32, client: usize, room: usize, id: MessageId) {
        if self.rng.random_range(0..20) == 0 {
            let refusal = What::Rejected { message: id, code: "no".into() };
            return self.tell(connection, client, refusal);
        }
        let number = Some(self.rooms[room].log.len() as u64 + 1);
        self.tell(connection, client, What::Acked { message: id, number });
        let (from, hash) = (who(client), id.seq);
        let named = Some(room_of(room));
        self.event(room, &What::Received { message: id, room: named, from, hash, number });
    }

    fn written(
        &mut self,
        connection: u32,
        client: usize,
        (room, request): (usize, u32),
        ops: Arc<Value>,
    ) {
        let id = room_of(room);
        let refused = self.rng.random_range(0..8) == 0;
        if refused {
            self.tell(connection, client, What::StoreRefused { room: id, request });
            if !self.forgets(Kind::Refusal) {
                return;
            }
        } else if self.forgets(Kind::Write) {
            // It is confirmed, and never done.
            let version = Some(self.rooms[room].version + 1);
            return self.tell(connection, client, What::StoreAcked { room: id, request, version });
        }
        let state = &mut self.rooms[room];
        state.version += 1;
        let (version, number) = (state.version, Some(state.log.len() as u64 + 1));
        for op in ops.as_array().into_iter().flatten() {
            let key = |op: &Value| op["key"].as_str().expect("of its own making").to_owned();
            if let Some(put) = op.get("put") {
                state.entries.insert(key(put), put["value"].clone());
            } else {
                state.entries.remove(&key(&op["delete"]));
            }
        }
        if !refused {
            let version = Some(version);
            self.tell(connection, client, What::StoreAcked { room: id, request, version });
        }
        let who = who(client);
        self.event(room, &What::Stored { room: id, who, version, ops, number });
    }

    fn admit(&mut self, connection: u32, client: usize, room: usize, since: Option<(u32, u64)>) {
        let id = room_of(room);
        if self.rng.random_range(0..20) == 0 {
            let refusal = What::Refused { room: Some(id), code: "no".into() };
            return self.tell(connection, client, refusal);
        }
        let state = &mut self.rooms[room];
        let kept = since.filter(|(life, n)| *life == state.life && *n <= state.log.len() as u64);
        let kept = kept.filter(|_| self.rng.random_bool(0.85));
        state.view += 1;
        let view = Some(state.view);
        let empty = Arc::new(json!({}));
        state.members.push(Member { connection, client, state: empty });
        let person = |it: &Member| {
            let told = kept.is_none().then(|| Arc::clone(&it.state));
            Person { who: who(it.client), state: told }
        };
        let entries = Value::Object(state.entries.clone().into_iter().collect());
        let entry = Entry {
            room: id,
            confirmed: true,
            full: true,
            you: Some(format!("m-{connection}-{room}").into()),
            tickets: 0,
            members: Some(state.members.iter().map(person).collect()),
            count: Some(state.members.len() as u64),
            epoch: Some(format!("life-{}", state.life).into()),
            number: Some(kept.map_or(state.log.len() as u64, |(_, number)| number)),
            view,
            recovered: since.map(|_| kept.is_some()),
            storage: kept.is_none().then(|| (state.version, Arc::new(entries))),
        };
        let missed = kept.map(|(_, n)| state.log[usize::try_from(n).expect("small")..].to_vec());
        let others: Vec<(u32, usize)> =
            state.members.iter().map(|it| (it.connection, it.client)).collect();
        self.tell(connection, client, What::Entered(Box::new(entry)));
        for event in self.replay(missed.unwrap_or_default()) {
            self.tell(connection, client, event);
        }
        for (other, to) in others.into_iter().filter(|(other, _)| *other != connection) {
            self.tell(other, to, What::Joined { room: id, who: who(client), view });
        }
    }

    /// A connection is in a room no more. When the last has gone, the room begins anew.
    pub(super) fn remove(&mut self, connection: u32, room: usize) {
        let state = &mut self.rooms[room];
        let at = state.members.iter().position(|it| it.connection == connection);
        let Some(at) = at else { return };
        let client = state.members.remove(at).client;
        state.view += 1;
        let view = Some(state.view);
        if state.members.is_empty() && self.rng.random_bool(0.5) {
            let tickets = state.tickets;
            *state = Room { tickets, ..Room::new(state.life + 1) };
        }
        let others: Vec<(u32, usize)> =
            self.rooms[room].members.iter().map(|it| (it.connection, it.client)).collect();
        for (other, to) in others {
            let (room, who, reason) = (room_of(room), who(client), None);
            self.tell(other, to, What::Left { room, who, view, reason });
        }
    }

    /// An event for all who are in a room; it has the next number.
    fn event(&mut self, room: usize, event: &What) {
        self.rooms[room].log.push(event.clone());
        let all: Vec<(u32, usize)> =
            self.rooms[room].members.iter().map(|it| (it.connection, it.client)).collect();
        for (connection, client) in all {
            self.tell(connection, client, event.clone());
        }
    }

    /// A frame on its way to a connection; if that has ended, nobody reads it.
    pub(super) fn tell(&mut self, connection: u32, client: usize, what: What) {
        if self.clients[client].connection != Some(connection) {
            return;
        }
        if client == self.victim && !self.done && self.spoils(&what) {
            return;
        }
        self.clients[client].inbox.push_back(what);
        if client == self.victim {
            self.release();
        }
    }
}
