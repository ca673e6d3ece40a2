//! A protocol with a login by HTTP (a token, and a cookie), both wanted by the upgrade, in a header
//! and in the query; a ticket by HTTP before each entry, which goes into the frame; an entry that is
//! told in two frames; texts inside JSON inside texts; leaving by HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::harness;
use super::net::{Answer, Asked, Outlet, Serves, serve};

pub(crate) const DIALECT: &str = "\
dialect: shop
about: A made-up protocol with login, tickets and two frames for one answer.
connect:
  path: /live?token=$token
  ready: welcome
  before: [login]
  headers: { Authorization: Bearer $token }
  cookies: true
ordering: total-among-others
echo: never
http:
  login:
    post: /login
    form: { login: $user.login, password: $user.password }
    status: 200
    take: { token: $token, name: $name }
  ticket:
    get: /tickets/$room
    headers: { Authorization: Bearer $token }
    take_headers: { X-Ticket: $ticket }
  part:
    delete: /rooms/$room/members/$name
    headers: { Authorization: Bearer $token }
send:
  join:
    before: [ticket]
    frame: { op: enter, room: $room, ticket: $ticket, seq: { $text: $id } }
    ack: entered
  leave: { http: part }
  say:
    frame: { op: say, room: $room, body: { $json: { text: $text } }, seq: { $text: $id } }
    ack: ok
receive:
  - event: message
    when: { op: said, room: $room, by: $member, body: { $json: { text: $text } } }
  - event: entered
    frames:
      - { op: room, name: $room, you: $you, seq: $re }
      - { op: people, name: $room, list: { $list: members, of: { id: $member, who: $who } } }
  - event: ok
    when: { op: done, seq: $re }
  - event: joined
    when: { op: came, room: $room, id: $member, who: $who }
  - event: left
    when: { op: gone, room: $room, id: $member }
  - event: error
    when: { op: no, seq?: $re, why: $code }
  - event: other
    when: { op: weather }
  - event: welcome
    when: { op: hello, session: $connection }
";

pub(crate) const SCENARIO: &str = "\
scenario: meeting
dialect: shop.yaml
users: people.csv
clients:
  ann: { name: $user.login }
  crowd: { clients: 3, name: $user.login }
vars: { room: hall-$run }
steps:
  - as: ann
    open: {}
  - as: ann
    join: $room
  - as: crowd
    each: [ { open: {} }, { join: $room } ]
  - as: ann
    expect: { joined: crowd, count: 3 }
  - as: ann
    expect: { members: [ann, crowd] }
  - as: ann
    say: hello \"there\"
  - as: crowd
    expect: { message: { text: 'hello \"there\"', from: ann } }
  - as: ann
    say: elsewhere
    refused: no
  - phase:
      name: talk
      for: 1s
      run:
        - as: crowd
          every: 20/s
          say: { size: 80B }
  - settle: 5s
  - as: ann
    leave: $room
  - as: crowd
    expect: { left: ann }
checks: { delivery: exactly-once, membership: fail, unknown_messages: fail }
";

pub(crate) const PEOPLE: &str = "login,password\nann,pw-0\nbea,pw-1\ncem,pw-2\ndoa,pw-3\n";

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Nobody gets a ticket.
    pub(crate) no_tickets: bool,
    /// Answers to logins hold no token.
    pub(crate) no_token: bool,
    /// The upgrade is refused.
    pub(crate) no_upgrade: bool,
    /// The second frame of an entry never comes.
    pub(crate) no_people: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Shop {
    faults: Faults,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Who is in a room, and the way to each.
    rooms: BTreeMap<String, Vec<(String, Outlet)>>,
    /// Everybody who is connected.
    seen: Vec<Asked>,
}

fn token(who: &str) -> String {
    // Signs that mean something in a query.
    format!("t+{who}/=&")
}

fn bearer(asked: &Asked) -> Option<String> {
    let token = asked.header("authorization").strip_prefix("Bearer t+")?;
    Some(token.strip_suffix("/=&")?.to_owned())
}

fn plain(status: u16, body: &str) -> Answer {
    (status, Vec::new(), body.to_owned())
}

impl Shop {
    fn login(&self, asked: &Asked) -> Answer {
        let fields: BTreeMap<_, _> =
            url::form_urlencoded::parse(asked.body.as_bytes()).into_owned().collect();
        let login = fields.get("login").cloned().unwrap_or_default();
        let lines = PEOPLE.lines().skip(1);
        let right = lines.map(|line| line.split_once(',').expect("two")).any(|(name, password)| {
            name == login && fields.get("password").map(String::as_str) == Some(password)
        });
        if !right {
            return plain(401, "no such user");
        }
        let token = if self.faults.no_token { Value::Null } else { json!(token(&login)) };
        let body = match token {
            Value::Null => json!({ "name": login }),
            token => json!({ "token": token, "name": login, "more": 1 }),
        };
        (200, vec![format!("Set-Cookie: sid={login}; Path=/; HttpOnly")], body.to_string())
    }
}

