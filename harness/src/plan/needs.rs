//! What a scenario needs of a server, by what it says and by what it does.

use std::collections::{BTreeMap, BTreeSet};

use crate::dialect::{Dialect, EventKind, Verb};
use crate::plan::{self, Action, Rejoin, Span, Term};
use crate::proxy::Told;
use crate::scenario::model::File;
use crate::scenario::steps::{BELOW, Membership, Step, Steps, each_step};

/// The first thing that the scenario needs and the dialect lacks, as a sentence.
pub(super) fn missing(file: &File, steps: &Steps, dialect: &Dialect) -> Option<String> {
    let needs = Needs::of(file, steps, Some(dialect));
    let lacks = |what: &str| format!("dialect {} lacks {what}", dialect.name);
    if let Some(need) = needs.features.iter().find(|need| !dialect.has(need)) {
        return Some(lacks(&in_words(need)));
    }
    if let Some(event) = needs.events.iter().find(|kind| !dialect.tells(**kind)) {
        return Some(lacks(&format!("the event `{event}`")));
    }
    let unsaid = |(kind, field): &&(EventKind, String)| !says(dialect, *kind, field);
    if let Some((kind, field)) = needs.fields.iter().find(unsaid) {
        return Some(format!("dialect {} does not say `{field}` of `{kind}`", dialect.name));
    }
    for (request, with) in &needs.requests {
        if !dialect.makes(request) {
            return Some(lacks(&format!("the HTTP request `{request}`")));
        }
        if let Some(name) = with.iter().find(|name| !dialect.takes(request, name)) {
            return Some(format!(
                "the HTTP request `{request}` of {} has no `${name}`",
                dialect.name
            ));
        }
    }
    if needs.load_by_path && dialect.connect.in_path {
        let name = &dialect.name;
        return Some(format!("dialect {name} enters rooms by connecting, which is no load"));
    }
    let most = dialect.limits.rooms?;
    let crowded = needs.rooms.iter().find(|(_, rooms)| rooms.most as u64 > most);
    crowded.map(|(group, rooms)| {
        let (name, most, rooms) = (&dialect.name, counted(most), rooms.most);
        format!("dialect {name} lets a connection be in {most} at a time; `{group}` enters {rooms}")
    })
}

fn counted(rooms: u64) -> String {
    if rooms == 1 { "one room".to_owned() } else { format!("{rooms} rooms") }
}

/// What a need is called in a sentence.
fn in_words(need: &str) -> String {
    match need.parse::<EventKind>() {
        Ok(kind) if need.parse::<Verb>().is_err() => format!("the event `{kind}`"),
        _ => need.to_owned(),
    }
}

/// Whether an event can have this field. Whose a message is, its text tells.
fn says(dialect: &Dialect, kind: EventKind, field: &str) -> bool {
    match field {
        "who" => {
            kind == EventKind::Message || dialect.says(kind, "who") || dialect.says(kind, "member")
        }
        field => dialect.says(kind, field),
    }
}

/// Whether the scenario says or sends something that the dialect knows nothing of.
pub(super) fn is_below(steps: &Steps) -> bool {
    let mut below = false;
    each_step(steps, &mut |step| {
        below |= step.actions().iter().any(|(action, _)| BELOW.contains(action));
        below |= step.open.as_ref().is_some_and(|open| open.bare);
    });
    below
}

/// Whether the scenario uses something: a verb or a feature.
pub(super) fn uses(file: &File, need: &str) -> bool {
    Needs::of(file, &file.steps, None).features.contains(need)
}

/// What a step needs and the dialect lacks, as a sentence.
fn lacking(needs: &[String], dialect: &Dialect) -> Option<String> {
    let need = needs.iter().find(|need| !dialect.has(need))?;
    Some(format!("dialect {} lacks {}", dialect.name, in_words(need)))
}

/// Leaves out the steps that need what the dialect lacks, and of what is expected what ends in `?`
/// and is not said.
pub(super) fn leave_out(steps: &mut [plan::Step], dialect: &Dialect) {
    for step in steps {
        if let Some(reason) = lacking(&step.needs, dialect) {
            step.action = Action::LeftOut(reason);
        }
        match &mut step.action {
            Action::Each(steps) | Action::Together(steps) | Action::Repeat { steps, .. } => {
                leave_out(steps, dialect);
            }
            Action::Phase { streams, .. } => {
                streams.retain(|stream| lacking(&stream.needs, dialect).is_none());
            }
            Action::Expect(expect) => {
                for pattern in &mut expect.events {
                    let fields = std::mem::take(&mut pattern.fields).into_iter();
                    pattern.fields = fields
                        .filter_map(|(name, value)| match name.strip_suffix('?') {
                            Some(name) if !says(dialect, pattern.kind, name) => None,
                            Some(name) => Some((name.to_owned(), value)),
                            None => Some((name, value)),
                        })
                        .collect();
                }
            }
            _ => {}
        }
    }
}

/// The rooms that a group is in at a point of the timeline, and the most at a time so far.
#[derive(Clone, Default)]
struct Rooms {
    now: BTreeSet<String>,
    most: usize,
}

#[derive(Default)]
struct Needs {
    features: BTreeSet<String>,
    events: BTreeSet<EventKind>,
    fields: BTreeSet<(EventKind, String)>,
    rooms: BTreeMap<String, Rooms>,
    /// HTTP requests of the dialect, by their names there, and what is given to their holes.
    requests: BTreeMap<String, BTreeSet<String>>,
    /// A phase enters or leaves rooms.
    load_by_path: bool,
}

