//! What a scenario can need of a dialect, and whether the dialect has it.

use std::collections::BTreeSet;

use super::{Dialect, EventKind, Frames, Sending, Verb};
use crate::plan::Ordering;

/// What a scenario can need of a dialect beside the [`Verb`]s.
pub const FEATURES: &[&str] = &[
    "heartbeat",
    "recovery",
    "audience",
    "members",
    "numbering",
    "one-order",
    "join-by-name",
    "join-by-code",
    "capacity",
    "if-version",
];

impl Dialect {
    /// Whether a client can ask for this.
    pub fn can(&self, verb: Verb) -> bool {
        // Where the room is in the path, entering and leaving are connecting and closing.
        let by_path = self.connect.in_path && matches!(verb, Verb::Join | Verb::Leave);
        let lacks = self.lacks.iter().any(|lack| lack == verb.as_str());
        (by_path || self.send.contains_key(&verb)) && !lacks
    }

    /// Whether this is asked for by HTTP, with the dialect's parameters as they are.
    pub fn is_http(&self, verb: Verb) -> bool {
        self.way(verb, &crate::plan::Vars::new()).is_some_and(|(way, _)| way.http.is_some())
    }

    /// Whether to enter a room is to connect, and nothing is asked for then.
    pub fn enters_by_connecting(&self) -> bool {
        let says = |way: &Sending| {
            way.http.is_some() || !matches!(&way.frames, Frames::Each(frames) if frames.is_empty())
        };
        self.connect.in_path && !self.send.get(&Verb::Join).is_some_and(|it| it.iter().any(says))
    }

    /// Whether servers tell this.
    pub fn tells(&self, kind: EventKind) -> bool {
        let means = |receiving: &super::Receiving| {
            let means = &receiving.means;
            receiving.event == kind || means.own == Some(kind) || means.also.contains(&kind)
        };
        self.receive.iter().any(means)
    }

    /// Whether a hole of this event can have a value.
    pub fn says(&self, kind: EventKind, hole: &str) -> bool {
        let of_kind = |receiving: &&super::Receiving| {
            let means = &receiving.means;
            receiving.event == kind || means.own == Some(kind) || means.also.contains(&kind)
        };
        self.receive.iter().filter(of_kind).any(|receiving| {
            receiving.when.holes().iter().any(|(name, _)| name == hole)
                || receiving.with.iter().any(|(name, _)| name == hole)
                || receiving.means.recall.iter().any(|(name, _)| name == hole)
        })
    }

    /// Whether it has any words for what servers tell; else only stamps are found in raw frames.
    pub fn reads(&self) -> bool {
        !self.receive.is_empty()
    }

    /// Whether members are told of each other's coming and going.
    pub fn tells_membership(&self) -> bool {
        self.tells(EventKind::Joined) && self.tells(EventKind::Left)
    }

    /// Whether it has what a scenario can need: a [`Verb`]'s word, one of [`FEATURES`], or the
    /// word of an event.
    pub fn has(&self, need: &str) -> bool {
        let ways = |verb: Verb| self.send.get(&verb).map_or(&[][..], Vec::as_slice);
        let uses = |verb: Verb, hole: &str| ways(verb).iter().any(|way| self.uses(way, hole));
        let by_nature = match need {
            "heartbeat" => self.heartbeat.is_some(),
            "recovery" => uses(Verb::Join, "since_number"),
            // Where nobody is told of the others' coming and going, everybody is an audience.
            "audience" => {
                uses(Verb::Join, "membership")
                    || (self.reads()
                        && !self.tells(EventKind::Joined)
                        && !self.tells(EventKind::Left))
            }
            "one-order" => {
                matches!(self.ordering, Some(Ordering::Total | Ordering::TotalAmongOthers))
            }
            "numbering" => !self.numbering.is_empty(),
            "members" => {
                let listed = |kind: &EventKind| self.says(*kind, "members");
                EventKind::ALL.iter().any(listed)
            }
            "join-by-name" => {
                let by_name = ways(Verb::Join).iter().any(|way| !self.uses(way, "code"));
                self.can(Verb::Join) && (self.connect.in_path || by_name)
            }
            "join-by-code" => uses(Verb::Join, "code"),
            "capacity" => uses(Verb::Create, "capacity"),
            "if-version" => uses(Verb::Store, "if_version"),
            word => match (word.parse(), word.parse()) {
                (Ok(verb), _) => self.can(verb),
                (_, Ok(kind)) => self.tells(kind),
                _ => false,
            },
        };
        by_nature && !self.lacks.iter().any(|lack| lack == need)
    }

    /// The columns of users' data that it asks for.
    pub fn user_columns(&self) -> BTreeSet<String> {
        let mut holes: Vec<String> = Vec::new();
        let mut of = |template: &super::Template| {
            holes.extend(template.holes().into_iter().map(|(name, _)| name));
        };
        for way in self.send.values().flatten() {
            match &way.frames {
                Frames::Each(frames) => frames.iter().for_each(&mut of),
                Frames::Of(list) => of(list),
            }
        }
        self.http.values().flat_map(super::http::Request::templates).for_each(&mut of);
        self.connect.headers.iter().for_each(|(_, value)| of(value));
        self.define.values().for_each(&mut of);
        let recalled = self.receive.iter().flat_map(|receiving| &receiving.means.recall);
        recalled.for_each(|(_, value)| of(value));
        let addresses = self.http.values().map(|request| request.to.as_str());
        let addresses = addresses.chain([self.connect.path.as_str()]);
        let in_addresses = addresses.flat_map(crate::scenario::template::holes_of);
        holes.extend(in_addresses.map(|hole| hole.name));
        let user = |hole: String| hole.strip_prefix(super::template::USER).map(str::to_owned);
        holes.into_iter().filter_map(user).collect()
    }

    /// Whether a way to ask for something says this.
    fn uses(&self, way: &Sending, hole: &str) -> bool {
        let frames: Vec<&super::Template> = match &way.frames {
            Frames::Each(frames) => frames.iter().collect(),
            Frames::Of(list) => vec![list],
        };
        let requests = way.http.iter().chain(&way.before).filter_map(|name| self.http.get(name));
        let requests = requests.flat_map(super::http::Request::holes);
        let frames = frames.into_iter().flat_map(super::Template::holes).map(|(name, _)| name);
        self.says_in(frames.chain(requests).collect(), hole)
    }

    /// Whether an HTTP request has this hole, itself or in a definition that it uses.
    pub fn takes(&self, request: &str, hole: &str) -> bool {
        self.http.get(request).is_some_and(|request| self.says_in(request.holes(), hole))
    }

    /// Whether a hole is among these, or in what they are defined by.
    fn says_in(&self, mut open: Vec<String>, hole: &str) -> bool {
        // What a definition says is said, too.
        let mut seen = BTreeSet::new();
        while let Some(name) = open.pop() {
            if name == hole {
                return true;
            }
            let definition = self.define.get(&name);
            if let Some(definition) = definition.filter(|_| seen.insert(name)) {
                open.extend(definition.holes().into_iter().map(|(name, _)| name));
            }
        }
        false
    }
}
