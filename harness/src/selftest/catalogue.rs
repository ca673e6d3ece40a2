//! The catalogue of mutants, as data: what each does wrong, where it makes sense, and what must be
//! found there by which cases: `scenarios/mutants/*.yaml`.

use serde::Deserialize;

use super::outcome::Expected;
use crate::conform::parse;
use crate::plan::{Place, Source};
use crate::scenario::files;
use crate::scenario::marked::{At, Keyed, Tried};
use crate::scenario::problem::{Problem, Problems};

/// The directory of the catalogue in a suite's tree.
pub const DIRECTORY: &str = "mutants";
/// What a case's name begins with that is one of the shipped scenarios, run small.
pub const SCENARIO: &str = "scenario:";
/// Where a fault can sit.
const SEAMS: [&str; 4] = ["received", "world", "outlet", "transport"];

/// All mutants, in the order of their numbers.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// The entries.
    pub entries: Vec<Entry>,
}

/// A mutant.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name, for ever.
    pub id: String,
    /// Its number in the list that the catalogue was made from; those that do the same more rarely, or
    /// in another way, have the same.
    pub number: u32,
    /// What it does wrong, in a sentence.
    pub about: String,
    /// It breaks a MUST; else a SHOULD.
    pub must: bool,
    /// Where in the server the fault sits.
    pub seam: String,
    /// Where it makes sense.
    pub cells: Vec<Cell>,
    /// Why it makes no sense in the other dialects; empty where it makes sense in all.
    pub elsewhere: String,
    pub(super) source: Source,
    pub(super) place: Place,
}

/// A mutant in one dialect: a row of the table that the score is counted over.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// The mutant.
    pub id: String,
    /// The dialect.
    pub dialect: String,
    /// What must be found.
    pub expected: Expected,
    /// How often it does wrong, as the server takes it: `1/20`; none: whenever it can.
    pub rate: Option<String>,
    /// How many deliveries it takes at least to show; with fewer it has not survived.
    pub deliveries: u64,
    /// The cases that should find it, smallest first.
    pub cases: Vec<String>,
    /// Why it is not tried, if it is not: it counts as not found.
    pub left_out: Option<String>,
    /// The cases are the entry's, not the dialect's own: not each needs to be there.
    pub shared: bool,
    /// Where it stands.
    pub place: Place,
}

impl Cell {
    /// What the server is told: the mutant, and how often.
    pub fn option(&self) -> String {
        match &self.rate {
            Some(rate) => format!("{}:{rate}", self.id),
            None => self.id.clone(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mutants: Vec<Tried<At<Written>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: At<String>,
    number: At<u32>,
    about: At<String>,
    level: At<String>,
    seam: At<String>,
    #[serde(default)]
    dialects: Keyed<Tried<At<Row>>>,
    #[serde(default)]
    elsewhere: Option<At<String>>,
    #[serde(default)]
    left_out: Keyed<At<String>>,
    #[serde(default)]
    rate: Option<At<String>>,
    #[serde(default)]
    deliveries: Option<u64>,
    #[serde(default)]
    class: Option<At<String>>,
    #[serde(default)]
    check: Option<At<String>>,
    #[serde(default)]
    cases: Option<Vec<At<String>>>,
}

/// What a dialect has otherwise than the entry.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Row {
    rate: Option<At<String>>,
    deliveries: Option<u64>,
    class: Option<At<String>>,
    check: Option<At<String>>,
    cases: Option<Vec<At<String>>>,
    left_out: Option<At<String>>,
}

impl Catalogue {
    /// The catalogue that comes with the program.
    ///
    /// # Errors
    /// What is wrong with its files, one by one.
    pub fn shipped() -> Result<Self, Vec<Problems>> {
        let files = files::shipped_tree().into_iter();
        let own = files.filter(|(path, _)| path.split('/').next() == Some(DIRECTORY));
        let (catalogue, wrong) = Self::read(own.map(|(_, source)| source));
        if wrong.is_empty() { Ok(catalogue) } else { Err(wrong) }
    }

    /// Reads files, and everything that is wrong with each by itself.
    pub fn read(sources: impl IntoIterator<Item = Source>) -> (Self, Vec<Problems>) {
        let mut catalogue = Self::default();
        let mut wrong = Vec::new();
        for source in sources {
            match entries(&source) {
                Ok(entries) => catalogue.entries.extend(entries),
                Err(problems) => wrong.push(problems),
            }
        }
        catalogue.entries.sort_by_key(|entry| entry.number);
        (catalogue, wrong)
    }

    /// Every row of the table.
    pub fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.entries.iter().flat_map(|entry| &entry.cells)
    }

    /// An entry by its id.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == id)
    }
}

