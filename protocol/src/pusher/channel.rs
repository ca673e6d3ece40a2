//! A channel: what its room knows besides its members, who comes and goes, and what is told of that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::name::{Kind, USER_CHANNEL};
use super::wire::{Code, NOTHING, Refusal, User, said, told};
use super::{App, Hook, channel_of};
use crate::act::{Act, To};
use crate::ending::Reason;
use crate::frame::Frame;
use crate::room::{Member, Membership, Room, Seat};
use crate::time::{Now, Time};
use crate::world::{EventKind, World};

/// Users of a presence channel.
const MEMBERS: usize = 100;
/// Subscribers up to which each change of their number is told at once.
const COUNTED_AT_ONCE: usize = 100;
/// Above that, how often at most.
const COUNTED_EVERY: Duration = Duration::from_secs(5);
/// Members that went and of whom webhooks have not been told yet.
const GONE_MAX: usize = 1000;

/// What a channel has besides the members of its room.
#[derive(Debug)]
pub(crate) struct Channel {
    app: Arc<App>,
    /// By id: who is there, in a presence channel.
    users: BTreeMap<String, Present>,
    last: Option<Kept>,
    hooks: Told,
    count: Counted,
}

/// A user of a presence channel.
#[derive(Debug)]
struct Present {
    connections: usize,
    /// What its first connection said of it.
    info: Box<RawValue>,
}

/// The last event that was published, in a channel that keeps it.
#[derive(Debug)]
struct Kept {
    frame: Frame,
    until: Time,
}

/// What webhooks were told.
#[derive(Debug, Default)]
struct Told {
    is_occupied: bool,
    /// When they are told that nobody is there any more.
    vacated: Option<Time>,
    /// Who has gone without their having been told yet.
    removed: Removed,
}

/// Users who have gone, and when webhooks are told so.
#[derive(Debug, Default)]
struct Removed {
    at: BTreeMap<String, Time>,
    by_time: BTreeSet<(Time, String)>,
}

impl Removed {
    fn insert(&mut self, user: &str, at: Time) {
        self.remove(user);
        self.at.insert(user.to_owned(), at);
        self.by_time.insert((at, user.to_owned()));
    }

    /// It is back. Says whether they have not been told that it had gone.
    fn remove(&mut self, user: &str) -> bool {
        let Some((user, at)) = self.at.remove_entry(user) else { return false };
        self.by_time.remove(&(at, user))
    }

    /// When they are told of the last.
    fn last(&self) -> Option<Time> {
        self.by_time.last().map(|&(at, _)| at)
    }

    /// The next of whom they are to be told by now.
    fn pop_due(&mut self, now: Time) -> Option<String> {
        let &(at, _) = self.by_time.first()?;
        let (_, user) = if at <= now { self.by_time.pop_first() } else { None }?;
        self.at.remove(&user);
        Some(user)
    }
}

/// What subscribers were told of how many they are.
#[derive(Debug, Default)]
struct Counted {
    last: Option<Time>,
    /// When they are told next, if they are to be.
    due: Option<Time>,
}

impl Channel {
    fn new(app: Arc<App>) -> Self {
        Self {
            app,
            users: BTreeMap::new(),
            last: None,
            hooks: Told::default(),
            count: Counted::default(),
        }
    }

    /// Until when there is something that outlives the members, if there is.
    pub(crate) fn kept_until(&self) -> Option<Time> {
        let last = self.last.as_ref().map(|kept| kept.until);
        // Webhooks are told of nobody after they were told that nobody is there.
        last.max(self.hooks.vacated)
    }

    /// When there is something to do, whoever is there.
    pub(crate) fn next_due(&self) -> Option<Time> {
        let removed = self.hooks.removed.by_time.first().map(|&(at, _)| at);
        [removed, self.hooks.vacated, self.count.due].into_iter().flatten().min()
    }

    /// How many users are there.
    pub(super) fn users(&self) -> impl ExactSizeIterator<Item = &str> {
        self.users.keys().map(String::as_str)
    }

    /// The last event that was published, and for how long it is still kept.
    pub(super) fn last(&self, now: Time) -> Option<(&Frame, Duration)> {
        let kept = self.last.as_ref().filter(|kept| kept.until > now)?;
        Some((&kept.frame, kept.until.since(now)))
    }

    /// Keeps what was published, for those who come later.
    pub(super) fn keep(&mut self, now: Time, frame: &Frame) {
        let ttl = self.app.cache_ttl;
        self.last = (!ttl.is_zero()).then(|| Kept { frame: frame.clone(), until: now + ttl });
    }
}

/// The channel of a room, which is one from the first time that it is asked for.
pub(super) fn of_room<'r, P>(room: &'r mut Room<P>, app: &Arc<App>) -> &'r mut Channel {
    room.channel.get_or_insert_with(|| Box::new(Channel::new(app.clone())))
}

