//! What is wrong with a suite as a whole is found, and nothing else is.

use std::path::Path;

use harness::conform::lint::{file, lint, unwritten};
use harness::conform::suite::{Suite, SuiteFile, files_of};
use harness::plan::Source;
use harness::scenario::Scenario;
use harness::scenario::files::{self, Kind};

use super::suites::case;

const REQUIREMENTS: &str = "\
requirements: mini
list:
  MINI-1: { level: MUST, text: It echoes., source: a test }
  MINI-2: { level: SHOULD, text: It thanks., source: a test }
";

/// A suite in which all is well.
fn right() -> Vec<(String, String)> {
    let dialect = "dialect: mini\nconnect: { path: / }\nsend: { say: { frame: $text } }\n";
    let common = "requirements: common\nlist: { COM-1: { level: SHOULD, text: t, source: s } }\n";
    let profile = "profile: mini\ndialect: mini\n";
    let echo = case("echo", "requires: [MINI-1]", "{ echo: 1 }", "{ echoed: 1 }");
    let files = [
        ("requirements/mini.yaml", REQUIREMENTS),
        ("requirements/common.yaml", common),
        ("dialects/mini.yaml", dialect),
        ("profiles/mini.yaml", profile),
        ("conformance/mini/area/echo.yaml", &echo),
    ];
    files.map(|(path, text)| (path.to_owned(), text.to_owned())).to_vec()
}

/// What is said of the suite, a line each.
fn said(files: &[(String, String)]) -> String {
    let as_file = |(path, text): &(String, String)| SuiteFile {
        path: path.clone(),
        source: Source { name: path.clone(), text: text.as_str().into() },
        own: true,
    };
    let (suite, wrong) = Suite::read(files.iter().map(as_file).collect());
    let found = if wrong.is_empty() { lint(&suite) } else { wrong };
    found.iter().map(|problems| problems.lines()).collect()
}

/// The right suite with another text, or one more file.
fn with(path: &str, text: &str) -> Vec<(String, String)> {
    let mut files = right();
    files.retain(|(known, _)| known != path);
    files.push((path.to_owned(), text.to_owned()));
    files
}

#[test]
fn a_right_suite_is_right() {
    assert_eq!(said(&right()), "");
}

#[test]
fn every_mistake_is_told_at_its_place() {
    let more = |line: &str| format!("{REQUIREMENTS}  {line}\n");
    let here = "conformance/mini/area/echo.yaml";
    let echo = |head: &str| case("echo", head, "{ echo: 1 }", "{ echoed: 1 }");
    let profile = |more: &str| format!("profile: mini\ndialect: mini\n{more}\n");
    let untestable = |line: &str| format!("untestable:\n  {line}\n");
    let cases: Vec<(&str, String, &str)> = vec![
        (
            "requirements/mini.yaml",
            more("MINI-3: { level: MUST, text: t, source: s }"),
            "requirements/mini.yaml:5:3: no case shows `MINI-3` (write one, or say in",
        ),
        (
            "requirements/mini.yaml",
            more("COM-1: { level: SHOULD, text: t, source: s }"),
            "there is another requirement `COM-1`",
        ),
        (
            "requirements/mini.yaml",
            more("mini3: { level: SHOULD, text: t, source: s }"),
            "`mini3` cannot be a requirement's id",
        ),
        ("requirements/mini.yaml", more("MINI-3: { level: MAY, text: t, source: s }"), "`MAY`"),
        ("requirements/mini.yaml", more("MINI-3: { level: MUST, text: t }"), "`source` is missing"),
        ("requirements/other.yaml", REQUIREMENTS.to_owned(), "called `mini`, the file `other`"),
        ("requirements/untestable.yaml", untestable("MINI-1: hard"), "a case shows `MINI-1`"),
        ("requirements/untestable.yaml", untestable("MINI-1:"), "a text is wanted"),
        ("requirements/untestable.yaml", untestable("MINI-11: hard"), "did you mean `MINI-1`?"),
        (here, echo("requires: [MINI-1, MINI-9]"), "no requirement is called `MINI-9` here"),
        (here, echo(""), "which requirement does the case show?"),
        (here, echo("requires: [MINI-1]\noptions: { legs: 4 }"), "does not say what `legs` is"),
        (
            "conformance/mini/area/ekho.yaml",
            echo("requires: [MINI-1]"),
            "ekho.yaml:1:11: the file is called `ekho`",
        ),
        (
            "conformance/mini/echo.yaml",
            echo("requires: [MINI-1]"),
            "a case lies in conformance/DIALECT/AREA/NAME.yaml",
        ),
        (
            "conformance/mini/common-area/echo.yaml",
            echo("requires: [MINI-1]"),
            "begins with `common-`",
        ),
        (
            "conformance/maxi/area/echo.yaml",
            echo("requires: [COM-1]"),
            "there is no dialect `maxi`",
        ),
        (here, echo("requires: [MINI-1]").replace("alice: {}", "bob: {}"), "called `alice`"),
        ("profiles/mini.yaml", profile("lacks: [MINI-9]"), "no requirement is called `MINI-9`"),
        ("profiles/mini.yaml", profile("lacks: [a//b]"), "empty component"),
        ("profiles/mini.yaml", profile("options: { legs: 4 }"), "asks for `legs`"),
        ("profiles/mini.yaml", profile("limits: { rooms: many }"), "`many` is not a size"),
        ("profiles/x.yaml", "profile: x\ndialect: maxi\n".to_owned(), "no dialect `maxi`"),
    ];
    for (path, text, expected) in cases {
        let said = said(&with(path, &text));
        assert!(said.contains(expected), "{path}: no `{expected}` in `{said}`\n{text}");
    }
}