/// The entries of a file, or what is wrong with it.
fn entries(source: &Source) -> Result<Vec<Entry>, Problems> {
    let file: File = parse(source)?;
    let mut problems = Vec::new();
    let mut entries = Vec::new();
    for Tried(written) in &file.mutants {
        let Some(written) = written else { continue };
        problems.extend(unfit(written));
        entries.push(entry(source, written));
    }
    if problems.is_empty() { Ok(entries) } else { Err(Problems::new(source.clone(), problems)) }
}

/// What is wrong with the words of an entry.
fn unfit(written: &Written) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !["must", "should"].contains(&written.level.as_str()) {
        let problem = Problem::new(format!("`{}` is no level", written.level.value));
        problems.push(problem.at(written.level.place).help("there are must and should"));
    }
    if !SEAMS.contains(&written.seam.as_str()) {
        let problem = Problem::new(format!("there is no seam `{}`", written.seam.value));
        let help = format!("there are {}", SEAMS.join(", "));
        problems.push(problem.at(written.seam.place).help(help));
    }
    if written.about.trim().is_empty() {
        problems.push(Problem::new("what does it do?").at(written.about.place));
    }
    let rows = || written.dialects.iter().filter_map(|(_, row)| row.0.as_ref());
    let rates = rows().filter_map(|row| row.rate.as_ref()).chain(&written.rate);
    for rate in rates.filter(|rate| !is_rate(rate)) {
        let problem = Problem::new(format!("`{}` is no rate", rate.value)).at(rate.place);
        problems.push(problem.help("write it like 1/20"));
    }
    let reasons = written.left_out.iter().map(|(_, reason)| reason);
    let reasons = reasons.chain(rows().filter_map(|row| row.left_out.as_ref()));
    for reason in reasons.chain(&written.elsewhere).filter(|it| it.trim().is_empty()) {
        problems.push(Problem::new("why?").at(reason.place));
    }
    problems
}

/// `1/N`.
fn is_rate(text: &str) -> bool {
    let every = text.strip_prefix("1/").and_then(|every| every.parse::<u64>().ok());
    every.is_some_and(|every| every > 0)
}

fn entry(source: &Source, written: &Written) -> Entry {
    let empty = Row::default();
    let mut cells: Vec<Cell> = Vec::new();
    for (dialect, row) in written.dialects.iter() {
        // A wrong row has been told already.
        let row = row.0.as_ref().map_or(&empty, |row| &row.value);
        let mut cell = cell(written, dialect, row);
        let reason = row.left_out.as_ref().or_else(|| written.left_out.get(dialect));
        cell.left_out = reason.map(|reason| reason.trim().to_owned());
        cells.push(cell);
    }
    for (dialect, reason) in written.left_out.iter() {
        if written.dialects.get(dialect).is_none() {
            let left_out = Some(reason.trim().to_owned());
            cells.push(Cell { left_out, ..cell(written, dialect, &empty) });
        }
    }
    let elsewhere = written.elsewhere.as_ref().map(|it| it.trim().to_owned());
    Entry {
        id: written.id.value.clone(),
        number: written.number.value,
        about: written.about.trim().to_owned(),
        must: written.level.value == "must",
        seam: written.seam.value.clone(),
        cells,
        elsewhere: elsewhere.unwrap_or_default(),
        source: source.clone(),
        place: written.id.place,
    }
}

fn cell(written: &Written, dialect: &At<String>, row: &Row) -> Cell {
    let word = |own: &Option<At<String>>, all: &Option<At<String>>| {
        own.as_ref().or(all.as_ref()).map(|word| word.value.clone())
    };
    let own = row.cases.is_some();
    let cases = row.cases.as_ref().or(written.cases.as_ref()).into_iter().flatten();
    // What is another class than the entry's is another check's, too, where nobody says which.
    let inherits = row.class.is_none() || row.check.is_some();
    let check = word(&row.check, if inherits { &written.check } else { &None });
    Cell {
        id: written.id.value.clone(),
        dialect: dialect.value.clone(),
        expected: Expected { check, class: word(&row.class, &written.class).unwrap_or_default() },
        rate: word(&row.rate, &written.rate),
        deliveries: row.deliveries.or(written.deliveries).unwrap_or_default(),
        cases: cases.map(|case| case.value.clone()).collect(),
        left_out: None,
        shared: !own,
        place: dialect.place,
    }
}