/// Does what was due before now, without anything being said to anybody in the room: so it is done
/// before whatever happens now, even if no tick has come.
pub(crate) fn settle<W: World>(now: Now, room: &mut Room<W::Peer>, world: &W) {
    let Room { name, channel, .. } = room;
    let Some(channel) = channel else { return };
    channel.last.take_if(|kept| kept.until <= now.time);
    let hooks = &mut channel.hooks;
    let name = channel_of(name);
    while let Some(user_id) = hooks.removed.pop_due(now.time) {
        world.hook(&channel.app, Hook::MemberRemoved { channel: name.to_owned(), user_id });
    }
    if hooks.vacated.take_if(|at| *at <= now.time).is_some() {
        hooks.is_occupied = false;
        world.hook(&channel.app, Hook::ChannelVacated { channel: name.to_owned() });
    }
}

/// Tells subscribers how many they are, if that was put off until now.
pub(crate) fn tick<W: World>(act: &mut Act<'_, W>) {
    let now = act.now.time;
    let due =
        act.room.channel.as_mut().and_then(|channel| channel.count.due.take_if(|at| *at <= now));
    if due.is_some() {
        tell_count(act);
    }
}

/// A connection that subscribes.
pub(super) struct Newcomer<'a, P> {
    pub(super) app: &'a Arc<App>,
    pub(super) socket_id: &'a str,
    pub(super) peer: &'a P,
    /// The user that it is, in a presence channel.
    pub(super) user: Option<&'a User>,
}

/// Lets a connection subscribe: it is answered, and the others are told of a user that is new.
pub(super) fn arrive<W: World>(
    act: &mut Act<'_, W>,
    newcomer: &Newcomer<'_, W::Peer>,
) -> Result<Seat, Refusal> {
    let &Newcomer { app, socket_id, peer, user } = newcomer;
    let channel = of_room(act.room, app);
    let mut is_new = false;
    let mut member = Member::new(socket_id.to_owned(), String::new(), peer.clone());
    if let Some(User { id, info }) = user {
        is_new = !channel.users.contains_key(id);
        if is_new && channel.users.len() >= MEMBERS {
            let why = format!("a presence channel has up to {MEMBERS} members");
            return Err(Refusal::new(Code::Other, why));
        }
        let present = || Present { connections: 0, info: info.clone() };
        channel.users.entry(id.clone()).or_insert_with(present).connections += 1;
        id.clone_into(&mut member.username);
        member.state.clone_from(info);
    }
    let seat = act.enter(member, false);
    answer(act, peer);
    hook_arrival(act, user.filter(|_| is_new));
    if let Some(user) = user.filter(|_| is_new) {
        let added = MemberAdded { user_id: &user.id, user_info: &user.info };
        let frame = told("pusher_internal:member_added", channel_of(act.room.name()), &added);
        act.tell(EventKind::MemberJoined, To::OtherFull, seat, &frame);
    }
    replay(act, peer);
    count(act);
    Ok(seat)
}

/// Answers a connection that is subscribed already and asks for it again: as before, and it changes
/// nothing.
pub(super) fn repeat<W: World>(act: &mut Act<'_, W>, peer: &W::Peer) {
    answer(act, peer);
    replay(act, peer);
}

/// Takes a connection off the channel; the others are told of a user that has no other there.
pub(super) fn leave<W: World>(
    act: &mut Act<'_, W>,
    seat: Seat,
    user: Option<&str>,
    reason: Reason,
) {
    if act.exit(seat, reason).is_none() {
        return;
    }
    let gone = user.filter(|user| act.room.channel.as_mut().is_some_and(|it| it.forget(user)));
    if let Some(user_id) = gone {
        let name = channel_of(act.room.name());
        let frame = told("pusher_internal:member_removed", name, &MemberRemoved { user_id });
        act.tell(EventKind::MemberLeft, To::Full, None, &frame);
    }
    hook_leave(act, gone);
    count(act);
}

impl Channel {
    /// Takes one connection from a user; says whether it was its last.
    fn forget(&mut self, user: &str) -> bool {
        let Some(present) = self.users.get_mut(user) else { return false };
        present.connections -= 1;
        let is_gone = present.connections == 0;
        if is_gone {
            self.users.remove(user);
        }
        is_gone
    }
}

#[derive(Serialize)]
struct Succeeded<'a> {
    presence: Presence<'a>,
}

#[derive(Serialize)]
struct Presence<'a> {
    count: usize,
    ids: Vec<&'a str>,
    hash: BTreeMap<&'a str, &'a RawValue>,
}

#[derive(Serialize)]
struct MemberAdded<'a> {
    user_id: &'a str,
    user_info: &'a RawValue,
}

#[derive(Serialize)]
struct MemberRemoved<'a> {
    user_id: &'a str,
}

#[derive(Serialize)]
struct SubscriptionCount {
    subscription_count: usize,
}

const SUCCEEDED: &str = "pusher_internal:subscription_succeeded";

/// Says that it is subscribed, and in a presence channel who is there.
fn answer<W: World>(act: &Act<'_, W>, peer: &W::Peer) {
    let name = channel_of(act.room.name());
    let frame = match &act.room.channel {
        Some(channel) if Kind::of(name).is_presence() => {
            let users = || channel.users.iter().map(|(id, present)| (id.as_str(), &*present.info));
            let presence = Presence {
                count: channel.users.len(),
                ids: users().map(|(id, _)| id).collect(),
                hash: users().collect(),
            };
            told(SUCCEEDED, name, &Succeeded { presence })
        }
        _ => said(SUCCEEDED, Some(name), Some(NOTHING)),
    };
    act.world.push(peer, &frame);
}

