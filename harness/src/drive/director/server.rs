//! What a timeline does to the run's own server: stops it, kills it, starts it again.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use async_io::Timer;
use nix::sys::signal::Signal;

use super::{Director, Failed, Frame};
use crate::check::Class;
use crate::client::State;
use crate::drive::child::ChildServer;
use crate::observe::{ClientId, What};
use crate::plan::ServerAct;

/// How often it is looked at while something is awaited of it.
const TICK: Duration = Duration::from_millis(5);

/// Nobody in particular has seen it.
const NOBODY: ClientId = ClientId(0);

impl Director<'_> {
    pub(super) async fn server(&self, frame: Frame<'_>, act: ServerAct) -> Result<(), Failed> {
        let outcome = match act {
            ServerAct::Stop => self.take_down(frame, Signal::SIGTERM).await,
            ServerAct::Kill => self.take_down(frame, Signal::SIGKILL).await,
            ServerAct::Start => self.start(frame).await,
            ServerAct::Expect(code) => self.exited(code),
        };
        outcome.map_err(|(class, detail)| self.fail(frame.step.place, NOBODY, class, detail))
    }

    /// Ends the server, and waits until it is gone and every client knows.
    async fn take_down(&self, frame: Frame<'_>, signal: Signal) -> Result<(), (Class, String)> {
        self.of_server(|child| child.take_down(signal))?;
        while self.of_server(ChildServer::status)?.is_none() {
            if Instant::now() >= frame.deadline {
                let detail = format!("the server did not end at {}", signal.as_str());
                return Err((Class::Unresponsive, detail));
            }
            Timer::after(TICK).await;
        }
        let clients = (0..self.plan.clients.len()).filter_map(|id| u32::try_from(id).ok());
        for id in clients.map(ClientId) {
            self.ended(frame.deadline, id).await;
            let now = self.shared.now();
            let mut stage = self.shared.lock();
            let Some((client, books)) = stage.client(id) else { continue };
            // Nobody is to blame for an end that the timeline brought about.
            if matches!(client.state, State::Closed(at, _) if at >= frame.begun) {
                books.observe(now, id, What::Foreseen);
            }
        }
        Ok(())
    }

    async fn start(&self, frame: Frame<'_>) -> Result<(), (Class, String)> {
        if !self.of_server(|child| Ok(child.is_down()))? {
            return Err((Class::Reply, "the server is running already".to_owned()));
        }
        self.of_server(ChildServer::start_again)?;
        while !self.of_server(ChildServer::is_up)? {
            if Instant::now() >= frame.deadline {
                let detail = "the server did not say in time where it listens".to_owned();
                return Err((Class::Unresponsive, detail));
            }
            Timer::after(TICK).await;
        }
        Ok(())
    }

    fn exited(&self, code: i32) -> Result<(), (Class, String)> {
        let status = self.of_server(ChildServer::status)?;
        let how = match status.map(|status| (status.code(), status.signal())) {
            Some((Some(found), _)) if found == code => {
                self.met();
                return Ok(());
            }
            Some((Some(found), _)) => format!("the server ended with the exit code {found}"),
            Some((None, Some(signal))) => format!("signal {signal} ended the server"),
            Some((None, None)) => "nobody knows how the server ended".to_owned(),
            None => "the server is running".to_owned(),
        };
        Err((Class::Killed, format!("{how}, not with {code}")))
    }

    /// Does something with the server, which is the run's own.
    fn of_server<T>(
        &self,
        act: impl FnOnce(&mut ChildServer) -> io::Result<T>,
    ) -> Result<T, (Class, String)> {
        let mut child = self.child.lock();
        let Some(child) = child.as_mut() else {
            return Err((Class::Killed, "this run has no server of its own".to_owned()));
        };
        act(child).map_err(|error| (Class::Killed, error.to_string()))
    }
}
