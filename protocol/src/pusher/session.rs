//! One connection: it subscribes with what its backend has signed for, and speaks to others in private
//! channels.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::channel::{self, Newcomer};
use super::name::{Access, Kind, channel_of_user, is_channel};
use super::wire::{
    self, ClientEvent, Code, NOTHING, Refusal, Request, Subscribe, User, established, refused, said,
};
use super::{App, Hook, auth, key};
use crate::act::{To, in_room};
use crate::dialect::Dialect;
use crate::ending::{Ending, Flow, Reason};
use crate::ids::Ids;
use crate::json;
use crate::limits::passes;
use crate::rate::{Door, Window};
use crate::room::Seat;
use crate::session::Opening;
use crate::time::Now;
use crate::world::{EventKind, Make, Tally, World};

/// Versions of the protocol that are spoken. Before 5, `data` was not a string.
const VERSIONS: std::ops::RangeInclusive<u64> = 5..=7;
/// What is announced where nobody is pinged: then the client does it.
const NO_HEARTBEAT: Duration = Duration::from_secs(120);
/// Events of one client in any second.
const EVENTS_PER_S: usize = 10;
/// Bytes of the data of an event.
pub(super) const DATA_BYTES: usize = 10 * 1024;
/// Characters of an event's name.
pub(super) const EVENT_CHARS: usize = 200;

/// One connection.
#[derive(Debug)]
pub struct Session<P> {
    app: Arc<App>,
    socket_id: String,
    peer: P,
    /// By name: where it is subscribed.
    channels: BTreeMap<String, Subscription>,
    user: Option<SignedIn>,
    door: Door,
    events: Window,
    has_place: bool,
}

/// A place on a channel.
#[derive(Debug)]
struct Subscription {
    seat: Seat,
    /// The user that it is there, in a presence channel.
    user: Option<String>,
}

/// The user that a connection is.
#[derive(Debug)]
struct SignedIn {
    id: String,
    /// The user's own channel. Who is signed in is found there, and hears it once it has subscribed.
    channel: String,
    seat: Seat,
    hears: bool,
}

impl<P> Session<P> {
    pub(crate) fn open<W: World<Peer = P>>(
        now: Now,
        opening: Opening<'_>,
        peer: P,
        world: &W,
    ) -> Result<Self, Ending> {
        let key = opening.name.ok_or(wire::NO_PATH)?;
        let app = world.app(key).ok_or(wire::NO_APP)?;
        if !app.enabled {
            return Err(wire::DISABLED);
        }
        check_version(opening.query)?;
        if !world.admit(&app) {
            return Err(wire::OVER_QUOTA);
        }
        let socket_id = world.with_ids(Ids::socket);
        world.push(&peer, &established(&socket_id, activity_timeout(world)));
        Ok(Self {
            app,
            socket_id,
            peer,
            channels: BTreeMap::new(),
            user: None,
            door: Door::new(now.time, world.limits()),
            events: Window::new(EVENTS_PER_S, Duration::from_secs(1)),
            has_place: true,
        })
    }

    pub(crate) fn received<W: World<Peer = P>>(&mut self, now: Now, text: &str, world: &W) -> Flow {
        let admitted = match self.door.admits(now.time, Dialect::Pusher, text.len(), world) {
            Ok(admitted) => admitted,
            Err(ending) => return Flow::Close(wire::ending(ending)),
        };
        let outcome = match admitted {
            true => wire::read(text).and_then(|request| self.obey(now, request, world)),
            false => Err(Refusal::new(Code::ClientEvent, "too many messages")),
        };
        if let Err(refusal) = outcome {
            world.tally(Tally::Refused { code: refusal.code.as_str() });
            world.push(&self.peer, &refused(&refusal));
        }
        Flow::Continue
    }

    fn obey<W: World<Peer = P>>(
        &mut self,
        now: Now,
        request: Request<'_>,
        world: &W,
    ) -> Result<(), Refusal> {
        match request {
            Request::Ping => {
                world.push(&self.peer, &said("pusher:pong", None, Some(NOTHING)));
                Ok(())
            }
            Request::Pong | Request::Other => Ok(()),
            Request::Subscribe(wanted) => {
                let subscribed = self.subscribe(now, &wanted, world);
                subscribed.map_err(|refusal| Refusal { room: Some(wanted.channel), ..refusal })
            }
            Request::Unsubscribe { channel } => {
                self.unsubscribe(now, &channel, world);
                Ok(())
            }
            Request::SignIn { auth, user_data } => self.sign_in(now, &auth, &user_data, world),
            Request::Say(said) => {
                let told = self.say(now, &said, world);
                told.map_err(|refusal| Refusal { room: said.channel, ..refusal })
            }
        }
    }

