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

pub use problem::{Problem, Problems};
pub use steps::ACTIONS;

use crate::plan::Source;

/// A scenario file that was read and found free of mistakes.
#[derive(Debug)]
pub struct Scenario {
    pub(crate) source: Source,
    pub(crate) file: model::File,
}

impl Scenario {
    /// A scenario by name (of those that come with the program) or path.
    pub fn load(name_or_path: &str) -> Result<Self, Problems> {
        Self::parse(files::scenario(name_or_path)?)
    }

    /// A scenario from its file's text, or everything that is wrong with it.
    pub fn parse(source: Source) -> Result<Self, Problems> {
        let root = match tree::parse(&source.text) {
            Ok(root) => root,
            Err(problem) => return Err(Problems::new(source, vec![problem])),
        };
        let (file, mut problems) = read::read::<model::File>(&root);
        if let Some(file) = &file {
            problems.extend(lint::lint(&source.text, file));
        }
        match file {
            Some(file) if problems.is_empty() => Ok(Self { source, file }),
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

    /// The dialect that it asks for, by name or path; none: any.
    pub fn dialect(&self) -> Option<&str> {
        self.file.dialect.as_ref().map(|dialect| dialect.as_str())
    }
}
