//! The scenarios and dialects that come with the program.

use std::collections::{BTreeMap, BTreeSet};

use harness::dialect::Dialect;
use harness::plan::{Action, Built, Capacity, Cost, Options, Plan, Step};
use harness::scenario::{Scenario, files};

const NAMES: [&str; 9] = [
    "broadcast",
    "fan-out",
    "join",
    "one-to-one",
    "presence-storm",
    "reconnect",
    "slow-consumer",
    "storage",
    "timeout-disconnect",
];

fn scenario(name: &str) -> Scenario {
    Scenario::load(name).unwrap_or_else(|problems| panic!("{}", problems.render(false)))
}

fn plan(name: &str, options: &Options) -> (Box<Plan>, Cost) {
    match Plan::build(&scenario(name), options) {
        Ok(Built::Ready(plan, cost)) => (plan, cost),
        Ok(Built::Skipped(reason)) => panic!("{name} is skipped: {reason}"),
        Err(problems) => panic!("{}", problems.render(false)),
    }
}

#[test]
fn all_are_there_and_can_be_planned() {
    let shipped = files::shipped_scenarios();
    let names: BTreeSet<String> = shipped.iter().map(|source| source.name.clone()).collect();
    let wanted = NAMES.iter().map(|name| format!("scenarios/{name}.yaml"));
    assert_eq!(names, wanted.collect());
    for name in NAMES {
        let (plan, cost) = plan(name, &Options::default());
        assert_eq!(plan.scenario, name);
        assert!(!plan.about.is_empty() && !plan.steps.is_empty(), "{name}");
        assert!(cost.connections == plan.clients.len() as u64, "{name}");
    }
    for source in files::shipped_dialects() {
        let dialect = Dialect::parse(&source.name, &source.text);
        dialect.unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    }
}

/// A file that was added since the program was built is not in it: the build must see it.
#[test]
fn what_is_embedded_is_what_is_in_the_repository() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for source in files::shipped_scenarios().iter().chain(&files::shipped_dialects()) {
        let text = std::fs::read_to_string(root.join(&source.name)).expect("the file is there");
        assert_eq!(text, *source.text, "{}", source.name);
    }
    let directory = std::fs::read_dir(root.join("scenarios")).expect("the directory is there");
    let on_disk = directory.filter_map(Result::ok);
    let yaml = on_disk.filter(|entry| entry.path().extension().is_some_and(|e| e == "yaml"));
    assert_eq!(yaml.count(), files::shipped_scenarios().len());
}

#[test]
fn a_second_run_meets_nothing_of_the_first() {
    let at = |started_us| Options { seed: Some(7), started_us, ..Options::default() };
    for name in NAMES {
        let (first, _) = plan(name, &at(1));
        let (second, _) = plan(name, &at(2));
        assert_ne!(first.run, second.run);
        assert_ne!(first.run_number, second.run_number);
        assert_eq!((first.seed, second.seed), (7, 7));
        let mut names = BTreeSet::new();
        for client in &first.clients {
            assert!(client.name.contains(&first.run), "{name}: {}", client.name);
            assert!(names.insert(&client.name), "{name}: {} twice", client.name);
            if let Some(room) = client.vars.get("room") {
                assert!(room.as_str().expect("a text").contains(&first.run), "{name}: {room}");
            }
        }
    }
}

#[test]
fn rooms_are_shared_out_evenly() {
    let (plan, cost) = plan("broadcast", &Options::default());
    let mut sizes = BTreeMap::new();
    for client in &plan.clients {
        *sizes.entry(client.vars["room"].to_string()).or_insert(0) += 1;
    }
    assert_eq!(sizes.len(), 50);
    assert!(sizes.values().all(|size| *size == 100));
    // 50 a second for 3 s and 200 a second for 20 s, each to 99 others.
    assert_eq!(cost.deliveries, (50 * 3 + 200 * 20) * 99);
    assert_eq!(cost.notices, 50 * 100 * 99 / 2);
    assert!((cost.peak_per_s - 200.0).abs() < 1e-9);
}

