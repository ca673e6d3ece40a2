//! The view of whoever runs the server: connections, rooms, and eviction.
//!
//! What is shown is asked of the rooms themselves, one after the other, each locked for as long as it
//! takes to copy its list. So it costs nobody anything while nobody looks; and it is no picture of
//! one moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use protocol::{Dialect, Ending};
use serde::Serialize;
use serde_json::json;
use tide::{Request, Response, StatusCode};

use crate::{
    connection::{Connection, Order},
    publish::{error, json_response, unless_local},
    server::Server,
};

#[derive(Serialize)]
struct Connections {
    connections: Vec<OneConnection>,
}

/// What is known of a connection.
#[derive(Serialize)]
struct OneConnection {
    /// As its client was told it, where it is told one.
    id: String,
    dialect: &'static str,
    address: Option<String>,
    user_agent: Option<String>,
    since: String,
    /// When the last sign of life came, of those that the dialect goes by.
    last_seen: String,
    rooms: BTreeSet<String>,
    queue_bytes: usize,
}

#[derive(Serialize)]
struct Rooms {
    rooms: Vec<OneRoom>,
}

/// What is known of a room.
#[derive(Serialize)]
pub(crate) struct OneRoom {
    dialect: &'static str,
    name: String,
    capacity: Option<usize>,
    storage_version: u64,
    members: Vec<OneMember>,
}

/// What is known of a member of a room.
#[derive(Serialize)]
struct OneMember {
    id: String,
    username: String,
    /// What it may do: `full`, or `none` for those who are only counted.
    membership: &'static str,
    connection: String,
    #[serde(skip)]
    number: u64,
}

/// `GET /admin/connections`
pub(crate) fn connections(request: &Request<Arc<Server>>) -> Response {
    if let Some(refused) = unless_local(request) {
        return refused;
    }
    let server = request.state();
    let mut rooms: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for room in all_rooms(server) {
        for member in room.members {
            rooms.entry(member.number).or_default().insert(room.name.clone());
        }
    }
    let connections = server.connections.all();
    let connections = connections
        .iter()
        .map(|connection| OneConnection {
            id: connection.told_id(),
            dialect: connection.speaks.name(),
            address: connection.address.map(|address| address.to_string()),
            user_agent: connection.user_agent.as_deref().map(str::to_owned),
            since: timestamp(server.unix(connection.opened)),
            last_seen: timestamp(server.unix(connection.last_seen())),
            rooms: rooms.remove(&connection.id).unwrap_or_default(),
            queue_bytes: connection.outbound.lock().bytes(),
        })
        .collect();
    json_response(StatusCode::Ok, &Connections { connections })
}

/// `GET /admin/rooms`
pub(crate) fn rooms(request: &Request<Arc<Server>>) -> Response {
    if let Some(refused) = unless_local(request) {
        return refused;
    }
    let mut rooms = all_rooms(request.state());
    rooms.sort_by(|a, b| (a.dialect, &a.name).cmp(&(b.dialect, &b.name)));
    json_response(StatusCode::Ok, &Rooms { rooms })
}

/// `DELETE /admin/connections/{id}`
pub(crate) fn evict(request: &Request<Arc<Server>>) -> Response {
    if let Some(refused) = unless_local(request) {
        return refused;
    }
    let id = request.param("id").unwrap_or_default();
    let id = percent_decode_str(id).decode_utf8_lossy();
    let connections = request.state().connections.all();
    match connections.iter().find(|connection| connection.told_id() == id) {
        Some(connection) => {
            connection.end(Order::Close(Ending::EVICTED));
            json_response(StatusCode::Accepted, &json!({ "evicted": id }))
        }
        None => error(StatusCode::NotFound, "there is no connection of this id", Some("id")),
    }
}

fn all_rooms(server: &Server) -> Vec<OneRoom> {
    server.rooms.look_at_each(|room| {
        let (dialect, name) = Dialect::of_key(room.name());
        let members = room.occupants().map(|member| {
            let connection: &Arc<Connection> = member.peer;
            OneMember {
                id: member.id.to_owned(),
                username: member.username.to_owned(),
                membership: if member.is_full { "full" } else { "none" },
                connection: connection.told_id(),
                number: connection.id,
            }
        });
        OneRoom {
            dialect: dialect.name(),
            name: name.to_owned(),
            capacity: room.capacity(),
            storage_version: room.storage_version(),
            members: members.collect(),
        }
    })
}

/// RFC 3339, in UTC, in milliseconds.
pub(crate) fn timestamp(unix: Duration) -> String {
    let millis = i64::try_from(unix.as_millis()).unwrap_or(i64::MAX);
    // A clock beyond the year 9999 reads as 1970.
    let at = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_three_places() {
        assert_eq!(timestamp(Duration::from_millis(1_767_225_600_007)), "2026-01-01T00:00:00.007Z");
        assert_eq!(timestamp(Duration::ZERO), "1970-01-01T00:00:00.000Z");
    }
}
