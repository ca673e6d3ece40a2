//! The server over real sockets, one file per story.

mod common;
mod endings;
mod framing;
mod handshake;
mod program;
mod rooms;
mod tls;
