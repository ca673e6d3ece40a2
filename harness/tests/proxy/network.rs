//! `network` steps: the same faults in a scenario, from a moment of its timeline on.

use super::programs::{Middle, Program, Ran, run};

fn play(steps: &str) -> Ran {
    run(
        &format!(
            "
scenario: t
vars: {{ room: lobby-$run }}
clients: {{ alice: {{}}, bob: {{}}, crowd: {{ clients: 4 }} }}
steps:
  - as: alice
    each: [ {{ open: {{}} }}, {{ join: $room }} ]
    within: 30s
  - as: bob
    each: [ {{ open: {{}} }}, {{ join: $room }} ]
    within: 30s
  - as: crowd
    each: [ {{ open: {{}} }}, {{ join: $room }} ]
    within: 30s
{steps}"
        ),
        &["--seed", "7"],
    )
}

#[test]
fn a_fault_begins_and_ends_with_its_steps() {
    let ran = play(
        "
  - network: { drop: {}, to: client, event: message, at: bob, times: 1 }
  - as: alice
    say: unheard
    within: 30s
  - as: crowd
    expect: { message: { text: unheard } }
    within: 30s
  - as: bob
    expect_none: { of: [message] }
    within: 30s
  - network: {}
  - as: alice
    say: heard
    within: 30s
  - as: bob
    expect: { message: { text: heard } }
    within: 30s
",
    );
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(
        ran.json["steps"]
            .as_array()
            .is_some_and(|steps| { steps.iter().all(|step| step["verdict"] == "passed") })
    );
    assert_eq!(
        ran.classes(),
        ["loss", "loss"],
        "delivery, and its number is missing: {}",
        ran.said
    );
    let network = &ran.json["network"];
    assert_eq!(network[0]["rule"], "drop to=client event=message at=bob times=1", "{network}");
    assert_eq!(network[0]["times"], 1);
    assert!(network[0]["from_us"].as_u64() < network[0]["until_us"].as_u64());
    assert!(
        ran.said.contains("network     drop to=client event=message at=bob times=1 (1 time;"),
        "{}",
        ran.said
    );
}

#[test]
fn two_senders_change_places_at_one_receiver() {
    let ran = play(
        "
  - network: { swap: two-senders, to: client, event: message, at: crowd/1, rate: 1/20 }
  - phase:
      name: talk
      for: 1s
      run:
        - as: crowd
          every: 200/s
          say: {}
  - settle: 5s
",
    );
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(ran.classes().iter().any(|class| class == "disorder"), "{:?}", ran.classes());
    assert!(ran.classes().iter().all(|class| class == "disorder"), "{:?}", ran.classes());
    assert!(ran.said.contains("seen by crowd-") && !ran.said.contains("seen by bob-"));
}

#[test]
fn nothing_passes_until_the_network_heals() {
    let ran = play(
        "
  - network: { half_open: {}, at: [alice, crowd] }
  - as: bob
    say: to whom it may concern
    within: 30s
  - wait: 300ms
  - network: {}
  - as: alice
    expect: { message: { text: to whom it may concern } }
    within: 30s
  - as: alice
    say: late
    within: 30s
  - as: bob
    expect: { message: { text: late } }
    within: 30s
checks: { delivery: exactly-once }
",
    );
    ran.passed();
    assert_eq!(ran.json["network"][0]["times"], 5, "{}", ran.json["network"]);
}

#[test]
fn connections_are_cut_as_the_timeline_wants() {
    let ran = play(
        "
  - network: { cut: 1011, at: bob, times: 1 }
  - as: bob
    expect: { closed: { code: 1011, by: server } }
    within: 30s
  - network: {}
  - as: bob
    reconnect: { rejoin: true }
    within: 30s
  - network: { cut: {}, at: bob }
  - as: bob
    expect: { closed: { clean: false, end: rst } }
    within: 30s
checks: { membership: off }
",
    );
    ran.passed();
    assert_eq!(ran.json["network"].as_array().map(Vec::len), Some(2), "{}", ran.json["network"]);
}