#[test]
fn pairs_are_counted_as_pairs() {
    let (_, cost) = plan("one-to-one", &Options::default());
    assert_eq!(cost.deliveries, (400 + 400 + 100 + 100) * 15);
    assert_eq!(cost.notices, 1000);
}

#[test]
fn a_machine_that_is_too_small_is_told_so_before_the_run() {
    let (plan, cost) = plan("broadcast", &Options::default());
    let capacity = Capacity { descriptors: 65_536, ports: 28_000, memory_bytes: 4 << 30 };
    assert_eq!(cost.refusal(&plan.groups, &capacity), None);
    let refused = |capacity: Capacity| cost.refusal(&plan.groups, &capacity).expect("a refusal");
    assert_eq!(
        refused(Capacity { descriptors: 1024, ..capacity }),
        "need 5,120 descriptors, limit 1,024: run `ulimit -n 6000`, or use --clients crowd=900"
    );
    assert_eq!(
        refused(Capacity { ports: 3000, ..capacity }),
        "need 5,000 ports, there are 3,000: widen net.ipv4.ip_local_port_range, or use more targets, \
         or --clients crowd=3000"
    );
    let small = refused(Capacity { memory_bytes: 64 << 20, ..capacity });
    assert!(small.starts_with("need about "), "{small}");
}

#[test]
fn options_change_the_plan() {
    let mut options = Options::default();
    options.clients.insert("crowd".into(), 30);
    options.vars.insert("rooms".into(), "3".into());
    let (plan, _) = plan("broadcast", &options);
    let rooms: BTreeSet<String> =
        plan.clients.iter().map(|client| client.vars["room"].to_string()).collect();
    assert_eq!((plan.clients.len(), rooms.len()), (30, 3));

    options.clients.insert("crwd".into(), 30);
    options.vars.insert("room".into(), "x".into());
    options.vars.insert("romms".into(), "x".into());
    let problems = Plan::build(&scenario("broadcast"), &options).expect_err("unknown names");
    assert_eq!(
        problems.lines(),
        "scenarios/broadcast.yaml: --clients crwd=30: no client is called `crwd` (did you mean \
         `crowd`?)\n\
         scenarios/broadcast.yaml: --var romms: neither the scenario nor the dialect has it (did \
         you mean `rooms`?)\n"
    );
}

#[test]
fn what_a_server_lacks_is_skipped_and_said() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("poor.yaml");
    let text = "dialect: poor\nconnect: { path: /ws }\nsend:\n  join: { frame: { join: $room } }\n  \
                say: { frame: { say: $text } }\nreceive:\n  - event: message\n    when: { said: $text }\n";
    std::fs::write(&path, text).expect("it can be written");
    let dialect = Some(path.display().to_string());
    let options = Options { dialect, ..Options::default() };
    let skipped = |name: &str| match Plan::build(&scenario(name), &options) {
        Ok(Built::Skipped(reason)) => reason,
        Ok(Built::Ready(..)) => "ready".to_owned(),
        Err(problems) => problems.lines(),
    };
    assert_eq!(skipped("broadcast"), "ready");
    assert_eq!(skipped("join"), "dialect poor lacks leave");
    // Nobody is told of the others there: everybody is an audience.
    assert_eq!(skipped("fan-out"), "ready");
    assert_eq!(skipped("reconnect"), "dialect poor lacks recovery");
    assert_eq!(skipped("timeout-disconnect"), "dialect poor lacks heartbeat");
    assert_eq!(skipped("slow-consumer"), "dialect poor lacks the event `left`");
}

