//! The server over real sockets, one file per story.

mod common;
mod framing;
mod handshake;
