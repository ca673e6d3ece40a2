//! What a server of a kind must or should do, as data: `scenarios/requirements/*.yaml`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::parse;
use crate::plan::{Place, Source};
use crate::scenario::marked::{At, Keyed, Tried};
use crate::scenario::problem::{Problem, Problems};
use crate::scenario::wire::OneOrList;

/// How much a requirement asks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// There may be good reasons not to.
    Should,
    /// It is promised.
    Must,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Should => "SHOULD",
            Self::Must => "MUST",
        })
    }
}

/// One requirement.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// Its id, for ever: `ROOM-4`.
    pub id: String,
    /// How much it asks.
    pub level: Level,
    /// What it asks, in a sentence.
    pub text: String,
    /// Where that is written.
    pub source: String,
    /// It is asked only of servers whose options are these.
    pub option: Condition,
    /// The set it belongs to: `common`, or a dialect's name.
    pub set: String,
    pub(super) place: Place,
}

/// Options that must have certain values.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Condition(pub BTreeMap<String, Vec<String>>);

impl Condition {
    pub(super) fn read(options: &Keyed<At<OneOrList>>) -> Self {
        let pairs = options.iter().map(|(name, values)| (name.value.clone(), values.0.clone()));
        Self(pairs.collect())
    }

    /// Why these options do not meet it; none if they do.
    pub fn unmet(&self, options: &BTreeMap<String, String>) -> Option<String> {
        self.0.iter().find_map(|(name, wanted)| {
            let wanted_shown = wanted.join(" or ");
            match options.get(name) {
                Some(value) if wanted.contains(value) => None,
                Some(value) => Some(format!("{name} is {value}, not {wanted_shown}")),
                None => Some(format!("the profile does not say whether {name} is {wanted_shown}")),
            }
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    requirements: At<String>,
    #[serde(default)]
    #[expect(dead_code, reason = "for whoever reads the file")]
    about: String,
    list: Keyed<Tried<At<Written>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    level: Level,
    text: String,
    source: String,
    #[serde(default)]
    option: Keyed<At<OneOrList>>,
}

/// Reads a file of requirements, whose name without `.yaml` must be that of the set.
pub(super) fn read(stem: &str, source: &Source) -> Result<Vec<Requirement>, Problems> {
    let set: Set = parse(source)?;
    let name = &set.requirements;
    let mut problems = Vec::new();
    if name.value != stem {
        let message = format!("the set is called `{}`, the file `{stem}`", name.value);
        problems.push(Problem::new(message).at(name.place));
    }
    let mut list: Vec<Requirement> = Vec::new();
    for (id, written) in set.list.iter() {
        let Tried(Some(written)) = written else { continue };
        problems.extend(unfit(id, written));
        list.push(Requirement {
            id: id.value.clone(),
            level: written.level,
            text: written.text.trim().to_owned(),
            source: written.source.trim().to_owned(),
            option: Condition::read(&written.option),
            set: name.value.clone(),
            place: id.place,
        });
    }
    if problems.is_empty() { Ok(list) } else { Err(Problems::new(source.clone(), problems)) }
}

fn unfit(id: &At<String>, written: &Written) -> Option<Problem> {
    let plain = id.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
    let upper = id.starts_with(|c: char| c.is_ascii_uppercase());
    if !plain || !upper || !id.contains('-') {
        let problem = Problem::new(format!("`{}` cannot be a requirement's id", id.value));
        return Some(problem.at(id.place).help("write it like ROOM-4"));
    }
    let empty = [("text", &written.text), ("source", &written.source)];
    let (key, _) = empty.into_iter().find(|(_, text)| text.trim().is_empty())?;
    Some(Problem::new(format!("`{key}` is empty")).at(id.place))
}

/// The requirements that no case can show, and whether all others must have one yet.
#[derive(Debug, Default)]
pub(super) struct Untestable {
    /// Each with its reason.
    pub(super) reasons: Vec<(At<String>, String)>,
    /// Cases are still being written.
    pub(super) incomplete: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exempt {
    untestable: Keyed<Tried<At<String>>>,
    #[serde(default)]
    incomplete: bool,
}

/// Reads the list of requirements that no case can show, each with its reason.
pub(super) fn read_untestable(source: &Source) -> Result<Untestable, Problems> {
    let Exempt { untestable, incomplete } = parse(source)?;
    let mut reasons = Vec::new();
    let mut problems = Vec::new();
    for (id, reason) in untestable.0 {
        match reason.0 {
            Some(reason) if !reason.trim().is_empty() => reasons.push((id, reason.value)),
            _ => problems.push(Problem::new("why can no case show it?").at(id.place)),
        }
    }
    match problems.is_empty() {
        true => Ok(Untestable { reasons, incomplete }),
        false => Err(Problems::new(source.clone(), problems)),
    }
}
