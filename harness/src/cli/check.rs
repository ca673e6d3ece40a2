//! `harness check`: finds what is wrong with scenario and dialect files, without running anything.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::dialect::{Dialect, Verb, doubts};
use crate::plan::{Built, Options, Plan, Source};
use crate::scenario::problem::{Problem, Problems};
use crate::scenario::{Scenario, files};

/// What is to be checked.
#[derive(Clone, Debug, Default)]
pub struct Check {
    /// Files, and directories with files; none: those that come with the program.
    pub paths: Vec<PathBuf>,
    /// Says what there is instead of checking it.
    pub list: bool,
    /// In colour, with drawn lines.
    pub fancy: bool,
}

/// More files than this are not looked for in one directory.
const FILES_MAX: usize = 10_000;

/// How deep directories are searched.
const DIRECTORIES_DEEP: usize = 8;

/// Checks files: the text to show, and the exit code (0: all is well, 2: something is not).
pub fn run(check: &Check) -> (String, u8) {
    if check.list {
        return (list(), 0);
    }
    let mut report = Report { text: String::new(), files: 0, problems: 0, fancy: check.fancy };
    if check.paths.is_empty() {
        for source in files::shipped_scenarios().into_iter().chain(files::shipped_dialects()) {
            report.file(source);
        }
    }
    for path in &check.paths {
        report.path(path);
    }
    let Report { mut text, files, problems, .. } = report;
    if files == 0 && problems == 0 {
        return (format!("{text}nothing to check: no .yaml file there\n"), 2);
    }
    let files = counted(files, "file");
    let problems_said =
        if problems == 0 { "no problems".into() } else { counted(problems, "problem") };
    let _never_fails = writeln!(text, "{files}, {problems_said}");
    (text, if problems == 0 { 0 } else { 2 })
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// The scenarios and dialects that come with the program, a line each.
fn list() -> String {
    let mut text = String::from("scenarios\n");
    for source in files::shipped_scenarios() {
        if let Ok(scenario) = Scenario::parse(source) {
            let _never_fails = writeln!(text, "  {:20} {}", scenario.name(), scenario.about());
        }
    }
    text.push_str("dialects\n");
    for source in files::shipped_dialects() {
        if let Ok(dialect) = Dialect::parse(&source.name, &source.text) {
            let _never_fails = writeln!(text, "  {:20} {}", dialect.name, dialect.about);
        }
    }
    text
}

struct Report {
    text: String,
    files: usize,
    problems: usize,
    fancy: bool,
}

impl Report {
    fn path(&mut self, path: &Path) {
        if path.is_dir() {
            let mut found = Vec::new();
            yaml_below(path, DIRECTORIES_DEEP, &mut found);
            found.sort();
            found.iter().for_each(|path| self.read(path));
        } else {
            self.read(path);
        }
    }

    fn read(&mut self, path: &Path) {
        match files::read(path) {
            Ok(source) => self.file(source),
            Err(problems) => self.tell(&problems),
        }
    }

    fn file(&mut self, source: Source) {
        self.files += 1;
        let problems = if is_dialect(&source.text) { dialect(source) } else { scenario(source) };
        self.tell(&problems);
    }

    fn tell(&mut self, problems: &Problems) {
        self.problems += problems.list.len();
        self.text.push_str(&problems.render(self.fancy));
    }
}

/// A file is what its first word says: a broken one must not be taken for the other kind.
fn is_dialect(text: &str) -> bool {
    let mut keys = text.lines().filter_map(|line| line.split_once(':').map(|(key, _)| key));
    keys.find(|key| ["dialect", "scenario"].contains(key)) == Some("dialect")
        && !text.lines().any(|line| line.starts_with("steps:"))
}

fn dialect(source: Source) -> Problems {
    match Dialect::parse(&source.name, &source.text) {
        Ok(dialect) => {
            let mut list = doubts(&source.text);
            if !Verb::ALL.iter().any(|verb| dialect.can(*verb)) {
                list.push(Problem::new("the dialect cannot ask for anything"));
            }
            Problems::new(source, list)
        }
        Err(problems) => problems,
    }
}

/// A scenario must be one that can be planned, too.
fn scenario(source: Source) -> Problems {
    let planned = Scenario::parse(source.clone())
        .and_then(|scenario| Plan::build(&scenario, &Options::default()));
    match planned {
        Ok(Built::Ready(..) | Built::Skipped(_)) => Problems::new(source, Vec::new()),
        Err(problems) => problems,
    }
}

fn yaml_below(directory: &Path, deep: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if found.len() >= FILES_MAX {
            return;
        }
        let yaml =
            path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if path.is_dir() && deep > 0 {
            yaml_below(&path, deep - 1, found);
        } else if yaml {
            found.push(path);
        }
    }
}