    fn subscribe<W: World<Peer = P>>(
        &mut self,
        now: Now,
        wanted: &Subscribe,
        world: &W,
    ) -> Result<(), Refusal> {
        let name = &*wanted.channel;
        if channel::is_of_user(name) {
            return self.hear(now, name, world);
        }
        if !is_channel(name) {
            let why = "a channel's name has 1 to 164 of A-Z, a-z, 0-9 and _-=@,.;";
            return Err(Refusal::new(Code::Other, why));
        }
        let user = self.authorise(wanted)?;
        let key = key(&self.app, name);
        if self.channels.contains_key(name) {
            in_room(now, &key, Make::Never, world, |act| channel::repeat(act, &self.peer));
            return Ok(());
        }
        self.may_enter(world)?;
        let newcomer = Newcomer {
            app: &self.app,
            socket_id: &self.socket_id,
            peer: &self.peer,
            user: user.as_ref(),
        };
        let seat = in_room(now, &key, Make::IfAbsent, world, |act| channel::arrive(act, &newcomer));
        let seat = seat.ok_or_else(no_more)??;
        let user = user.map(|user| user.id);
        self.channels.insert(name.to_owned(), Subscription { seat, user });
        Ok(())
    }

    /// Whether it may subscribe; and who it is, in a presence channel.
    fn authorise(&self, wanted: &Subscribe) -> Result<Option<User>, Refusal> {
        let Subscribe { channel, auth, channel_data } = wanted;
        let kind = Kind::of(channel);
        if kind.access == Access::Public {
            return Ok(None);
        }
        let data = channel_data.as_deref();
        auth::verify_channel(&self.app, &self.socket_id, channel, data, auth)
            .map_err(|unsigned| Refusal::new(Code::Unauthorised, unsigned.to_string()))?;
        if !kind.is_presence() {
            return Ok(None);
        }
        let user =
            data.ok_or("a presence channel needs channel_data").and_then(User::of_channel_data);
        user.map(Some).map_err(|why| Refusal::new(Code::Other, why))
    }

    /// Whether it may be in one more room.
    fn may_enter<W: World<Peer = P>>(&self, world: &W) -> Result<(), Refusal> {
        if world.draining() {
            return Err(Refusal::new(Code::Reconnect, "the server is about to stop"));
        }
        let rooms = self.channels.len() + usize::from(self.user.is_some());
        if passes(rooms + 1, world.limits().rooms) {
            return Err(Refusal::new(Code::Other, "subscribed to as many channels as may be"));
        }
        Ok(())
    }

    /// Subscribes to the channel of the user that it is.
    fn hear<W: World<Peer = P>>(&mut self, now: Now, name: &str, world: &W) -> Result<(), Refusal> {
        let Some(user) = self.user.as_mut().filter(|user| user.channel == name) else {
            return Err(Refusal::new(Code::Unauthorised, "not signed in as that user"));
        };
        user.hears = true;
        in_room(now, &key(&self.app, name), Make::Never, world, |act| {
            channel::set_hearing(act, user.seat, true);
            channel::repeat(act, &self.peer);
        });
        Ok(())
    }

    /// Nothing of the channel comes after it. It has no answer.
    fn unsubscribe<W: World<Peer = P>>(&mut self, now: Now, name: &str, world: &W) {
        if let Some(subscription) = self.channels.remove(name) {
            leave(now, &key(&self.app, name), &subscription, Reason::Left, world);
        } else if let Some(user) = self.user.as_mut().filter(|user| user.channel == name) {
            user.hears = false;
            let key = key(&self.app, name);
            in_room(now, &key, Make::Never, world, |act| {
                channel::set_hearing(act, user.seat, false);
            });
        }
    }

    fn sign_in<W: World<Peer = P>>(
        &mut self,
        now: Now,
        auth: &str,
        user_data: &str,
        world: &W,
    ) -> Result<(), Refusal> {
        let refuse = |why: String| Refusal::new(Code::Unauthorised, why);
        auth::verify_user(&self.app, &self.socket_id, user_data, auth)
            .map_err(|unsigned| refuse(unsigned.to_string()))?;
        let Some(User { id, .. }) = User::of_user_data(user_data) else {
            return Err(refuse("user_data must be an object with an id".to_owned()));
        };
        match &self.user {
            Some(user) if user.id != id => {
                return Err(refuse("signed in as another user already".to_owned()));
            }
            Some(_) => {}
            None => {
                self.may_enter(world)?;
                let channel = channel_of_user(&id);
                let key = key(&self.app, &channel);
                let seat = in_room(now, &key, Make::IfAbsent, world, |act| {
                    channel::sign_in(act, &self.socket_id, &id, &self.peer)
                });
                let seat = seat.ok_or_else(no_more)?;
                self.user = Some(SignedIn { id, channel, seat, hears: false });
            }
        }
        let data = json::text(&wire::SignedIn { user_data });
        world.push(&self.peer, &said("pusher:signin_success", None, Some(&data)));
        Ok(())
    }

