//! Tells an application's backend what happened: one request after the other, each until it is taken
//! or given up.

use std::{
    future::poll_fn,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use async_io::Timer;
use async_std::task::JoinHandle;
use futures_lite::future;
use protocol::pusher::{App, auth};
use tracing::{debug, warn};

use super::{post::post, webhooks::Webhooks};
use crate::server::Server;

/// How long a request may take: from the name of the host to the status.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait before the second try; before each further one twice as long, up to a maximum.
const WAIT: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// For how long it is tried: "we will retry … for 5 minutes".
const PERSISTENCE: Duration = Duration::from_mins(5);

/// The tasks that tell backends, one an application.
#[derive(Debug)]
pub(crate) struct Senders {
    server: Arc<Server>,
    tasks: Vec<JoinHandle<()>>,
}

impl Senders {
    pub(crate) fn start(server: &Arc<Server>) -> Self {
        let spawn = |(app, webhooks)| async_std::task::spawn(run(server.clone(), app, webhooks));
        Self { tasks: server.apps.told().map(spawn).collect(), server: server.clone() }
    }

    /// Sends what still waits, for as long as a goodbye may take, and ends.
    pub(crate) async fn finish(self) {
        for (_, webhooks) in self.server.apps.told() {
            webhooks.close();
        }
        let end = Instant::now() + self.server.config.linger;
        for task in self.tasks {
            let mut task = Some(task);
            let ended = async {
                if let Some(task) = &mut task {
                    task.await;
                }
                true
            };
            let in_time = future::or(ended, async {
                Timer::at(end).await;
                false
            });
            if !in_time.await
                && let Some(task) = task.take()
            {
                task.cancel().await;
            }
        }
    }
}

async fn run(server: Arc<Server>, app: Arc<App>, webhooks: Arc<Webhooks>) {
    while let Some(events) = poll_fn(|cx| webhooks.poll_batch(cx)).await {
        let body = body(server.now().unix, &events);
        let is_taken = deliver(&server, &app, &webhooks, body.as_bytes()).await;
        server.metrics.told(if is_taken { "delivered" } else { "given_up" }, events.len());
        if !is_taken {
            server.metrics.told("given_up", webhooks.give_up_if_closing());
        }
    }
}

/// What a request says: the same, however often it has to be said.
fn body(unix: Duration, events: &[Box<str>]) -> String {
    format!(r#"{{"time_ms":{},"events":[{}]}}"#, unix.as_millis(), events.join(","))
}

/// Says it until it is taken. Says whether it was.
async fn deliver(server: &Server, app: &App, webhooks: &Webhooks, body: &[u8]) -> bool {
    let signature = auth::webhook(app, body);
    let headers = [("X-Pusher-Key", app.key.as_str()), ("X-Pusher-Signature", signature.as_str())];
    let target = &webhooks.target;
    let end = Instant::now() + PERSISTENCE;
    let (mut wait, mut is_last) = (WAIT, false);
    loop {
        let answered = future::or(post(target, &headers, body), async {
            Timer::after(TIMEOUT).await;
            Err(io::ErrorKind::TimedOut.into())
        });
        let why = match answered.await {
            Ok(status) if (200..300).contains(&status) => return true,
            Ok(status) => format!("it was answered with {status}"),
            Err(error) => error.to_string(),
        };
        server.metrics.webhook_failures.inc();
        if wait == WAIT {
            warn!(app = app.id, %target, why, "a webhook was not taken, and is tried again");
        } else {
            debug!(app = app.id, %target, why, "a webhook was not taken");
        }
        if is_last || Instant::now() + wait > end {
            break;
        }
        // A server that stops does not wait any more; it tries once.
        is_last = future::or(
            async {
                poll_fn(|cx| webhooks.poll_closing(cx)).await;
                true
            },
            async {
                Timer::after(wait).await;
                false
            },
        )
        .await;
        wait = (wait * 2).min(WAIT_MAX);
    }
    warn!(app = app.id, %target, "a webhook is given up");
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_holds_its_time_and_its_events_as_they_are() {
        let events = [r#"{"name":"a"}"#, r#"{"name":"b"}"#].map(Into::into);
        assert_eq!(
            body(Duration::from_micros(1_500_000_000_123_999), &events),
            r#"{"time_ms":1500000000123,"events":[{"name":"a"},{"name":"b"}]}"#
        );
    }
}
