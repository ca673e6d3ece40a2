//! What webhooks are told: in which order, after which delay, and what a return cancels.

use std::time::Duration;

use protocol::Reason;
use protocol::pusher::{App, Hook};
use serde_json::json;

use super::{A, B, Stage, seconds, user};

fn stage(delay: Duration) -> Stage {
    let mut stage = Stage::with(App { webhooks: true, webhook_delay: delay, ..App::default() });
    stage.open(&[A, B]);
    stage
}

fn names(stage: &Stage) -> Vec<String> {
    let name = |hook: Hook| match hook {
        Hook::ChannelOccupied { channel } => format!("occupied {channel}"),
        Hook::ChannelVacated { channel } => format!("vacated {channel}"),
        Hook::MemberAdded { channel, user_id } => format!("added {user_id} {channel}"),
        Hook::MemberRemoved { channel, user_id } => format!("removed {user_id} {channel}"),
        Hook::CacheMiss { channel } => format!("miss {channel}"),
        Hook::SubscriptionCount { channel, subscription_count } => {
            format!("{subscription_count} {channel}")
        }
        Hook::ClientEvent { channel, .. } => format!("event {channel}"),
    };
    stage.hooks().into_iter().map(name).collect()
}

#[test]
fn a_channel_is_occupied_before_its_members_come_and_vacated_after_they_have_gone() {
    let mut stage = stage(Duration::ZERO);
    stage.subscribe(A, "presence-x", Some(&user("a")));
    assert_eq!(names(&stage), ["occupied presence-x", "added a presence-x"]);
    stage.subscribe(B, "presence-x", Some(&user("b")));
    assert_eq!(names(&stage), ["added b presence-x"]);
    stage.subscribe(B, "presence-x", Some(&user("b")));
    assert_eq!(names(&stage), [""; 0], "asked again");
    stage.end(A, Reason::Closed);
    assert_eq!(names(&stage), ["removed a presence-x"]);
    stage.unsubscribe(B, "presence-x");
    assert_eq!(names(&stage), ["removed b presence-x", "vacated presence-x"]);
    assert!(stage.rooms().is_empty());
    stage.sign_in(B, r#"{"id":"b"}"#);
    assert_eq!(names(&stage), [""; 0], "the channels of users are nobody's business");
}

#[test]
fn what_has_gone_is_told_after_the_delay() {
    let mut stage = stage(seconds(3));
    stage.subscribe(A, "presence-x", Some(&user("a")));
    stage.subscribe(B, "presence-x", Some(&user("b")));
    names(&stage);
    stage.end(A, Reason::Closed);
    stage.wait(Duration::from_millis(2_999));
    stage.unsubscribe(B, "presence-x");
    assert_eq!(names(&stage), [""; 0]);
    stage.wait(Duration::from_millis(1));
    assert_eq!(names(&stage), ["removed a presence-x"]);
    stage.wait(Duration::from_millis(2_998));
    assert_eq!(names(&stage), [""; 0]);
    stage.wait(Duration::from_millis(1));
    assert_eq!(names(&stage), ["removed b presence-x", "vacated presence-x"]);
    assert!(stage.rooms().is_empty());
    assert_eq!(stage.world.next_wake(), None, "nothing is awaited any more");
}

#[test]
fn nothing_is_forgotten_whoever_looked_at_the_clock_first() {
    let mut stage = stage(seconds(3));
    stage.subscribe(A, "presence-x", Some(&user("a")));
    stage.subscribe(B, "presence-x", Some(&user("b")));
    names(&stage);
    stage.clock = seconds(2);
    stage.end(A, Reason::Closed);
    // This one looked before, and came to leave after.
    stage.clock = seconds(1);
    stage.end(B, Reason::Closed);
    stage.wait(seconds(10));
    let all = ["removed b presence-x", "removed a presence-x", "vacated presence-x"];
    assert_eq!(names(&stage), all);
    assert!(stage.rooms().is_empty());
}

#[test]
fn a_return_within_the_delay_was_no_leave() {
    let mut stage = stage(seconds(3));
    stage.subscribe(A, "presence-x", Some(&user("a")));
    names(&stage);
    for _ in 0..3 {
        stage.unsubscribe(A, "presence-x");
        stage.wait(Duration::from_millis(2_999));
        stage.subscribe(A, "presence-x", Some(&user("a")));
    }
    stage.wait(seconds(100));
    assert_eq!(names(&stage), [""; 0]);
    // A channel may be kept by another member than the one that went.
    stage.unsubscribe(A, "presence-x");
    stage.wait(seconds(1));
    stage.subscribe(B, "presence-x", Some(&user("b")));
    stage.wait(seconds(100));
    assert_eq!(names(&stage), ["added b presence-x", "removed a presence-x"]);
    stage.unsubscribe(B, "presence-x");
    stage.wait(seconds(100));
    names(&stage);
    stage.subscribe(A, "presence-x", Some(&user("a")));
    assert_eq!(names(&stage), ["occupied presence-x", "added a presence-x"], "a new life");
}

#[test]
fn a_return_after_the_delay_is_one_even_if_no_tick_has_come() {
    let mut stage = stage(seconds(3));
    stage.subscribe(A, "presence-x", Some(&user("a")));
    stage.unsubscribe(A, "presence-x");
    names(&stage);
    stage.clock += seconds(3);
    stage.subscribe(A, "presence-x", Some(&user("a")));
    let all =
        ["removed a presence-x", "vacated presence-x", "occupied presence-x", "added a presence-x"];
    assert_eq!(names(&stage), all);
    stage.wait(seconds(10));
    assert_eq!(names(&stage), [""; 0]);
}

#[test]
fn what_is_kept_and_what_is_awaited_live_as_long_as_each_needs() {
    let mut stage = stage(seconds(3));
    stage.subscribe(A, "cache-x", None);
    assert_eq!(names(&stage), ["occupied cache-x", "miss cache-x"]);
    stage.publish(&json!({"name": "n", "channel": "cache-x", "data": "d"}));
    stage.unsubscribe(A, "cache-x");
    stage.wait(seconds(3));
    assert_eq!(names(&stage), ["vacated cache-x"]);
    assert_eq!(stage.rooms().len(), 1, "what is kept is kept");
    stage.subscribe(A, "cache-x", None);
    assert_eq!(names(&stage), ["occupied cache-x"]);
    stage.unsubscribe(A, "cache-x");
    stage.wait(seconds(30 * 60));
    assert_eq!(names(&stage), ["vacated cache-x"]);
    assert!(stage.rooms().is_empty());
}

#[test]
fn what_a_client_says_is_told_with_who_said_it() {
    let mut stage = stage(seconds(3));
    stage.subscribe(A, "presence-x", Some(&user("a")));
    stage.subscribe(B, "private-x", None);
    stage.hooks();
    stage.say(A, r#"{"event":"client-x","channel":"presence-x","data":{"n": 1}}"#);
    stage.say(B, r#"{"event":"client-y","channel":"private-x","data":"te\"xt"}"#);
    stage.say(B, r#"{"event":"client-y","channel":"presence-x","data":"refused"}"#);
    let event = |channel: &str, event: &str, data: &str, socket_id, user_id| Hook::ClientEvent {
        channel: channel.to_owned(),
        event: event.to_owned(),
        data: data.to_owned(),
        socket_id,
        user_id,
    };
    let expected = [
        event("presence-x", "client-x", r#"{"n": 1}"#, stage.id(A), Some("a".to_owned())),
        event("private-x", "client-y", "te\"xt", stage.id(B), None),
    ];
    assert_eq!(stage.hooks(), expected);
}

#[test]
fn numbers_are_told_as_subscribers_are_told_them_and_to_the_last() {
    let app = App { webhooks: true, subscription_count: true, ..App::default() };
    let mut stage = Stage::with(app);
    stage.open(&[A, B]);
    stage.subscribe(A, "news", None);
    stage.subscribe(B, "news", None);
    stage.unsubscribe(A, "news");
    stage.unsubscribe(B, "news");
    assert_eq!(names(&stage), ["occupied news", "1 news", "2 news", "1 news", "0 news"]);
}

#[test]
fn without_webhooks_nobody_is_told_and_nothing_is_awaited() {
    let mut stage = Stage::new();
    stage.open(&[A]);
    stage.subscribe(A, "presence-cache-x", Some(&user("a")));
    stage.unsubscribe(A, "presence-cache-x");
    assert!(stage.rooms().is_empty());
    assert_eq!((stage.world.next_wake(), stage.hooks().len()), (None, 0));
}

#[test]
fn who_comes_and_goes_in_masses_is_not_remembered_without_end() {
    let mut stage = stage(seconds(3));
    stage.subscribe(B, "presence-x", Some(&user("b")));
    names(&stage);
    for n in 0..1_100 {
        stage.subscribe(A, "presence-x", Some(&user(&format!("u{n}"))));
        stage.unsubscribe(A, "presence-x");
        stage.take(A);
        stage.take(B);
    }
    let told = names(&stage);
    assert_eq!(told.len(), 1_100 + 100);
    assert_eq!(told.iter().filter(|hook| hook.starts_with("removed")).count(), 100);
    stage.wait(seconds(3));
    assert_eq!(names(&stage).len(), 1_000);
}
