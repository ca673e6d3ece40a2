//! Drives whole servers without sockets and without waiting.

#![expect(
    clippy::indexing_slicing,
    reason = "what JSON lacks is null when it is indexed, and a test that panics has failed"
)]

mod chat;
mod crowd;
mod document;
mod events;
mod faulty;
mod guarantees;
mod heartbeats;
mod noise;
mod project;
mod pusher;
mod refusals;
mod requests;
mod rooms;
mod server;
mod time;
mod transcript;