impl Serves for Shop {
    fn answer(&self, asked: &Asked) -> Answer {
        let path: Vec<&str> = asked.path.split('/').skip(1).collect();
        match (asked.method.as_str(), path.as_slice(), bearer(asked)) {
            ("POST", ["login"], _) => self.login(asked),
            (_, _, None) => plain(401, "who are you?"),
            ("GET", ["tickets", _], _) if self.faults.no_tickets => plain(403, "sold out"),
            ("GET", ["tickets", room], Some(who)) => {
                (204, vec![format!("x-ticket: {room}:{who}")], String::new())
            }
            ("DELETE", ["rooms", room, "members", name], Some(who)) if who == *name => {
                let mut state = self.state.lock().expect("nobody panicked");
                let members = state.rooms.entry((*room).to_owned()).or_default();
                members.retain(|(member, _)| member != name);
                let gone = json!({ "op": "gone", "room": room, "id": format!("id-{name}") });
                members.iter().for_each(|(_, out)| out.send(&gone.to_string()));
                plain(200, "bye")
            }
            _ => plain(404, "nothing here"),
        }
    }

    fn admits(&self, asked: &Asked) -> Result<String, Answer> {
        self.state.lock().expect("nobody panicked").seen.push(asked.clone());
        let Some(who) = bearer(asked) else { return Err(plain(401, "no token in the header")) };
        if self.faults.no_upgrade {
            return Err(plain(403, "not today"));
        }
        let query = asked.path.split_once('?').map_or("", |(_, query)| query);
        let asked_for: Vec<(String, String)> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if asked_for != [("token".to_owned(), token(&who))] {
            return Err(plain(401, "another token in the query"));
        }
        if asked.header("cookie") != format!("sid={who}") {
            return Err(plain(401, "no cookie"));
        }
        Ok(who)
    }

    fn opened(&self, who: &str, out: &Outlet) {
        out.send(&json!({ "op": "hello", "session": format!("s-{who}") }).to_string());
        out.send(&json!({ "op": "weather", "sun": true }).to_string());
    }

    fn said(&self, who: &str, text: &str, out: &Outlet) {
        let asked: Value = serde_json::from_str(text).expect("JSON");
        let mut state = self.state.lock().expect("nobody panicked");
        let room = asked["room"].as_str().expect("a room").to_owned();
        let members = state.rooms.entry(room.clone()).or_default();
        let inside = members.iter().any(|(member, _)| member == who);
        let body = asked["body"].as_str().unwrap_or_default();
        match asked["op"].as_str() {
            Some("enter") if asked["ticket"] != json!(format!("{room}:{who}")) => {
                out.send(&json!({ "op": "no", "seq": asked["seq"], "why": "ticket" }).to_string());
            }
            Some("enter") => {
                let came =
                    json!({ "op": "came", "room": room, "id": format!("id-{who}"), "who": who });
                members.iter().for_each(|(_, out)| out.send(&came.to_string()));
                members.push((who.to_owned(), out.clone()));
                let person = |(name, _): &(String, Outlet)| json!({ "id": format!("id-{name}"), "who": name });
                let people: Vec<Value> = members.iter().map(person).collect();
                let you = format!("id-{who}");
                out.send(
                    &json!({ "op": "room", "name": room, "you": you, "seq": asked["seq"] })
                        .to_string(),
                );
                out.send(&json!({ "op": "weather", "sun": false }).to_string());
                if !self.faults.no_people {
                    out.send(&json!({ "op": "people", "name": room, "list": people }).to_string());
                }
            }
            Some("say") if !inside || body.contains("elsewhere") => {
                out.send(&json!({ "op": "no", "seq": asked["seq"], "why": "no" }).to_string());
            }
            _ => {
                let said =
                    json!({ "op": "said", "room": room, "by": format!("id-{who}"), "body": body });
                let others = members.iter().filter(|(member, _)| member != who);
                others.for_each(|(_, out)| out.send(&said.to_string()));
                out.send(&json!({ "op": "done", "seq": asked["seq"] }).to_string());
            }
        }
    }

    fn gone(&self, who: &str) {
        let mut state = self.state.lock().expect("nobody panicked");
        for (room, members) in &mut state.rooms {
            let before = members.len();
            members.retain(|(member, _)| member != who);
            if members.len() < before {
                let gone = json!({ "op": "gone", "room": room, "id": format!("id-{who}") });
                members.iter().for_each(|(_, out)| out.send(&gone.to_string()));
            }
        }
    }
}