/// Gives the last event that was published, in a channel that keeps it; or says that there is none.
fn replay<W: World>(act: &Act<'_, W>, peer: &W::Peer) {
    let name = channel_of(act.room.name());
    let Some(channel) = act.room.channel.as_ref().filter(|_| Kind::of(name).keeps) else { return };
    match channel.last(act.now.time) {
        Some((frame, _)) => act.world.push(peer, frame),
        None => {
            act.world.push(peer, &said("pusher:cache_miss", Some(name), None));
            if channel.app.webhooks {
                act.world.hook(&channel.app, Hook::CacheMiss { channel: name.to_owned() });
            }
        }
    }
}

/// Hands over what a newcomer is to webhooks: nothing, where it is back before they were told that it
/// had gone.
fn hook_arrival<W: World>(act: &mut Act<'_, W>, user: Option<&User>) {
    let Room { name, channel, .. } = &mut *act.room;
    let Some(channel) = channel.as_mut().filter(|channel| channel.app.webhooks) else { return };
    let (hooks, name) = (&mut channel.hooks, channel_of(name));
    hooks.vacated = None;
    if !hooks.is_occupied {
        hooks.is_occupied = true;
        act.world.hook(&channel.app, Hook::ChannelOccupied { channel: name.to_owned() });
    }
    if let Some(User { id, .. }) = user
        && !hooks.removed.remove(id)
    {
        let hook = Hook::MemberAdded { channel: name.to_owned(), user_id: id.clone() };
        act.world.hook(&channel.app, hook);
    }
}

/// Notes what webhooks are to be told of a leave, and when.
fn hook_leave<W: World>(act: &mut Act<'_, W>, gone: Option<&str>) {
    let is_empty = act.room.count() == 0;
    let now = act.now;
    let Some(channel) = act.room.channel.as_mut().filter(|channel| channel.app.webhooks) else {
        return;
    };
    let at = now.time + channel.app.webhook_delay;
    let hooks = &mut channel.hooks;
    if let Some(user) = gone {
        // Who comes and goes that fast is not waited for.
        let at = if hooks.removed.at.len() < GONE_MAX { at } else { now.time };
        hooks.removed.insert(user, at);
    }
    if is_empty {
        // Not before they were told of the last member, whoever looked at the clock first.
        hooks.vacated = hooks.removed.last().max(Some(at));
    }
    settle(now, act.room, act.world);
}

/// Notes that the number of subscribers has changed, and tells it, unless it is told soon anyway.
fn count<W: World>(act: &mut Act<'_, W>) {
    let Room { name, channel, .. } = &mut *act.room;
    let is_counted = !Kind::of(channel_of(name)).is_presence();
    let Some(channel) = channel.as_mut().filter(|it| it.app.subscription_count && is_counted)
    else {
        return;
    };
    let due = channel.count.last.map(|last| last + COUNTED_EVERY);
    let is_many = act.room.count() > COUNTED_AT_ONCE;
    match due.filter(|&due| is_many && due > act.now.time) {
        Some(due) => {
            if let Some(channel) = &mut act.room.channel {
                channel.count.due = Some(due);
            }
        }
        None => tell_count(act),
    }
}

fn tell_count<W: World>(act: &mut Act<'_, W>) {
    let subscription_count = act.room.count();
    let Room { name, channel, .. } = &mut *act.room;
    let Some(channel) = channel else { return };
    channel.count = Counted { last: Some(act.now.time), due: None };
    let name = channel_of(name);
    if channel.app.webhooks {
        let hook = Hook::SubscriptionCount { channel: name.to_owned(), subscription_count };
        act.world.hook(&channel.app, hook);
    }
    let data = SubscriptionCount { subscription_count };
    let frame = told("pusher_internal:subscription_count", name, &data);
    act.tell(EventKind::Presence, To::Full, None, &frame);
}

/// Takes a connection in as one of a user's: it is found on the user's own channel, and does not hear
/// it yet.
pub(super) fn sign_in<W: World>(
    act: &mut Act<'_, W>,
    socket_id: &str,
    user: &str,
    peer: &W::Peer,
) -> Seat {
    let mut member = Member::new(socket_id.to_owned(), user.to_owned(), peer.clone());
    member.membership = Membership::None;
    act.enter(member, false)
}

/// From now on it hears its user's own channel, or no more.
pub(super) fn set_hearing<W: World>(act: &mut Act<'_, W>, seat: Seat, hears: bool) {
    if let Some(member) = act.room.member_mut(seat) {
        member.membership = if hears { Membership::Full } else { Membership::None };
    }
}

/// Whether that is the name of a user's own channel.
pub(super) fn is_of_user(channel: &str) -> bool {
    channel.starts_with(USER_CHANNEL)
}