#[test]
fn the_same_seed_does_the_same_to_the_same_clients() {
    let steps = "
  - network: { drop: {}, to: client, event: message, at: bob, rate: 1/3 }
  - as: alice
    each:
      - repeat: { times: 30, steps: [ { say: {} } ] }
    within: 60s
  - settle: 1s
";
    let runs = [play(steps), play(steps)];
    let done = runs.each_ref().map(|ran| ran.json["network"][0]["times"].clone());
    assert_eq!(done[0], done[1], "another room and another name draw the same");
    assert!(done[0].as_u64().is_some_and(|times| times > 0 && times < 30), "{done:?}");
    let lost = runs.each_ref().map(|ran| {
        let checks = ran.json["checks"].as_array().cloned().unwrap_or_default();
        let own = checks.into_iter().find(|check| check["name"] == "delivery").unwrap_or_default();
        let all = own["witnesses"].as_array().cloned().unwrap_or_default();
        all.iter().map(|it| it["message"]["seq"].clone()).collect::<Vec<_>>()
    });
    assert_eq!(lost[0], lost[1]);
}

#[test]
fn what_is_wrong_with_a_rule_is_said_at_its_word() {
    for (step, told) in [
        ("network: { drop: {}, at: bbo }", "no client is called `bbo`"),
        ("network: { drop: {}, at: [alice, crowd/4] }", "there is no `crowd/4`: `crowd` has 4"),
        ("network: { drop: {}, frame: { text: $me } }", "`$me` is not the same for all clients"),
        ("network: { drop: {}, frame: { text: $me.id } }", "`$me.id` has no value here"),
        ("network: { drop: {}, rate: often }", "`often` is not a chance"),
        ("network: { to: client }", "what shall go wrong?"),
        ("network: [ { drop: {} }, { drop: {}, swap: {} } ]", "two faults in one rule"),
        ("network: { drop: { to: client } }", "`to` does not belong here"),
        ("network: { drop: {}, event: sya }", "no event is called `sya`"),
        ("network: { hold: {} }", "is wanted"),
    ] {
        let ran = play(&format!("  - {step}\n"));
        assert_eq!(ran.code, Some(2), "{}", ran.said);
        assert!(ran.said.contains(told) && ran.said.contains("t.yaml"), "{step}: {}", ran.said);
    }
}

/// What servers of this kind never say cannot be lost.
#[test]
fn a_rule_about_what_a_dialect_lacks_skips_the_scenario() {
    let text = "
scenario: t
clients: { alice: {} }
steps:
  - network: { drop: {}, to: client, event: presence }
  - as: alice
    open: {}
";
    let ran = run(text, &["--dialect", "chat"]);
    assert!(ran.said.contains("skipped: dialect chat lacks"), "{}", ran.said);
}

/// Behind the proxy the target speaks TLS, and its clients do not.
#[test]
fn a_target_behind_tls_is_reached_in_the_clear() {
    let key = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a key");
    let papers = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: String| {
        let path = papers.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    };
    let (cert, key) =
        (write("c.pem", key.cert.pem()), write("k.pem", key.signing_key.serialize_pem()));
    let server = ["serve", "--listen", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
    let server = Program::start(&[&server[..], &["--log", "off", "--until-stdin-closes"]].concat());
    assert!(server.url.starts_with("wss://"), "{}", server.url);
    let scenario = "
scenario: t
vars: { room: lobby-$run }
clients: { alice: {}, bob: {} }
steps:
  - as: alice
    each: [ { open: {} }, { join: $room } ]
    within: 30s
  - as: bob
    each: [ { open: {} }, { join: $room } ]
    within: 30s
  - as: alice
    say: { size: 60KiB }
    within: 30s
  - as: bob
    expect: { message: { from: alice } }
    within: 30s
";
    let middle = Middle::start(&server.url, &[], &["--quiet", "--ca", &cert]);
    assert!(middle.url.starts_with("ws://"), "{}", middle.url);
    run(scenario, &["--target", &middle.url]).passed();
    // The same in a run that has its own proxy.
    let steps = scenario.replace(
        "  - as: alice\n    say",
        "  - network: { duplicate: {}, to: client, event: message, at: bob }\n  - as: alice\n    say",
    );
    let ran = run(&steps, &["--target", &server.url, "--ca", &cert]);
    assert!(ran.classes().iter().any(|class| class == "duplicate"), "{}", ran.said);
}