/// Runs the scenario against a shop with these faults, with some of the files changed.
pub(crate) fn run(faults: Faults, change: impl Fn(&str, &str) -> String) -> super::Ran {
    let shop = Arc::new(Shop { faults, state: Mutex::default() });
    let target = format!("ws://{}", serve(Arc::clone(&shop)));
    let files = [("shop.yaml", DIALECT), ("meeting.yaml", SCENARIO), ("people.csv", PEOPLE)];
    let files = files.map(|(name, text)| (name, change(name, text)));
    let files: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    harness(&files, &["run", "meeting.yaml", "--target", &target, "--report", "r", "-q"])
}

fn unchanged(_: &str, text: &str) -> String {
    text.to_owned()
}

#[test]
fn a_protocol_with_login_tickets_and_cookies_is_described_by_a_file() {
    // One fixed message to three, twenty stamped ones to three others each.
    run(Faults::default(), unchanged).assert_passed(3 + 20 * 3);
}

#[test]
fn the_file_has_no_problems() {
    let files = [("shop.yaml", DIALECT), ("meeting.yaml", SCENARIO), ("people.csv", PEOPLE)];
    harness(&files, &["check", "."]).assert_says(0, &["2 files, no problems"]);
}

#[test]
fn a_login_that_is_refused_ends_the_run_before_it_begins() {
    let wrong = |name: &str, text: &str| match name {
        "people.csv" => text.replace("pw-0", "pw-9"),
        _ => text.to_owned(),
    };
    let ran = run(Faults::default(), wrong);
    ran.assert_says(3, &["could not run", "`login` was answered with 401: no such user"]);
}

#[test]
fn a_login_that_fails_for_one_client_fails_its_step() {
    let wrong = |name: &str, text: &str| match name {
        "people.csv" => text.replace("pw-2", "pw-9"),
        _ => text.to_owned(),
    };
    let ran = run(Faults::default(), wrong);
    let why = "could not connect: `login` was answered with 401: no such user";
    ran.assert_says(1, &["line 14", why]);
}

#[test]
fn no_report_shows_passwords_or_tokens() {
    let ran = run(Faults { no_tickets: true, ..Faults::default() }, unchanged);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    let all = format!("{}{}{}", ran.out, ran.err, ran.report);
    // As the files of a report write it: in JSON, in XML, plainly.
    let all = all.replace("&quot;", "\"").replace("&amp;", "&").replace('\\', "");
    for shown in ["POST /login login=ann&password=…", r#""token":"…""#] {
        assert!(all.contains(shown), "`{shown}` is not in {all}");
    }
    for secret in ["pw-0", "t+ann", "t%2Bann"] {
        assert!(!all.contains(secret), "`{secret}` is in {all}");
    }
}

#[test]
fn an_answer_that_lacks_what_is_taken_is_told() {
    let ran = run(Faults { no_token: true, ..Faults::default() }, unchanged);
    let why = "`login` was answered with 200: the answer is not like `take`: {\"name\":\"ann\"}";
    ran.assert_says(3, &[why]);
}

#[test]
fn an_upgrade_that_is_refused_is_told_with_its_body() {
    let ran = run(Faults { no_upgrade: true, ..Faults::default() }, unchanged);
    ran.assert_says(3, &["HTTP 403 Whatever: not today"]);
    let without = |name: &str, text: &str| match name {
        "shop.yaml" => text.replace("cookies: true", "cookies: false"),
        _ => text.to_owned(),
    };
    run(Faults::default(), without).assert_says(3, &["HTTP 401 Whatever: no cookie"]);
}

#[test]
fn a_ticket_that_is_refused_fails_the_entry() {
    let ran = run(Faults { no_tickets: true, ..Faults::default() }, unchanged);
    ran.assert_says(
        1,
        &["line 12", "cannot join: `ticket` was answered with 403: sold out", "auth"],
    );
}

#[test]
fn an_entry_whose_second_frame_never_comes_is_no_entry() {
    let ran = run(Faults { no_people: true, ..Faults::default() }, unchanged);
    ran.assert_says(1, &["`join` was not answered in time"]);
}

#[test]
fn a_server_of_http_that_is_not_there_is_told_apart() {
    let elsewhere = |name: &str, text: &str| match name {
        "shop.yaml" => text.replace("post: /login", "post: http://127.0.0.1:1/login"),
        _ => text.to_owned(),
    };
    let ran = run(Faults::default(), elsewhere);
    ran.assert_says(3, &["`login`: connection refused: nothing listens there"]);
}