#[test]
fn what_is_lacked_may_be_many_requirements_or_a_word_of_needs() {
    let profile = "profile: mini\ndialect: mini\nlacks: [COM-*, MINI-1, say, heartbeat]\n";
    assert_eq!(said(&with("profiles/mini.yaml", profile)), "");
}

#[test]
fn a_must_that_no_case_can_show_has_its_reason() {
    let three = format!("{REQUIREMENTS}  MINI-3: {{ level: MUST, text: t, source: s }}\n");
    let mut files = with("requirements/mini.yaml", &three);
    let reason = "untestable:\n  MINI-3: It happens inside.\n";
    files.push(("requirements/untestable.yaml".to_owned(), reason.to_owned()));
    assert_eq!(said(&files), "");
}

#[test]
fn while_cases_are_written_what_is_missing_is_told_and_no_mistake() {
    let three = format!("{REQUIREMENTS}  MINI-3: {{ level: MUST, text: t, source: s }}\n");
    let mut files = with("requirements/mini.yaml", &three);
    let list = "untestable: {}\nincomplete: true\n";
    files.push(("requirements/untestable.yaml".to_owned(), list.to_owned()));
    assert_eq!(said(&files), "");
    let as_file = |(path, text): (String, String)| SuiteFile {
        source: Source { name: path.clone(), text: text.as_str().into() },
        path,
        own: true,
    };
    let (suite, _) = Suite::read(files.into_iter().map(as_file).collect());
    assert_eq!(unwritten(&suite), ["MINI-3"]);
}

#[test]
fn the_suite_that_comes_with_the_program_is_right_and_whole() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let on_disk = files::tree(&root).expect("readable");
    let shipped = files::shipped_tree();
    let paths = |tree: &[(String, Source)]| {
        tree.iter().map(|(path, source)| (path.clone(), source.text.clone())).collect::<Vec<_>>()
    };
    assert_eq!(paths(&shipped), paths(&on_disk), "what is embedded is what is in the repository");
    let (suite, wrong) = Suite::read(files_of(None).expect("embedded"));
    let found: String = wrong.iter().chain(&lint(&suite)).map(|it| it.render(false)).collect();
    assert_eq!(found, "");
    assert_eq!(unwritten(&suite), [""; 0], "MUSTs without a case");
    for dialect in suite.dialect_names() {
        assert!(suite.sanity(&dialect).is_some(), "{dialect} has a sanity case");
        assert!(suite.profile(&dialect).is_some(), "{dialect} has a profile");
    }
}

/// The YAML blocks of docs/CONFORMANCE.md are right.
#[test]
fn every_example_of_the_page_is_right() {
    let page = include_str!("../../../docs/CONFORMANCE.md");
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut kinds = Vec::new();
    for text in blocks {
        let kind = files::kind(text);
        // The name of a file of requirements is that of its set.
        let source = Source { name: "requirements/rooms.yaml".into(), text: text.into() };
        let right = match kind {
            Kind::Scenario => Scenario::parse(source).map(drop),
            kind => file(kind, &source),
        };
        right.unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        kinds.push(kind);
    }
    use Kind::{Baseline, Profile, Requirements, Scenario as Case, Untestable};
    assert_eq!(kinds, [Requirements, Untestable, Case, Profile, Baseline]);
}

/// Every outcome, and what it means, is on the page.
#[test]
fn every_outcome_is_documented() {
    let page = include_str!("../../../docs/CONFORMANCE.md");
    for (_, word, meaning) in harness::conform::outcome::OUTCOMES {
        assert!(page.contains(&format!("| `{word}` | {meaning}")), "{word}");
    }
}

#[test]
fn a_directory_without_common_cases_is_lent_those_that_come_with_the_program() {
    let directory = tempfile::tempdir().expect("a directory");
    for (path, text) in right().iter().filter(|(path, _)| !path.contains("common")) {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("written");
    }
    let files = files_of(Some(directory.path())).expect("readable");
    let lent = |path: &str| files.iter().any(|file| file.path == path && !file.own);
    assert!(lent("conformance/common/sanity.yaml") && lent("requirements/common.yaml"));
    let (suite, wrong) = Suite::read(files);
    assert!(wrong.is_empty());
    assert_eq!(suite.dialect_names(), ["mini"], "what is lent is not what the tree is about");
    let ids: Vec<String> = suite.cases_of("mini").into_iter().map(|(id, _)| id).collect();
    assert!(ids.iter().any(|id| id.starts_with("mini/common-")), "{ids:?}");
}