impl Needs {
    /// What is needed, but for the steps that a dialect lets be left out.
    fn of(file: &File, steps: &Steps, dialect: Option<&Dialect>) -> Self {
        let mut needs = Self::default();
        needs.features.extend(file.needs.iter().map(|need| need.value.clone()));
        if file.checks.heartbeat.is_some_and(|heartbeat| heartbeat.on().is_some()) {
            needs.feature("heartbeat");
        }
        needs.steps(steps, None, dialect);
        needs
    }

    fn steps(&mut self, steps: &Steps, around: Option<&str>, dialect: Option<&Dialect>) {
        for step in steps.iter().filter_map(|step| step.0.as_ref()) {
            let own: Vec<String> = step.needs.iter().map(|need| need.value.clone()).collect();
            if dialect.is_some_and(|dialect| lacking(&own, dialect).is_some()) {
                continue;
            }
            let who = step.who.as_ref().map(|who| who.as_str()).or(around);
            self.step(step);
            self.expects(step);
            self.rooms(step, who);
            for inner in step.inner() {
                self.steps(inner, who, dialect);
            }
        }
    }

    fn feature(&mut self, feature: &str) {
        self.features.insert(feature.to_owned());
    }

    fn step(&mut self, step: &Step) {
        for (action, _) in step.actions() {
            if let Ok(verb) = action.parse::<Verb>() {
                self.feature(verb.as_str());
            }
        }
        if let Some(join) = &step.join {
            self.feature(if join.0.code.is_some() { "join-by-code" } else { "join-by-name" });
            if join.0.since.is_some() {
                self.feature("recovery");
            }
            if join.0.membership == Some(Membership::None) {
                self.feature("audience");
            }
        }
        if let Some((http, name)) =
            step.http.as_ref().and_then(|it| it.request.as_ref().map(|n| (it, n)))
        {
            let with = self.requests.entry(name.value.clone()).or_default();
            with.extend(http.with.keys().map(str::to_owned));
        }
        if step.create.as_ref().is_some_and(|create| create.capacity.is_some()) {
            self.feature("capacity");
        }
        if step.store.as_ref().is_some_and(|store| store.if_version.is_some()) {
            self.feature("if-version");
        }
        match step.reconnect.as_ref().and_then(|reconnect| reconnect.rejoin).map(|it| it.0) {
            Some(Rejoin::Since) => self.features.extend(["join-by-name".into(), "recovery".into()]),
            Some(Rejoin::Fresh) => self.feature("join-by-name"),
            Some(Rejoin::No) | None => {}
        }
        for told in step.network.iter().flat_map(|network| network.told()) {
            match told {
                // Where no events are described, messages are known by their stamps.
                Told::Event(EventKind::Ping | EventKind::Message) | Told::Request(Verb::Pong) => {}
                Told::Event(kind) => self.events.extend([kind]),
                Told::Request(verb) => self.feature(verb.as_str()),
            }
        }
        let in_phase = step.every.is_some() && (step.join.is_some() || step.leave.is_some());
        self.load_by_path |= in_phase;
        let spans = [step.within.as_ref(), step.wait.as_ref()].into_iter().flatten();
        if spans.into_iter().any(|span| of_heartbeat(span)) {
            self.feature("heartbeat");
        }
    }

    fn expects(&mut self, step: &Step) {
        let Some(expect) = &step.expect else { return };
        for (kind, word, fields) in expect.patterns() {
            let Some(fields) = fields else { continue };
            self.events.insert(kind);
            // What ends in `?` is looked at only where it is said.
            let named = fields.fields.keys().filter(|name| !name.ends_with('?'));
            let named = named.map(|name| if name == "from" { "who" } else { name });
            let word = word.filter(|_| fields.word.is_some());
            self.fields.extend(named.chain(word).map(|name| (kind, name.to_owned())));
        }
        if expect.members.is_some() {
            self.feature("members");
        }
        let closed = expect.closed.iter();
        let mut spans = closed.flat_map(|closed| closed.not_before.iter().chain(&closed.not_after));
        if spans.any(of_heartbeat) {
            self.feature("heartbeat");
        }
    }

    /// Follows a group through its rooms. What shall be refused is entered by nobody.
    fn rooms(&mut self, step: &Step, who: Option<&str>) {
        let Some(who) = who else { return };
        let rooms = self.rooms.entry(who.to_owned()).or_default();
        if let Some(join) = step.join.as_ref().filter(|_| step.refused.is_none()) {
            let room = join.0.room.as_ref().or(join.0.code.as_ref());
            rooms.now.extend(room.map(|room| room.value.clone()));
        }
        if step.create.is_some() && step.refused.is_none() {
            rooms.now.insert(String::new());
        }
        if let Some(leave) = &step.leave {
            // What was saved of an answer names a room that was entered otherwise.
            if !rooms.now.remove(leave.0.room.as_str()) {
                rooms.now.pop_last();
            }
        }
        if step.close.is_some() || step.drop.is_some() {
            rooms.now.clear();
        }
        rooms.most = rooms.most.max(rooms.now.len());
    }
}

fn of_heartbeat(span: &Span) -> bool {
    span.0.iter().any(|(_, term)| matches!(term, Term::Every | Term::Timeout))
}
