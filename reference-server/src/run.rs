//! The life of a server: it accepts, keeps time, and ends in order.

use std::{io, net::TcpListener, sync::Arc, time::Duration};

use async_io::{Async, Timer};
use futures_lite::{StreamExt, future};
use protocol::{Ending, events};
use serde_json::json;
use tracing::{debug, info};

use crate::{
    Turn, accept,
    admin::timestamp,
    config::Config,
    connection::Order,
    pusher::sender::Senders,
    routes,
    server::Server,
    shutdown::Shutdown,
    watch::{Change, Watch},
    wheel::{Due, TICK},
    world::PEERS_AT_ONCE,
};

/// The part of the drain over which the Close frames are spread; the rest is for the last of them
/// to be answered.
const SPREAD: f64 = 0.8;

/// Serves connections on `listener` until `shutdown` is used and everybody has been sent away.
///
/// # Errors
/// If what the configuration asks for cannot be, such as a mount on a path that is taken, or the
/// listener cannot be used at all.
pub async fn serve(config: Config, listener: TcpListener, shutdown: Shutdown) -> io::Result<()> {
    Prepared::new(config, listener)?.serve(shutdown).await
}

/// A server that has everything that could be refused to it.
#[derive(Debug)]
pub(crate) struct Prepared {
    server: Arc<Server>,
    endpoints: Vec<routes::Endpoint>,
    listener: Async<TcpListener>,
    watch: Option<Watch>,
}

impl Prepared {
    pub(crate) fn new(config: Config, listener: TcpListener) -> io::Result<Self> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        config.check().map_err(invalid)?;
        let endpoints = routes::endpoints(&config).map_err(invalid)?;
        let listener = accept::prepare(listener).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on this address: {error}"))
        })?;
        let server = Arc::new(Server::new(config)?);
        let watch = match &server.config.watch {
            Some(dir) => Some(Watch::start(dir, tell_of_files(server.clone()))?),
            None => None,
        };
        Ok(Self { server, endpoints, listener, watch })
    }

    pub(crate) async fn serve(self, shutdown: Shutdown) -> io::Result<()> {
        let Self { server, endpoints, listener, watch } = self;
        #[cfg(feature = "tide-websockets")]
        if server.config.transport.is_naive() {
            let listener = listener.into_inner()?;
            let served =
                crate::transport::naive::serve(server.clone(), endpoints, listener, &shutdown);
            served.await?;
            server.sync_data();
            return Ok(());
        }
        let app = routes::app(server.clone(), endpoints);
        let accepting = async_std::task::spawn(accept::run(server.clone(), app, listener));
        let ticking = async_std::task::spawn(keep_time(server.clone()));
        let senders = Senders::start(&server);
        until_sent_away(&server, &shutdown).await;
        future::or(senders.finish(), shutdown.forced()).await;
        accepting.cancel().await;
        for connection in server.connections.all() {
            connection.end(Order::Lost);
        }
        ticking.cancel().await;
        server.wheel.stop();
        // Both wait for a thread or the disk: there is nobody left whom that delays.
        drop(watch);
        server.sync_data();
        info!(connections = server.connections.count(), "stopped");
        Ok(())
    }
}

/// Publishes changes of files, from the thread that found them.
fn tell_of_files(server: Arc<Server>) -> impl FnMut(Change) + Send {
    let mut turn = Turn::new(server);
    move |change| {
        let now = turn.server.now();
        let body = json!({
            "file": change.file,
            "event": change.happened.word(),
            "timestamp": timestamp(now.unix),
        });
        let published = events::publish(now, "files", &body.to_string(), &turn);
        debug!(file = change.file, ?published, "a file changed");
        if published.is_ok() {
            turn.server.metrics.published_from_files.inc();
        }
        // A tree that is unpacked is more than readers take at once, and here nobody else waits.
        future::block_on(async {
            turn.flush().await;
            turn.wait_for_readers(None).await;
        });
    }
}

/// Waits until the server is told to end, and then for everybody to go.
async fn until_sent_away(server: &Arc<Server>, shutdown: &Shutdown) {
    let named = shutdown.begun().await;
    let drain = named.map_or(server.config.drain, |named| named.min(server.config.drain));
    future::or(send_away(server, drain), shutdown.forced()).await;
}

/// Closes every connection, spread over the drain, and waits until they are gone.
async fn send_away(server: &Arc<Server>, drain: Duration) {
    server.start_draining();
    let all = server.connections.all();
    info!(connections = all.len(), ?drain, "draining");
    let count = u32::try_from(all.len()).unwrap_or(u32::MAX).max(1);
    let step = drain.mul_f64(SPREAD) / count;
    let start = server.now().time;
    for (connection, place) in all.into_iter().zip(0..) {
        let due = start + step * place;
        let wait = due.since(server.now().time);
        // Less than a tick's wait is made good by the next one.
        if wait >= TICK {
            Timer::after(wait).await;
        }
        connection.end(Order::Close(Ending::GOING_AWAY));
    }
    // Whoever was being let in when the drain began.
    for connection in server.connections.all() {
        connection.end(Order::Close(Ending::GOING_AWAY));
    }
    let deadline = start + drain + server.config.linger;
    while server.connections.count() > 0 && server.now().time < deadline {
        Timer::after(TICK).await;
    }
}

/// Does what is due, tick by tick.
async fn keep_time(server: Arc<Server>) {
    let mut turn = Turn::new(server.clone());
    let mut ticks = Timer::interval(TICK);
    let mut due = Vec::new();
    while ticks.next().await.is_some() {
        let now = server.now();
        server.wheel.take(now.time, &mut due);
        for (what, count) in due.drain(..).zip(1_usize..) {
            match what {
                Due::Alarm(_) => what.ring(),
                Due::Beat(connection, liveness) => {
                    if let Some(connection) = connection.upgrade() {
                        connection.beat(liveness, now.time, &turn);
                    }
                }
                Due::Room(name) => protocol::tick_room(now, &name, &turn),
            }
            if count % PEERS_AT_ONCE == 0 {
                turn.flush().await;
                future::yield_now().await;
            }
        }
        turn.flush().await;
        turn.wait_for_nobody();
    }
}