/// What each scenario comes to on each dialect but the native one, which carries them all.
const CARRIED: [(&str, [&str; 6]); 9] = [
    ("broadcast", ["", "", "lacks join-by-name", "", "", ""]),
    ("fan-out", ["", "lacks audience", "lacks audience", "", "", "lacks audience"]),
    ("join", ["", "", "lacks join-by-name", "", "", ""]),
    (
        "one-to-one",
        ["lacks create", "lacks create", "", "lacks create", "lacks create", "lacks create"],
    ),
    (
        "presence-storm",
        [
            "lacks presence",
            "",
            "lacks join-by-name",
            "lacks presence",
            "lacks presence",
            "lacks presence",
        ],
    ),
    (
        "reconnect",
        [
            "lacks recovery",
            "lacks recovery",
            "lacks join-by-name",
            "lacks recovery",
            "lacks recovery",
            "lacks recovery",
        ],
    ),
    (
        "slow-consumer",
        [
            "lacks the event `left`",
            "",
            "lacks join-by-name",
            "lacks the event `left`",
            "lacks the event `left`",
            "takes at most 10 requests a second of a connection; `speaker` makes 200",
        ],
    ),
    (
        "storage",
        ["lacks store", "", "lacks join-by-name", "lacks store", "lacks store", "lacks store"],
    ),
    ("timeout-disconnect", ["", "", "lacks join-by-name", "", "", ""]),
];

#[test]
fn each_dialect_carries_what_it_can_and_says_why_not_the_rest() {
    for (name, outcomes) in CARRIED {
        let dialects = ["project", "rooms", "chat", "events", "pusher", "pusher-presence"];
        for (dialect, outcome) in dialects.iter().zip(outcomes) {
            let options = Options { dialect: Some((*dialect).to_owned()), ..Options::default() };
            let expected = match outcome {
                "" => "ready".to_owned(),
                why => format!("dialect {dialect} {why}"),
            };
            let found = match Plan::build(&scenario(name), &options) {
                Ok(Built::Skipped(reason)) => reason,
                Ok(Built::Ready(..)) => "ready".to_owned(),
                Err(problems) => problems.lines(),
            };
            assert_eq!(found, expected, "{name} on {dialect}");
        }
    }
}

/// What clients may not say so often, or so long, the backend may, or nobody.
#[test]
fn what_servers_would_refuse_is_not_begun() {
    let mut options = Options { dialect: Some("pusher-presence".to_owned()), ..Options::default() };
    options.vars.insert("said_by".into(), "backend".into());
    assert!(matches!(Plan::build(&scenario("slow-consumer"), &options), Ok(Built::Ready(..))));
    let text = "scenario: t\nclients: { a: {} }\nsteps: [{ as: a, say: { size: 11KiB } }]\n";
    let source = harness::plan::Source { name: "t".to_owned(), text: text.into() };
    let large = Scenario::parse(source).unwrap_or_else(|it| panic!("{it}"));
    let Ok(Built::Skipped(reason)) = Plan::build(&large, &options) else {
        panic!("it is too large")
    };
    let expected =
        "dialect pusher-presence takes at most 10,240 bytes in a message; one has 11,264";
    assert_eq!(reason, expected);
}

/// Steps that are left out elsewhere are all there where nothing is lacking.
#[test]
fn nothing_is_left_out_of_a_native_run() {
    fn left_out(steps: &[Step]) -> usize {
        let inside = |step: &Step| match &step.action {
            Action::LeftOut(_) => 1,
            Action::Each(steps) | Action::Together(steps) | Action::Repeat { steps, .. } => {
                left_out(steps)
            }
            _ => 0,
        };
        steps.iter().map(inside).sum()
    }
    for name in NAMES {
        assert_eq!(left_out(&plan(name, &Options::default()).0.steps), 0, "{name}");
    }
    let options = Options { dialect: Some("rooms".to_owned()), ..Options::default() };
    assert_eq!(left_out(&plan("join", &options).0.steps), 2, "the lists of members");
}

#[test]
fn steps_know_where_they_stand() {
    let (plan, _) = plan("timeout-disconnect", &Options::default());
    let shown = |step: &Step| {
        let place = step.place;
        plan.source.text[place.offset..place.offset + place.len].to_owned()
    };
    assert_eq!(shown(&plan.steps[2]), "pongs: false");
    let Action::Together(inner) = &plan.steps[0].action else { panic!("side by side") };
    assert_eq!(shown(&inner[0]), "each: [ { open: {} }, { join: $room } ]");
    assert_eq!(inner[2].who, Some(2));
}
