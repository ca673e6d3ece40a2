//! The whole command on servers that do right, wrong, or die: outcomes, exit codes, what is told.

use nix::sys::signal::Signal;

use super::fakes::{Fake, Habit};
use super::runs::{Call, until};
use super::suites::{Judged, OnDisk, case, conform};

/// `mini=ws://…`.
fn at(fake: &Fake) -> String {
    format!("mini={}", fake.url())
}

#[test]
fn a_server_that_does_right_passes_and_a_should_that_it_does_not_is_told() {
    let fake = Fake::start(Habit::Right);
    let judged = OnDisk::new().run(&["--target", &at(&fake), "--seed", "7"]);
    judged.assert(0, "passed");
    let expected = [
        ("mini/echo/answered", "pass", ""),
        ("mini/tell/others", "pass", ""),
        ("mini/thanks/returned", "nonstrict", "reply"),
    ];
    assert_eq!(judged.cases(), expected, "{judged}");
    assert_eq!(judged.json["score"]["must"], serde_json::json!({ "met": 2, "asked": 2 }));
    assert_eq!(judged.json["score"]["should"], serde_json::json!({ "met": 0, "asked": 1 }));
    // Told by requirement, with the place and the command that repeats it.
    let out = &judged.ran.out;
    for part in [
        "MINI-2  SHOULD  nonstrict",
        "Thanks are returned.",
        "conformance/mini/thanks/returned.yaml:9",
        "→ {\"thank\":\"you\"}",
        "← {\"error\":\"unknown\"}",
        "--only mini/thanks/returned --seed 7",
    ] {
        assert!(out.contains(part), "no `{part}`: {judged}");
    }
}

#[test]
fn what_should_be_must_be_when_one_is_strict() {
    let fake = Fake::start(Habit::Right);
    let judged = OnDisk::new().run(&["--target", &at(&fake), "--strict"]);
    judged.assert(1, "failed");
    assert_eq!(judged.case("mini/thanks/returned")["outcome"], "nonstrict", "{judged}");
    assert!(judged.file("junit.xml").contains("<failure"), "{judged}");
}

#[test]
fn a_broken_promise_fails_with_its_class_and_its_transcript() {
    let fake = Fake::start(Habit::Liar);
    let judged = OnDisk::new().run(&["--target", &at(&fake), "--only", "mini/echo/*"]);
    judged.assert(1, "failed");
    let case = judged.case("mini/echo/answered");
    assert_eq!((&case["outcome"], &case["class"]), (&"fail".into(), &"reply".into()), "{judged}");
    assert_eq!(case["requirements"], serde_json::json!(["MINI-1"]));
    assert_eq!(case["line"], 9, "{judged}");
    assert!(judged.ran.out.contains("← {\"echoed\":\"nonsense\"}"), "{judged}");
    // Each requirement of the dialect is in the report, run or not.
    let requirements = judged.json["requirements"].as_array().expect("a list");
    let of = |id: &str| requirements.iter().find(|it| it["id"] == id).expect(id);
    assert_eq!(of("MINI-1")["outcome"], "fail");
    assert_eq!(of("MINI-3")["outcome"], serde_json::Value::Null);
}

#[test]
fn the_command_that_is_told_repeats_the_case() {
    let fake = Fake::start(Habit::Liar);
    let suite = OnDisk::new();
    let first = suite.run(&["--target", &at(&fake), "--insecure"]);
    let again = first.case("mini/echo/answered")["again"].as_str().expect("a command").to_owned();
    let words: Vec<&str> = again.split(' ').skip(2).collect();
    // Whom it trusts, it trusts again.
    assert!(words.contains(&"--insecure"), "{again}");
    let second = Judged::of(conform(&words).end());
    second.assert(1, "failed");
    assert_eq!(second.cases(), [("mini/echo/answered", "fail", "reply")], "{again}\n{second}");
    assert_eq!(second.json["seed"], first.json["seed"]);
}

