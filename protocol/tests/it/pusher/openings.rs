//! Who is let in, how the others end, and what comes first.

use protocol::pusher::App;
use protocol::{
    ConnId, Dialect, Ending, Flow, Ids, Incoming, Limits, LocalWorld, Opening, Reason, Session,
};
use serde_json::json;

use super::{A, B, OPENING, Stage};

fn open(stage: &mut Stage, conn: ConnId, opening: Opening<'_>) -> Result<(), Ending> {
    let session = Session::open(Dialect::Pusher, stage.now(), opening, conn, &stage.world)?;
    stage.sessions.insert(conn, session);
    Ok(())
}

#[test]
fn the_greeting_comes_first_in_every_version_and_any_order_of_parameters() {
    for query in [
        "protocol=7&client=js&version=8.6.0&flash=false",
        "client=Pysher&version=1.0.7&protocol=6",
        "protocol=5",
        "version=&client=&protocol=7",
        "protocol=%37",
        "client=a%20b&x&&protocol=7&protocol=9",
    ] {
        let mut stage = Stage::new();
        assert_eq!(open(&mut stage, A, Opening { query, ..OPENING }), Ok(()), "{query}");
        let frames = stage.world.take(A);
        let id = stage.id(A);
        let greeting = format!(
            r#"{{"event":"pusher:connection_established","data":"{{\"socket_id\":\"{id}\",\"activity_timeout\":120}}"}}"#
        );
        assert!(matches!(&frames[..], [only] if only.as_text() == greeting), "{frames:?}");
        let parts: Vec<&str> = id.split('.').collect();
        assert!(parts.len() == 2 && parts.iter().all(|part| part.parse::<u64>().is_ok()), "{id}");
    }
}

#[test]
fn who_is_not_let_in_ends_with_the_code_that_says_why() {
    let key = |name| Opening { name, ..OPENING };
    let query = |query| Opening { query, ..OPENING };
    for (opening, code) in [
        (key(None), 4005),
        (key(Some("other-key")), 4001),
        (key(Some("")), 4001),
        (key(Some("APP-KEY")), 4001),
        (query(""), 4008),
        (query("client=js"), 4008),
        (query("protocol="), 4008),
        (query("protocol=4"), 4007),
        (query("protocol=8"), 4007),
        (query("protocol=99999999999999999999999"), 4007),
        (query("protocol=seven"), 4006),
        (query("protocol=7.0"), 4006),
        (query("protocol=7&protocol=8"), 0),
    ] {
        let mut stage = Stage::new();
        let ended = open(&mut stage, A, opening).map_err(|ending| ending.code);
        assert_eq!(ended, if code == 0 { Ok(()) } else { Err(code) }, "{opening:?}");
        assert_eq!(
            stage.world.take(A).len(),
            usize::from(code == 0),
            "nothing comes before the error"
        );
        assert_eq!(stage.world.places_of(&stage.app), usize::from(code == 0), "no place is lost");
        if let Err(code) = ended {
            let ending = protocol::pusher::ENDINGS.into_iter().find(|it| it.code == code);
            let farewell =
                Dialect::Pusher.farewell(ending.expect("it is listed")).expect("it is told");
            assert!(farewell.as_text().contains(&format!(r#""code":{code}"#)));
        }
    }
    let mut off = Stage::with(App { enabled: false, ..App::default() });
    assert_eq!(open(&mut off, A, OPENING).map_err(|ending| ending.code), Err(4003));
}

#[test]
fn an_application_has_as_many_connections_as_it_may() {
    let mut stage = Stage::with(App { max_connections: 1, ..App::default() });
    assert_eq!(open(&mut stage, A, OPENING), Ok(()));
    assert_eq!(open(&mut stage, B, OPENING).map_err(|ending| ending.code), Err(4004));
    stage.end(A, Reason::Closed);
    assert_eq!(open(&mut stage, B, OPENING), Ok(()), "a place is free again, one");
    assert_eq!(open(&mut stage, A, OPENING).map_err(|ending| ending.code), Err(4004));
}

#[test]
fn too_many_messages_are_refused_and_a_flood_is_cut() {
    let mut stage = Stage::new();
    let limits = Limits { requests_per_s: 20, message_bytes: 200, ..Limits::default() };
    stage.world = LocalWorld::new(limits, Ids::new([9; 32])).with_app(App::default());
    stage.open(&[A, B]);
    let now = stage.now();
    let mut send = |conn, text: &str| {
        let session = stage.sessions.get_mut(&conn).expect("it is open");
        let flow = session.received(now, Incoming::Text(text), &stage.world);
        let frames = stage.world.take(conn);
        (flow, frames.first().map_or(String::new(), |frame| frame.as_text().to_owned()))
    };
    let ping = r#"{"event":"pusher:ping"}"#;
    for _ in 0..20 {
        let (flow, told) = send(A, ping);
        assert!(flow == Flow::Continue && told.contains("pusher:pong"), "{told}");
    }
    for _ in 0..200 {
        let (flow, told) = send(A, ping);
        assert!(flow == Flow::Continue && told.contains(r#""code":4301"#), "{told}");
    }
    let (flow, told) = send(A, ping);
    assert!(
        matches!(flow, Flow::Close(Ending { code: 4100, told: Reason::Evicted, .. })),
        "{flow:?}"
    );
    assert_eq!(told, "");
    let (flow, _) = send(B, &format!("{ping:<201}"));
    assert_eq!(flow, Flow::Close(Ending::TOO_BIG));
}

#[test]
fn a_ping_is_answered_at_any_time() {
    let mut stage = Stage::new();
    stage.open(&[A]);
    let pong = json!({"event": "pusher:pong", "data": {}});
    assert_eq!(stage.ask(A, "pusher:ping", &json!({})), pong);
    stage.say(A, r#"{"event":"pusher:ping"}"#);
    assert_eq!(stage.take(A), std::slice::from_ref(&pong));
    stage.subscribe(A, "news", None);
    stage.take(A);
    assert_eq!(stage.ask(A, "pusher:ping", &json!("{}")), pong);
    stage.send(A, "pusher:pong", &json!({}));
    assert!(stage.take(A).is_empty());
}
