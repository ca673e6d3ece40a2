//! Each dialect file and the server's own code say the same: two readings of one protocol, held
//! against each other over random histories.

#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

mod chat;
mod events;
mod native;
mod project;
mod pusher;
mod rooms;
mod seed;

use harness::dialect::Dialect;

/// What both know of a dialect as a whole.
#[test]
fn paths_and_timers_are_the_same() {
    for dialect in protocol::Dialect::ALL {
        let file = Dialect::load(dialect.name()).unwrap_or_else(|problems| panic!("{problems}"));
        let path = file.connect.path.split('?').next().expect("a path");
        let path = path.trim_end_matches("/$room").trim_end_matches("/$key");
        assert_eq!(path, dialect.path(), "{}", dialect.name());
        assert_eq!(file.connect.subprotocol.as_deref(), dialect.subprotocol());
        let timers = file.heartbeat.expect("every one of them pings");
        let own = dialect.heartbeat();
        assert_eq!(timers.every, own.interval, "{}", dialect.name());
        assert_eq!(timers.timeout, dialect.patience(own), "{}", dialect.name());
    }
}
