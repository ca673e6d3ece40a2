//! The scenario language: who connects, what they do, and what must be true, as the user wrote it.

pub(crate) mod expectations;
mod fault;
pub mod files;
pub(crate) mod lint;
pub(crate) mod marked;
pub mod metrics;
pub(crate) mod model;
pub mod problem;
pub(crate) mod read;
pub(crate) mod steps;
pub mod template;
pub(crate) mod tree;
pub mod units;
pub(crate) mod users;
pub(crate) mod wire;

pub use problem::{Problem, Problems};
pub use steps::ACTIONS;

use std::collections::BTreeSet;

use crate::dialect::Dialect;
use crate::plan::{ServerSetup, Source};

/// A scenario file that was read and found free of mistakes.
#[derive(Debug)]
pub struct Scenario {
    pub(crate) source: Source,
    pub(crate) file: model::File,
    /// The names in it to which only a dialect gives values.
    pub(crate) borrowed: BTreeSet<String>,
}

impl Scenario {
    /// A scenario by name (of those that come with the program) or path.
    pub fn load(name_or_path: &str) -> Result<Self, Problems> {
        Self::parse(files::scenario(name_or_path)?)
    }

    /// A scenario from its file's text, or everything that is wrong with it.
    pub fn parse(source: Source) -> Result<Self, Problems> {
        Self::parse_with(source, &BTreeSet::new())
    }

    /// The same, where a dialect gives values to these names, too.
    pub fn parse_with(source: Source, given: &BTreeSet<String>) -> Result<Self, Problems> {
        let root = match tree::parse(&source.text) {
            Ok(root) => root,
            Err(problem) => return Err(Problems::new(source, vec![problem])),
        };
        let (file, mut problems) = read::read::<model::File>(&root);
        let mut borrowed = BTreeSet::new();
        if let Some(file) = &file {
            // Whether its own dialect can be read is found out later.
            let own = file.dialect.as_ref().and_then(|own| Dialect::load(own).ok());
            let own = own.map(|dialect| dialect.gives()).unwrap_or_default();
            let known = |name: &str| own.contains(name) || given.contains(name);
            let (wrong, used) = lint::lint(&source.text, file, &known);
            problems.extend(wrong);
            borrowed = used;
        }
        match file {
            Some(file) if problems.is_empty() => Ok(Self { source, file, borrowed }),
            _ => Err(Problems::new(source, problems)),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.file.scenario
    }

    /// What it is about.
    pub fn about(&self) -> &str {
        &self.file.about
    }

    /// The requirements that it tests: none unless it is a conformance case.
    pub fn requires(&self) -> impl Iterator<Item = &str> {
        self.file.requires.iter().map(|id| id.as_str())
    }

    /// The options of a profile that it is for, and the values that are right.
    pub fn options(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.file.options.iter().map(|(name, values)| (name.as_str(), values.0.as_slice()))
    }

    /// Nothing may run beside it.
    pub fn is_alone(&self) -> bool {
        self.file.alone
    }

    /// It needs a server of its own.
    pub fn has_own_server(&self) -> bool {
        self.file.own_server
    }

    /// It has steps that show how a server refuses what it does not support.
    pub fn has_refusal(&self) -> bool {
        !self.file.refusal.is_empty()
    }

    /// What of its server it sets itself: arguments, timers.
    pub fn server(&self) -> ServerSetup {
        ServerSetup {
            heartbeat: self.file.server.heartbeat.as_ref().map(|word| word.0),
            args: self.file.server.args.iter().map(|arg| arg.value.clone()).collect(),
        }
    }

    /// The dialect that it asks for, by name or path; none: any.
    pub fn dialect(&self) -> Option<&str> {
        self.file.dialect.as_ref().map(|dialect| dialect.as_str())
    }
}
