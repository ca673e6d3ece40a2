//! The server over real sockets, one file per story.

mod admin;
mod common;
mod data;
mod dialects;
mod endings;
mod framing;
mod handshake;
mod program;
mod publish;
mod pusher;
mod rooms;
mod tls;
#[cfg(feature = "tide-websockets")]
mod transports;
mod watch;
