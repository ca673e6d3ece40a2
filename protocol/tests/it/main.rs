//! Drives whole servers without sockets and without waiting.

mod document;
mod faulty;
mod guarantees;
mod refusals;
mod requests;
mod server;
mod time;
mod transcript;
