//! Suites of a few cases in a temporary directory, and runs of them.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::runs::{Call, Ran};

const REQUIREMENTS: &str = "\
requirements: mini
about: What the small servers of these tests owe.
list:
  MINI-1: { level: MUST, text: What is to be echoed is echoed., source: this test }
  MINI-2: { level: SHOULD, text: Thanks are returned., source: this test }
  MINI-3: { level: MUST, text: What is told comes to all others., source: this test }
  MINI-4: { level: MUST, text: Who types is shown., source: this test }
  MINI-5: { level: MUST, text: It outlives what it is sent., source: this test }
  MINI-6: { level: MUST, text: Tables are turned., source: this test, option: { tables: turned } }
";

const DIALECT: &str = "\
dialect: mini
about: The small servers of these tests.
connect: { path: / }
send: { say: { frame: { tell: $text } } }
receive:
  - { event: error, when: { error: $code } }
  - { event: message, when: { told: $text } }
";

/// A case with one client that sends something and looks what comes next. That is all it waits for:
/// whatever else comes is another answer, or what somebody tells all in a case beside it.
pub(crate) fn case(slug: &str, head: &str, sends: &str, waits: &str) -> String {
    format!(
        "scenario: {slug}\nabout: A case of these tests.\n{head}\n\
         ignore: [{{ told: $_ }}]\nclients: {{ alice: {{}} }}\n\
         steps:\n  - {{ as: alice, open: {{}} }}\n  - {{ as: alice, send: {sends} }}\n  \
         - {{ as: alice, expect: {{ next: {waits} }}, within: 30s }}\n"
    )
}

const TELLS: &str = "\
scenario: others
about: What one tells, the other hears.
requires: [MINI-3]
clients: { alice: {}, bob: {} }
steps:
  - { as: alice, open: {} }
  - { as: bob, open: {} }
  - { as: alice, send: { tell: $run } }
  - { as: bob, expect: { frame: { told: $run } }, within: 30s }
";

/// A suite on disk, with its report beside it.
pub(crate) struct OnDisk(TempDir);

impl OnDisk {
    /// The suite that all tests begin with: an echo (MUST), thanks (SHOULD), telling (MUST).
    pub(crate) fn new() -> Self {
        let suite = Self(tempfile::tempdir().expect("a temporary directory"));
        let echo = case("answered", "requires: [MINI-1]", "{ echo: hi }", "{ echoed: hi }");
        let thanks = case("returned", "requires: [MINI-2]", "{ thank: you }", "{ welcome: you }");
        let sane = Self::sanity("{ echo: sane }", "{ echoed: $what }");
        suite
            .with("requirements/mini.yaml", REQUIREMENTS)
            .with("dialects/mini.yaml", DIALECT)
            .with("conformance/common/sanity.yaml", &sane)
            .with("conformance/mini/echo/answered.yaml", &echo)
            .with("conformance/mini/thanks/returned.yaml", &thanks)
            .with("conformance/mini/tell/others.yaml", TELLS)
    }

    pub(crate) fn with(self, path: &str, text: &str) -> Self {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("written");
        self
    }

    /// Case and refusal of what the server says that it lacks.
    pub(crate) fn with_typing(self) -> Self {
        let text = case("shown", "requires: [MINI-4]", "{ typing: true }", "{ typing: you }")
            + "refusal:\n  - { as: alice, open: {} }\n  - { as: alice, send: { typing: true } }\n  \
               - { as: alice, expect: { next: { error: unknown } }, within: 30s }\n";
        let profile = "profile: mini\ndialect: mini\nlacks: [MINI-4]\n";
        self.with("conformance/mini/typing/shown.yaml", &text).with("profiles/mini.yaml", profile)
    }

    /// A case after which some servers are not there any more.
    pub(crate) fn with_death(self) -> Self {
        let text = case("survives", "requires: [MINI-5]", "{ die: true }", "{ error: unknown }");
        self.with("conformance/mini/life/survives.yaml", &text)
    }

    /// A case that asks whether the server is there, by sending something that is answered so.
    pub(crate) fn sanity(sends: &str, waits: &str) -> String {
        case("sanity", "", sends, waits)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Judges a target by this suite.
    pub(crate) fn run(&self, args: &[&str]) -> Judged {
        Judged::of(self.call(args).end())
    }

    pub(crate) fn call(&self, args: &[&str]) -> Call {
        let suite = self.path().to_str().expect("UTF-8");
        conform(args).args(&["--suite", suite])
    }
}

/// `harness conform` with a report.
pub(crate) fn conform(args: &[&str]) -> Call {
    let call = Call::new(&["conform"]);
    let report = call.report_path();
    call.args(&["--report", report.to_str().expect("UTF-8")]).args(args)
}

/// What came of a suite.
pub(crate) struct Judged {
    pub(crate) ran: Ran,
    /// `results.json`; null where there is none.
    pub(crate) json: Value,
}

impl Judged {
    pub(crate) fn of(ran: Ran) -> Self {
        let text = std::fs::read(ran.report.path().join("report/results.json"));
        let json = text.ok().map(|text| serde_json::from_slice(&text).expect("JSON"));
        Self { ran, json: json.unwrap_or_default() }
    }

    pub(crate) fn file(&self, name: &str) -> String {
        let path = self.ran.report.path().join("report").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}: {self}"))
    }

    /// The exit code is this, and the last line says this verdict.
    pub(crate) fn assert(&self, code: i32, verdict: &str) {
        assert_eq!(self.ran.code, Some(code), "{self}");
        assert_eq!(self.json["verdict"], verdict, "{self}");
        assert_eq!(self.json["exit_code"], code, "{self}");
        let last = self.ran.out.lines().last().unwrap_or_default();
        assert!(last.starts_with(&format!("verdict: {verdict}  findings: ")), "{self}");
    }

    /// Each case's outcome and class, by id, at all targets.
    pub(crate) fn cases(&self) -> Vec<(&str, &str, &str)> {
        let cases = self.json["cases"].as_array().into_iter().flatten();
        let cases = cases.map(|it| {
            let text = |key: &str| it[key].as_str().unwrap_or("");
            (text("id"), text("outcome"), text("class"))
        });
        cases.collect()
    }

    /// The case of this id at the first target that it was run at.
    pub(crate) fn case(&self, id: &str) -> &Value {
        let mut cases = self.json["cases"].as_array().into_iter().flatten();
        cases.find(|it| it["id"] == id).unwrap_or_else(|| panic!("no {id}: {self}"))
    }
}

impl std::fmt::Display for Judged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "exit code {:?}, {:?}", self.ran.code, self.cases())?;
        writeln!(f, "--- out\n{}--- err\n{}", self.ran.out, self.ran.err)
    }
}
