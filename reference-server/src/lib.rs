//! A WebSocket server that serves the protocols exactly: tide and sockets around [`protocol`].
//!
//! [`serve`] runs a server on a listener until its [`Shutdown`] is used; [`cli::main`] is the
//! program around it.
//!
//! ```
//! use reference_server::{Config, Shutdown, serve};
//!
//! # async_std::task::block_on(async {
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let shutdown = Shutdown::new();
//! let server = async_std::task::spawn(serve(Config::default(), listener, shutdown.clone()));
//! // … connect to it …
//! shutdown.now();
//! server.await?;
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```

mod accept;
mod admin;
pub mod cli;
mod config;
mod connection;
mod conversation;
mod data;
mod handler;
mod head;
mod metrics;
#[cfg(all(feature = "mutants", debug_assertions))]
mod mutants;
mod outbound;
mod publish;
mod pusher;
mod routes;
mod run;
mod server;
mod shutdown;
mod socket;
mod stream;
mod tls;
mod transport;
mod upgrade;
mod watch;
mod wheel;
mod world;

#[cfg(all(feature = "mutants", debug_assertions))]
pub use crate::mutants::Chosen;
#[cfg(all(feature = "mutants", debug_assertions))]
use crate::mutants::Turn;
#[cfg(not(all(feature = "mutants", debug_assertions)))]
use crate::world::Turn;

pub use crate::{
    config::{Config, Dialect, Heartbeat, Mount},
    data::{CannotOpen, Data},
    pusher::{PusherApp, Target},
    run::serve,
    shutdown::Shutdown,
    tls::Tls,
    transport::Transport,
};