    /// Says something to the others of a channel.
    fn say<W: World<Peer = P>>(
        &mut self,
        now: Now,
        said: &ClientEvent<'_>,
        world: &W,
    ) -> Result<(), Refusal> {
        let rejected = |why: &'static str| Refusal::new(Code::ClientEvent, why);
        let ClientEvent { event, channel, data } = said;
        if !self.app.client_events {
            return Err(rejected("The app does not have client messaging enabled."));
        }
        let (Some(channel), Some(data)) = (channel, data) else {
            return Err(rejected("Invalid client event (must contain channel and data)"));
        };
        if event.chars().nth(EVENT_CHARS).is_some() {
            return Err(rejected("an event's name has up to 200 characters"));
        }
        let text = json::parse::<String>(data.get()).ok();
        if text.as_deref().unwrap_or_else(|| data.get()).len() > DATA_BYTES {
            return Err(rejected("the data of an event has up to 10240 bytes"));
        }
        if !Kind::of(channel).takes_client_events() {
            let why = "client events are for private and presence channels";
            return Err(Refusal::new(Code::Unauthorised, why));
        }
        let Some(Subscription { seat, user }) = self.channels.get(channel) else {
            let why = "The client is not a member of the specified channel.";
            return Err(Refusal::new(Code::Unauthorised, why));
        };
        if !self.events.admits(now.time) {
            return Err(rejected("Client event rejected: more than 10 in a second"));
        }
        let frame = wire::client_event(event, channel, data, user.as_deref());
        in_room(now, &key(&self.app, channel), Make::Never, world, |act| {
            act.tell(EventKind::Chat, To::OtherFull, *seat, &frame);
            if self.app.webhooks {
                let hook = Hook::ClientEvent {
                    channel: channel.clone(),
                    event: event.clone(),
                    data: text.unwrap_or_else(|| data.get().to_owned()),
                    socket_id: self.socket_id.clone(),
                    user_id: user.clone(),
                };
                world.hook(&self.app, hook);
            }
        });
        Ok(())
    }

    pub(crate) fn end<W: World<Peer = P>>(&mut self, now: Now, reason: Reason, world: &W) {
        for (name, subscription) in std::mem::take(&mut self.channels) {
            leave(now, &key(&self.app, &name), &subscription, reason, world);
        }
        if let Some(SignedIn { channel, seat, .. }) = self.user.take() {
            let key = key(&self.app, &channel);
            in_room(now, &key, Make::Never, world, |act| drop(act.exit(seat, reason)));
        }
        if std::mem::take(&mut self.has_place) {
            world.dismiss(&self.app);
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.socket_id
    }

    pub(crate) fn rooms(&self) -> impl Iterator<Item = &str> {
        let own = self.user.iter().filter(|user| user.hears).map(|user| user.channel.as_str());
        self.channels.keys().map(String::as_str).chain(own)
    }
}

fn leave<W: World>(now: Now, key: &str, subscription: &Subscription, reason: Reason, world: &W) {
    let Subscription { seat, user } = subscription;
    in_room(now, key, Make::Never, world, |act| {
        channel::leave(act, *seat, user.as_deref(), reason);
    });
}

fn no_more() -> Refusal {
    Refusal::new(Code::Other, "the server has no more channels")
}

/// Seconds of silence after which the client asks whether anybody is there.
fn activity_timeout<W: World>(world: &W) -> u64 {
    let interval = Some(world.heartbeat(Dialect::Pusher).interval);
    let interval = interval.filter(|interval| !interval.is_zero()).unwrap_or(NO_HEARTBEAT);
    interval.as_secs() + u64::from(interval.subsec_nanos() > 0)
}

/// Whether the version that the query asks for is spoken here.
fn check_version(query: &str) -> Result<(), Ending> {
    let mut fields = form_urlencoded::parse(query.as_bytes());
    let version = fields.find(|(name, _)| name == "protocol").map(|(_, version)| version);
    let version = version.filter(|version| !version.is_empty()).ok_or(wire::NO_VERSION)?;
    let is_number = version.bytes().all(|byte| byte.is_ascii_digit());
    match version.parse() {
        Ok(version) if VERSIONS.contains(&version) => Ok(()),
        _ if is_number => Err(wire::UNSUPPORTED),
        _ => Err(wire::BAD_VERSION),
    }
}
