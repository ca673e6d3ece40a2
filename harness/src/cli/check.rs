//! `harness check`: finds what is wrong with scenarios, dialects and suites, without running anything.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use crate::conform::lint;
use crate::conform::suite::{COMMON, Suite, files_of};
use crate::dialect::{Dialect, Verb, doubts};
use crate::plan::{Built, Options, Plan, Source};
use crate::report::words::counted;
use crate::scenario::files::Kind;
use crate::scenario::problem::{Problem, Problems};
use crate::scenario::{Scenario, files};
use crate::selftest::{self, catalogue::Catalogue};
use crate::verdict::Exit;

/// What is to be checked.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Args {
    /// Files, and directories with files; none: those that come with the program
    paths: Vec<PathBuf>,
    /// Say what comes with the program instead of checking it
    #[arg(long)]
    list: bool,
    /// A dialect, by name or file, to try a frame on
    #[arg(long, value_name = "NAME|FILE", requires = "frame")]
    dialect: Option<String>,
    /// Say what this frame is taken for, or how it differs from what is nearest
    #[arg(long = "try", value_name = "FRAME", requires = "dialect", conflicts_with_all = ["paths", "list"])]
    frame: Option<String>,
}

/// Checks files, and prints what is wrong with them.
pub(super) fn main(args: &Args) -> Exit {
    let fancy = std::env::var_os("NO_COLOR").is_none() && std::io::stdout().is_terminal();
    let (text, exit) = run(args, fancy);
    super::print(&text);
    exit
}

