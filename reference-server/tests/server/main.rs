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
mod rooms;
mod tls;
mod watch;
