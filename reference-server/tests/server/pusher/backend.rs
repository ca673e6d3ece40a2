//! What a backend signs for clients: the forms of the requests, whose application it is, and the token.

use protocol::pusher::{App, auth};
use serde_json::{Value, json};

use super::{Socket, serving};
use crate::common::{Answer, Server};

const FORM: &str = "application/x-www-form-urlencoded";

fn ask(server: &Server, path: &str, body: &str) -> Answer {
    server.send("POST", path, FORM, body)
}

/// What one of the fields says, which is JSON in a string.
fn said(answer: &Answer, field: &str) -> Value {
    let text = answer.json[field].as_str().expect("a text");
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn what_it_signs_lets_clients_in_wherever_they_ask() {
    let server = Server::plain();
    let mut socket = Socket::open(&server);
    for path in ["/broadcasting/auth", "/pusher/auth"] {
        let channel = format!("private-{}", path.len());
        let answer = ask(&server, path, &format!("socket_id={}&channel_name={channel}", socket.id));
        assert_eq!(answer.status, 200, "{answer:?}");
        let auth = &answer.json["auth"];
        socket.say("pusher:subscribe", &json!({"channel": channel, "auth": auth}));
        socket.hears("pusher_internal:subscription_succeeded");
        assert_eq!(answer.json, json!({ "auth": auth }));
    }
    for path in ["/broadcasting/user-auth", "/pusher/user-auth"] {
        let answer = ask(&server, path, &format!("socket_id={}&user_id=ada", socket.id));
        assert_eq!(said(&answer, "user_data"), json!({"id": "ada"}));
        socket.say("pusher:signin", &answer.json);
        socket.hears("pusher:signin_success");
    }
}

#[test]
fn members_are_who_the_request_says_or_their_connection() {
    let server = Server::plain();
    let mut socket = Socket::open(&server);
    let own = format!("socket_id={}&channel_name=presence-x", socket.id);
    let answer = ask(&server, "/broadcasting/auth", &own);
    assert_eq!(said(&answer, "channel_data"), json!({"user_id": socket.id}));
    let named = format!("{own}&user_id=a%26b&user_info=%7B%22n%22%3A1%7D");
    let answer = ask(&server, "/broadcasting/auth", &named);
    assert_eq!(said(&answer, "channel_data"), json!({"user_id": "a&b", "user_info": {"n": 1}}));
    let mut subscribe = answer.json;
    subscribe["channel"] = "presence-x".into();
    socket.say("pusher:subscribe", &subscribe);
    let presence = socket.hears("pusher_internal:subscription_succeeded");
    assert_eq!(presence["presence"]["hash"], json!({"a&b": {"n": 1}}));
}

#[test]
fn json_is_taken_as_forms_are() {
    let server = Server::plain();
    let body = json!({"socket_id": "1.2", "channel_name": "presence-x", "user_id": 7,
        "user_info": {"n": 1}});
    let answer =
        server.send("POST", "/pusher/auth", "application/json; charset=utf-8", &body.to_string());
    assert_eq!(said(&answer, "channel_data"), json!({"user_id": "7", "user_info": {"n": 1}}));
    assert_eq!(server.send("POST", "/pusher/auth", "application/json", "{").status, 400);
}

#[test]
fn what_it_cannot_sign_is_refused() {
    let server = Server::plain();
    for (path, body, status) in [
        ("/broadcasting/auth", "", 422),
        ("/broadcasting/auth", "socket_id=1.2", 422),
        ("/broadcasting/auth", "channel_name=private-x", 422),
        ("/broadcasting/auth", "socket_id=1.2:x&channel_name=private-x", 422),
        ("/broadcasting/auth", "socket_id=1.2&channel_name=news", 403),
        ("/broadcasting/auth", "socket_id=1.2&channel_name=private-a%20b", 403),
        ("/broadcasting/auth", "socket_id=1.2&channel_name=presence-x&user_info=x", 422),
        ("/broadcasting/user-auth", "user_id=ada", 422),
    ] {
        assert_eq!(ask(&server, path, body).status, status, "{path} {body}");
        assert_eq!(Answer::of(&server.get(path)).status, 405);
    }
}

#[test]
fn each_application_signs_with_its_own_secret_for_those_who_show_its_token() {
    let server = serving(&["id=1", "id=2,key=k2,secret=s2,auth_token=T2", "id=3,key=k3,disabled"]);
    let body = "socket_id=1.2&channel_name=private-x";
    let with_token = |path: &str, body: &str, token: &str| {
        let length = body.len();
        Answer::of(&server.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\n\
             Authorization: {token}\r\nContent-Length: {length}\r\n\r\n{body}"
        )))
    };
    let first = auth::channel(&App::default(), "1.2", "private-x", None);
    assert_eq!(ask(&server, "/pusher/auth", body).json, json!({ "auth": first }));
    let two = auth::channel(&App::new("2", "k2", "s2"), "1.2", "private-x", None);
    for (path, body) in
        [("/pusher/auth?app=2", body.to_owned()), ("/pusher/auth", format!("{body}&app_key=k2"))]
    {
        let answer = with_token(path, &body, "Bearer T2");
        assert_eq!((answer.status, answer.json), (200, json!({ "auth": two })), "{path} {body}");
        assert_eq!(ask(&server, path, &body).status, 403);
        for token in ["Bearer T1", "Basic T2", "T2", "Bearer"] {
            assert_eq!(with_token(path, &body, token).status, 403, "{token}");
        }
    }
    assert_eq!(ask(&server, "/pusher/auth?app=3", body).status, 403);
    assert_eq!(ask(&server, "/pusher/auth?app=4", body).status, 404);
    assert_eq!(ask(&server, "/pusher/auth", &format!("{body}&app_key=none")).status, 404);
}