/// Checks files: the text to show (in colour, with drawn lines, if `fancy`), and the exit.
fn run(args: &Args, fancy: bool) -> (String, Exit) {
    if args.list {
        return (list(), Exit::Passed);
    }
    if let (Some(dialect), Some(frame)) = (&args.dialect, &args.frame) {
        return super::trial::run(dialect, frame, fancy);
    }
    let mut report = Report { text: String::new(), files: 0, problems: 0, fancy };
    if args.paths.is_empty() {
        report.suite(None);
    }
    for path in &args.paths {
        report.path(path);
    }
    let Report { mut text, files, problems, .. } = report;
    if files == 0 && problems == 0 {
        return (format!("{text}nothing to check: no .yaml file there\n"), Exit::Usage);
    }
    let files = counted(files as u64, "file");
    let problems_said =
        if problems == 0 { "no problems".into() } else { counted(problems as u64, "problem") };
    let _never_fails = writeln!(text, "{files}, {problems_said}");
    (text, if problems == 0 { Exit::Passed } else { Exit::Usage })
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
    text.push_str("cases\n");
    let suite = files_of(None).map(|files| Suite::read(files).0).unwrap_or_default();
    for case in &suite.cases {
        let id = format!("{}/{}/{}", case.home, case.area, case.slug);
        let about = case.scenario.about();
        let _never_fails = writeln!(text, "  {id:44} {about}");
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
        if path.join("conformance").is_dir() {
            self.suite(Some(path));
        } else if path.is_dir() {
            files::yaml_below(path).iter().for_each(|path| self.read(path));
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
        let problems = match files::kind(&source.text) {
            Kind::Dialect => dialect(source),
            Kind::Scenario => scenario(source),
            Kind::Mutants => mutants(source),
            kind => {
                lint::file(kind, &source).err().unwrap_or_else(|| Problems::new(source, Vec::new()))
            }
        };
        self.tell(&problems);
    }

    /// A tree of requirements, cases and profiles, and of the scenarios and dialects beside them.
    fn suite(&mut self, directory: Option<&Path>) {
        let all = match files_of(directory) {
            Ok(all) => all,
            Err(problems) => return self.tell(&problems),
        };
        let (own, lent): (Vec<_>, Vec<_>) = all.into_iter().partition(|file| file.own);
        let of_suite = |path: &str| {
            let tops = ["requirements/", "profiles/", "conformance/", "mutants/"];
            tops.iter().any(|top| path.starts_with(top))
        };
        for file in own.iter().filter(|file| !of_suite(&file.path)) {
            self.file(file.source.clone());
        }
        self.files += own.iter().filter(|file| of_suite(&file.path)).count();
        let mutants = own.iter().filter(|file| file.path.starts_with("mutants/"));
        let (catalogue, wrong) = Catalogue::read(mutants.map(|file| file.source.clone()));
        wrong.iter().for_each(|problems| self.tell(problems));
        let (suite, wrong) = Suite::read(own.into_iter().chain(lent).collect());
        wrong.iter().for_each(|problems| self.tell(problems));
        // What a file that cannot be read would have said is missing everywhere else.
        if wrong.is_empty() {
            lint::lint(&suite).iter().for_each(|problems| self.tell(problems));
            selftest::lint::lint(&catalogue, &suite).iter().for_each(|it| self.tell(it));
            let unwritten = lint::unwritten(&suite);
            if !unwritten.is_empty() {
                let count = counted(unwritten.len() as u64, "MUST");
                let list = unwritten.join(", ");
                let _never_fails = writeln!(self.text, "no case yet for {count}: {list}");
            }
        }
    }

    fn tell(&mut self, problems: &Problems) {
        self.problems += problems.list.len();
        self.text.push_str(&problems.render(self.fancy));
    }
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

/// A file of mutants by itself: what its names mean only the suite knows.
fn mutants(source: Source) -> Problems {
    let (_, wrong) = Catalogue::read([source.clone()]);
    wrong.into_iter().next().unwrap_or_else(|| Problems::new(source, Vec::new()))
}

/// A scenario must be one that can be planned, too; a case on the dialect that it lies at.
fn scenario(source: Source) -> Problems {
    let mut parts = source.name.split(['/', '\\']).skip_while(|part| *part != "conformance");
    let home = parts.nth(1).filter(|home| *home != COMMON && Dialect::shipped(home).is_some());
    let options = Options { dialect: home.map(str::to_owned), ..Options::default() };
    let dialect = options.dialect.as_deref().and_then(Dialect::shipped);
    let given = dialect.as_ref().map(Dialect::gives).unwrap_or_default();
    let planned = Scenario::parse_with(source.clone(), &given)
        .and_then(|scenario| Plan::build(&scenario, &options));
    match planned {
        Ok(Built::Ready(..) | Built::Skipped(_)) => Problems::new(source, Vec::new()),
        Err(problems) => problems,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)]) -> (String, Exit) {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, text).expect("a file");
        }
        let args = Args { paths: vec![directory.path().to_owned()], ..Args::default() };
        let (text, exit) = run(&args, false);
        (text.replace(&directory.path().display().to_string(), "DIR"), exit)
    }

    #[test]
    fn what_comes_with_the_program_has_no_problems() {
        let (text, exit) = run(&Args::default(), false);
        assert_eq!(exit, Exit::Passed, "{text}");
        assert!(text.ends_with(" files, no problems\n"), "{text}");
        let (text, exit) = run(&Args { list: true, ..Args::default() }, false);
        assert_eq!(exit, Exit::Passed);
        assert!(text.contains("  broadcast ") && text.contains("  native "), "{text}");
    }

    #[test]
    fn a_problem_is_shown_with_its_line() {
        let text = "scenario: t\nclients: { alice: }\nsteps:\n  - as: alcie\n    open: {}\n";
        let (shown, exit) = check(&[("deep/t.yaml", text)]);
        assert_eq!(exit, Exit::Usage);
        for part in ["DIR/deep/t.yaml:4:9", "no client is called `alcie`", "- as: alcie", "`alice`"]
        {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
        assert!(shown.ends_with("1 file, 1 problem\n"), "{shown}");
    }

    #[test]
    fn what_cannot_be_meant_in_a_dialect_is_told() {
        let text = "\
dialect: odd
connect: { path: /ws }
send: { say: { frame: $text } }
receive:
  - event: message
    when: { type: chat, text: $text, from: $who }
  - event: joined
    when: { type: in, who: $who, token: $token }
    remember: [token]
  - event: left
    when: { type: in, who: $who, token: $count, gone: true }
";
        let (shown, exit) = check(&[("odd.yml", text)]);
        assert_eq!(exit, Exit::Usage);
        assert!(shown.contains("nothing uses the remembered `token`"), "{shown}");
        assert!(shown.contains("this `left` never comes: line 7 (`joined`) takes all"), "{shown}");
        assert!(shown.ends_with("1 file, 2 problems\n"), "{shown}");
    }

    #[test]
    fn where_nothing_is_nothing_is_well() {
        assert_eq!(check(&[("readme.txt", "")]).1, Exit::Usage);
        let missing = Args { paths: vec!["no/such.yaml".into()], ..Args::default() };
        let (text, exit) = run(&missing, false);
        assert!(text.contains("no/such.yaml: cannot be read: "), "{text}");
        assert_eq!(exit, Exit::Usage);
    }
}