#[test]
fn what_a_server_says_it_lacks_must_be_refused_in_words() {
    let suite = OnDisk::new().with_typing();
    let fake = Fake::start(Habit::Right);
    let only = ["--only", "mini/typing/*"];
    let judged = suite.run(&[&["--target", &at(&fake)], &only[..]].concat());
    // Nothing but what is lacked: nothing was judged.
    judged.assert(4, "inconclusive");
    assert_eq!(judged.cases(), [("mini/typing/shown", "unsupported", "")], "{judged}");
    let eager = Fake::start(Habit::Eager);
    let judged = suite.run(&[&["--target", &at(&eager)], &only[..]].concat());
    judged.assert(1, "failed");
    assert_eq!(judged.case("mini/typing/shown")["outcome"], "fail", "{judged}");
}

#[test]
fn a_case_for_other_servers_is_left_out_and_says_why() {
    let text = case("turned", "requires: [MINI-6]", "{ echo: 1 }", "{ echoed: 1 }");
    let plain = case("plain", "requires: [MINI-1]\noptions: { legs: [4, 6] }", "{ echo: 1 }", "{}");
    let profile = "profile: mini\ndialect: mini\noptions: { tables: fixed, legs: 3 }\n";
    let suite = OnDisk::new()
        .with("conformance/mini/tables/turned.yaml", &text)
        .with("conformance/mini/tables/plain.yaml", &plain)
        .with("profiles/mini.yaml", profile);
    let fake = Fake::start(Habit::Right);
    let judged = suite.run(&["--target", &at(&fake)]);
    judged.assert(0, "passed");
    let left: Vec<(&str, &str)> = judged.json["left_out"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| (it["case"].as_str().unwrap_or(""), it["why"].as_str().unwrap_or("")))
        .collect();
    let expected = [
        ("mini/tables/plain", "legs is 3, not 4 or 6"),
        ("mini/tables/turned", "MINI-6: tables is fixed, not turned"),
    ];
    assert_eq!(left, expected, "{judged}");
}

#[test]
fn a_case_that_says_more_than_the_server_takes_is_not_held_against_it() {
    let text = "scenario: long\nabout: Something long is said.\nrequires: [MINI-3]\n\
                clients: { alice: {} }\nsteps:\n  - { as: alice, open: {} }\n  \
                - { as: alice, say: { size: 2KiB } }\n";
    let profile = "profile: mini\ndialect: mini\nlimits: { text_bytes: 1000 }\n";
    let suite = OnDisk::new()
        .with("conformance/common/loud/long.yaml", text)
        .with("conformance/mini/loud/long.yaml", text)
        .with("profiles/mini.yaml", profile);
    let fake = Fake::start(Habit::Right);
    let judged = suite.run(&["--target", &at(&fake)]);
    judged.assert(0, "passed");
    assert_eq!(judged.case("mini/loud/long")["outcome"], "unsupported", "{judged}");
    let left = &judged.json["left_out"][0];
    assert_eq!(left["case"], "mini/common-loud/long", "{judged}");
    let why = left["why"].as_str().unwrap_or_default();
    assert!(why.contains("takes at most 1,000 bytes in a message; one has 2,048"), "{why}");
}

#[test]
fn a_baseline_excuses_what_it_names_and_fails_when_it_is_stale() {
    let suite = OnDisk::new();
    let baseline = |class: &str, until: &str| {
        let text = format!(
            "- case: mini/echo/answered\n  class: {class}\n  issue: '#7'\n  until: {until}\n"
        );
        let path = suite.path().join("baseline.yaml");
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let run = |habit, file: &str| {
        let fake = Fake::start(habit);
        suite.run(&["--target", &at(&fake), "--baseline", file])
    };
    let cases = [
        (Habit::Liar, "reply", "2999-12-31", 0, "passed", "xfail"),
        (Habit::Liar, "reply", "2020-01-01", 1, "failed", "fail"),
        (Habit::Liar, "loss", "2999-12-31", 1, "failed", "stale"),
        (Habit::Right, "reply", "2999-12-31", 1, "failed", "stale"),
    ];
    for (habit, class, until, code, verdict, outcome) in cases {
        let judged = run(habit, &baseline(class, until));
        judged.assert(code, verdict);
        assert_eq!(
            judged.case("mini/echo/answered")["outcome"],
            outcome,
            "{class} {until}{judged}"
        );
    }
    let wrong = suite.path().join("baseline.yaml");
    std::fs::write(&wrong, "- { case: mini/echo/anwsered, issue: '#7', until: 2999-12-31 }\n")
        .expect("written");
    let judged = run(Habit::Right, wrong.to_str().expect("UTF-8"));
    assert_eq!(judged.ran.code, Some(2), "{judged}");
    assert!(judged.ran.err.contains("did you mean `mini/echo/answered`?"), "{judged}");
}

#[test]
fn wrong_words_are_told_before_anything_runs() {
    let suite = OnDisk::new();
    let fake = Fake::start(Habit::Right);
    let target = at(&fake);
    let not_there = |name: &str| suite.path().join(name).to_str().expect("UTF-8").to_owned();
    let (nowhere, nothing) = (not_there("no.yaml"), not_there("nothing"));
    let cases: [(&[&str], i32, &str); 9] = [
        (&["--only", "mini/echo/anwsered"], 2, "did you mean `mini/echo/answered`?"),
        (&["--skip", "maxi/**"], 2, "--skip maxi/**: no case is called like that"),
        (&["--only", "mini//x"], 2, "empty component"),
        (&["--profile", &nowhere], 2, "cannot be read"),
        (&["--profile", "native"], 2, "no target here speaks `native`"),
        (&["--baseline", &nowhere], 2, "cannot be read"),
        (&["--suite", &nothing], 2, "there are no cases"),
        (&["--jobs", "0"], 2, "invalid value"),
        (&["--target", "http://127.0.0.1:1"], 2, "a target begins with ws:// or wss://"),
    ];
    for (args, code, told) in cases {
        let call = match args.first() {
            Some(&"--suite") => conform(&["--target", &target]),
            _ => suite.call(&["--target", &target]),
        };
        let judged = Judged::of(call.args(args).end());
        assert_eq!(judged.ran.code, Some(code), "{args:?} {judged}");
        assert!(judged.ran.err.contains(told), "{args:?}: no `{told}`: {judged}");
    }
    let unknown = Judged::of(suite.call(&["--target", &fake.url(), "--dialect", "minni"]).end());
    assert_eq!(unknown.ran.code, Some(2), "{unknown}");
    assert!(unknown.ran.err.contains("no dialect is called `minni`"), "{unknown}");
}

#[test]
fn a_report_that_cannot_be_written_is_found_before_the_cases_run() {
    let suite = OnDisk::new();
    let file = suite.path().join("in-the-way");
    std::fs::write(&file, "").expect("written");
    let path = suite.path().to_str().expect("UTF-8").to_owned();
    let fake = Fake::start(Habit::Right);
    let call = Call::new(&["conform", "--suite", &path, "--target", &at(&fake), "--report"]);
    let ran = call.args(&[file.to_str().expect("UTF-8")]).end();
    assert_eq!(ran.code, Some(5), "{ran}");
}

#[test]
fn what_is_no_websocket_server_or_not_there_could_not_be_judged() {
    let suite = OnDisk::new();
    let web = Fake::start(Habit::Web);
    let judged = suite.run(&["--target", &at(&web)]);
    assert_eq!(judged.ran.code, Some(3), "{judged}");
    assert!(judged.ran.err.contains("200"), "the reason: {judged}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    let nobody = format!("mini=ws://{}", free.expect("a free port"));
    let judged = suite.run(&["--target", &nobody]);
    assert_eq!(judged.ran.code, Some(3), "{judged}");
    assert!(judged.ran.err.contains("nothing listens there"), "{judged}");
}

#[test]
fn a_target_that_dies_is_no_verdict_on_the_cases_and_fails_the_suite() {
    let fake = Fake::start(Habit::Mortal);
    let judged = OnDisk::new().with_death().run(&["--target", &at(&fake), "--jobs", "1"]);
    judged.assert(1, "failed");
    let expected = [
        ("mini/echo/answered", "pass", ""),
        ("mini/life/survives", "inconclusive", ""),
        ("mini/sanity", "fail", "killed"),
        ("mini/tell/others", "inconclusive", ""),
        ("mini/thanks/returned", "inconclusive", ""),
    ];
    assert_eq!(judged.cases(), expected, "{judged}");
    assert!(judged.json["incidents"].to_string().contains("given up"), "{judged}");
    // The sanity case is none that a pattern means: it is repeated with any other.
    let again = judged.case("mini/sanity")["again"].to_string();
    assert!(again.contains("--only 'mini/**'"), "{again}");
    let file = judged.case("mini/sanity")["file"].as_str().unwrap_or("");
    assert!(std::path::Path::new(file).is_absolute(), "the suite's own: {file}");
}

#[test]
fn who_kills_a_server_is_found_among_those_that_ran_beside_it() {
    let fake = Fake::start(Habit::Phoenix);
    let args = ["--target", &at(&fake), "--wait", "60s"];
    let judged = OnDisk::new().with_death().run(&args);
    judged.assert(1, "failed");
    let expected = [
        ("mini/echo/answered", "pass", ""),
        ("mini/life/survives", "fail", "killed"),
        ("mini/tell/others", "pass", ""),
        ("mini/thanks/returned", "nonstrict", "reply"),
    ];
    assert_eq!(judged.cases(), expected, "{judged}");
    assert!(judged.json["incidents"].to_string().contains("it is back"), "{judged}");
}

#[test]
fn several_targets_stand_side_by_side_in_one_matrix() {
    let (right, liar) = (Fake::start(Habit::Right), Fake::start(Habit::Liar));
    let suite = OnDisk::new().with("liar.yaml", "profile: liar\ndialect: mini\n");
    let profile = suite.path().join("liar.yaml");
    let other = format!("{}={}", profile.display(), liar.url());
    let judged = suite.run(&["--target", &at(&right), "--target", &other]);
    judged.assert(1, "failed");
    let found: Vec<(&str, &str)> = judged.json["cases"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|it| it["id"] == "mini/echo/answered")
        .map(|it| (it["target"].as_str().unwrap_or(""), it["outcome"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(found, [(right.url().as_str(), "pass"), ("liar", "fail")], "{judged}");
    let page = judged.file("matrix.html");
    let row = page.lines().find(|line| line.contains("<td>mini/echo/answered")).expect("a row");
    assert!(row.contains("<td class=\"pass\">pass</td><td class=\"fail\"><a "), "{row}");
}

#[test]
fn too_little_traffic_says_nothing_however_often_it_is_tried() {
    let head = "requires: [MINI-1]\ntraffic: { frames: 5 }";
    let text = case("much", head, "{ echo: 1 }", "{ echoed: 1 }");
    let suite = OnDisk::new().with("conformance/mini/echo/much.yaml", &text);
    let fake = Fake::start(Habit::Right);
    let judged = suite.run(&["--target", &at(&fake), "--only", "mini/echo/much"]);
    judged.assert(4, "inconclusive");
    let case = judged.case("mini/echo/much");
    assert_eq!((&case["outcome"], &case["attempts"]), (&"inconclusive".into(), &3.into()));
    assert!(case["message"].to_string().contains("only 1 frames"), "{judged}");
}

#[test]
fn the_reference_server_is_started_and_passes_a_case_of_each_kind() {
    let only = ["--only", "native/welcome/*", "--only", "*/common-closing/close-is-answered"];
    let judged = Judged::of(conform(&only).end());
    judged.assert(0, "passed");
    assert_eq!(judged.json["targets"][0]["name"], "reference-server");
    assert_eq!(judged.json["targets"].as_array().map(Vec::len), Some(6), "each dialect: {judged}");
    let ended = &judged.case("native/common-closing/close-is-answered")["ended"];
    assert_eq!((&ended["by"], &ended["code"]), (&"client".into(), &1000.into()), "{judged}");
}

#[test]
fn a_case_with_a_server_of_its_own_is_not_for_a_target() {
    let text = "scenario: own\nabout: A server for one case.\nrequires: [NAT-WEL-1]\nown_server: true\n\
                server: { heartbeat: 300ms/900ms }\nclients: { alice: {} }\nsteps:\n  \
                - { as: alice, open: {} }\n  - { as: alice, expect: { ping: {} }, within: 30s }\n";
    let requirements = "requirements: native\nabout: t\nlist:\n  NAT-WEL-1: { level: MUST, text: \
                        It greets., source: t }\n";
    let suite = OnDisk::new()
        .with("conformance/native/server/own.yaml", text)
        .with("requirements/native.yaml", requirements)
        .with(
            "conformance/native/sanity.yaml",
            &OnDisk::sanity("{ type: ping }", "{ type: pong }"),
        );
    let own = ["--dialect", "native", "--only", "native/server/own"];
    let judged = suite.run(&own);
    judged.assert(0, "passed");
    let server = super::runs::Server::start(&[]);
    let target = format!("native={}", server.url());
    let judged = suite.run(&["--target", &target, "--only", "native/server/own"]);
    assert_eq!(judged.cases(), [("native/server/own", "unsupported", "")], "{judged}");
}

#[test]
fn an_interrupted_suite_leaves_a_partial_report_and_no_child() {
    let long = "scenario: long\nabout: It takes a minute.\nrequires: [MINI-1]\n\
                clients: { alice: {} }\nsteps:\n  - { as: alice, open: {} }\n  - wait: 60s\n";
    let suite = OnDisk::new().with("conformance/mini/echo/long.yaml", long);
    let fake = Fake::start(Habit::Right);
    let call = suite.call(&["--target", &at(&fake), "--jobs", "1", "--only", "mini/echo/*"]);
    let log = call.report_path();
    let run = call.start();
    until("the long case has begun", || {
        let files = std::fs::read_dir(&log).into_iter().flatten().flatten();
        let mut texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
        texts.any(|text| text.contains("\"event\":\"started\",") && text.contains("echo/long"))
    });
    run.signal(Signal::SIGINT);
    let judged = Judged::of(run.end());
    judged.assert(130, "inconclusive");
    assert_eq!(judged.cases(), [("mini/echo/answered", "pass", "")], "{judged}");
    assert_eq!(judged.json["left_out"][0]["why"], "interrupted", "{judged}");
    assert!(judged.file("events.ndjson").contains("\"signal\":2"), "{judged}");
}

#[test]
fn a_signal_while_a_target_is_waited_for_is_no_target_that_is_not_there() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    let nobody = format!("mini=ws://{}", free.expect("a free port"));
    let suite = OnDisk::new();
    let path = suite.path().to_str().expect("UTF-8");
    let call = Call::new(&["conform", "--suite", path, "--target", &nobody, "--wait", "10m"]);
    let parent = call.report_path();
    let report = parent.join("deep");
    let run = call.args(&["--report", report.to_str().expect("UTF-8")]).start();
    // Whoever makes room for the report takes signals by then.
    until("there is room for the report", || parent.exists());
    run.signal(Signal::SIGTERM);
    let ran = run.end();
    assert_eq!(ran.code, Some(143), "{ran}");
}

#[test]
fn what_nobody_asked_for_is_listed_and_not_counted() {
    let fake = Fake::start(Habit::Right);
    let judged = OnDisk::new().run(&["--target", &at(&fake), "--skip", "mini/thanks/*"]);
    judged.assert(0, "passed");
    let left = &judged.json["left_out"];
    let told = (&left[0]["case"], &left[0]["why"], &left[1]);
    let nothing = serde_json::Value::Null;
    assert_eq!(told, (&"mini/thanks/returned".into(), &"not selected".into(), &nothing));
    let line = "left out     1 case that nobody asked for";
    assert!(judged.ran.out.contains(line), "{judged}");
}

#[test]
fn a_baseline_may_name_the_common_cases_on_a_dialect_of_the_users_own() {
    let suite = OnDisk::new();
    let text = std::fs::read_to_string(suite.path().join("dialects/mini.yaml")).expect("a dialect");
    let suite = suite
        .with("other.yaml", &text.replace("dialect: mini", "dialect: other"))
        .with(
            "conformance/common/echo/all.yaml",
            &case("all", "requires: [MINI-1]", "{ echo: 1 }", "{ echoed: 1 }"),
        )
        .with("baseline.yaml", "- { case: other/common-echo/all, issue: x, until: 2999-12-31 }\n");
    let [dialect, baseline] = ["other.yaml", "baseline.yaml"].map(|name| suite.path().join(name));
    let target = format!("{}=ws://127.0.0.1:1", dialect.display());
    let baseline = baseline.display().to_string();
    let ran = suite.call(&["--target", &target, "--baseline", &baseline, "--list"]).end();
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(ran.out.contains("other/common-echo/all"), "{ran}");
}

#[test]
fn a_list_says_what_would_be_run() {
    let fake = Fake::start(Habit::Right);
    let suite = OnDisk::new().with_typing();
    let ran = suite.call(&["--target", &at(&fake), "--list"]).end();
    assert_eq!(ran.code, Some(0), "{ran}");
    for part in ["mini/echo/answered", "MINI-1", "(unsupported: profile mini lacks MINI-4)"] {
        assert!(ran.out.contains(part), "no `{part}`: {ran}");
    }
}
