//! A protocol of lines of text, as chat had it before JSON.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::harness;
use super::net::{Answer, Asked, Outlet, Serves, serve};

const DIALECT: &str = "\
dialect: lines
encoding: text
connect: { path: /, ready: welcome, introduce: [name] }
ordering: total-among-others
echo: never
send:
  name: { frame: NICK $username, ack: ok }
  join: { frame: 'JOIN #$room', ack: entered }
  leave: { frame: 'PART #$room', ack: exited }
  say: { frame: 'PRIVMSG #$room :$text' }
  pong: { frame: PONG }
receive:
  - event: message
    when: { $line: ':$who PRIVMSG #$room :$text' }
  - event: joined
    when: { $line: ':$who JOIN #$room' }
    own: entered
  - event: left
    when: { $line: ':$who PART #$room' }
    own: exited
  - event: ping
    when: PING
    reply: pong
  - event: ok
    when: NICK $username
  - event: error
    when: { $line: 'ERROR $code $reason' }
  - event: welcome
    when: HELLO
";

const SCENARIO: &str = "\
scenario: lines
dialect: lines.yaml
clients: { ann: {}, crowd: { clients: 2 } }
vars: { room: hall-$run }
steps:
  - as: ann
    each: [ { open: {} }, { join: $room } ]
  - as: crowd
    each: [ { open: {} }, { join: $room } ]
  - as: ann
    expect: { joined: crowd, count: 2 }
  - as: ann
    say: 'ask #x :y'
  - as: crowd
    expect: { message: { text: 'ask #x :y', from: ann } }
  - as: crowd
    expect: { ping: {} }
  - as: ann
    note: nothing confirms what is said, and yet this is refused
    say: { text: hello, room: nowhere }
    refused: '404'
  - phase:
      name: talk
      for: 1s
      run:
        - as: crowd
          every: 10/s
          say: { size: 70B }
  - settle: 5s
  - as: ann
    leave: $room
  - as: crowd
    expect: { left: ann }
checks: { delivery: exactly-once, membership: fail, unknown_messages: fail }
";

#[derive(Debug, Default)]
struct Lines {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    opened: usize,
    names: BTreeMap<String, String>,
    rooms: BTreeMap<String, Vec<(String, Outlet)>>,
}

impl Serves for Lines {
    fn answer(&self, _: &Asked) -> Answer {
        (404, Vec::new(), String::new())
    }

    fn admits(&self, _: &Asked) -> Result<String, Answer> {
        let mut state = self.state.lock().expect("nobody panicked");
        state.opened += 1;
        Ok(state.opened.to_string())
    }

    fn opened(&self, _: &str, out: &Outlet) {
        out.send("HELLO");
    }

    fn said(&self, who: &str, text: &str, out: &Outlet) {
        let mut state = self.state.lock().expect("nobody panicked");
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (room, words) = rest.split_once(' ').unwrap_or((rest, ""));
        let nick = state.names.get(who).cloned().unwrap_or_default();
        let members = state.rooms.entry(room.to_owned()).or_default();
        let line = format!(":{nick} {text}");
        match verb {
            "NICK" => {
                out.send(text);
                state.names.insert(who.to_owned(), rest.to_owned());
            }
            "JOIN" => {
                members.push((who.to_owned(), out.clone()));
                members.iter().for_each(|(_, out)| out.send(&line));
                out.send("PING");
            }
            "PART" => {
                members.iter().for_each(|(_, out)| out.send(&line));
                members.retain(|(member, _)| member != who);
            }
            "PRIVMSG" if !members.iter().any(|(member, _)| member == who) => {
                out.send("ERROR 404 no such channel here");
            }
            "PRIVMSG" => {
                assert!(words.starts_with(':'), "{text}");
                let others = members.iter().filter(|(member, _)| member != who);
                others.for_each(|(_, out)| out.send(&line));
            }
            verb => assert_eq!(verb, "PONG"),
        }
    }

    fn gone(&self, who: &str) {
        let mut state = self.state.lock().expect("nobody panicked");
        let nick = state.names.get(who).cloned().unwrap_or_default();
        for (room, members) in &mut state.rooms {
            let before = members.len();
            members.retain(|(member, _)| member != who);
            if members.len() < before {
                members.iter().for_each(|(_, out)| out.send(&format!(":{nick} PART {room}")));
            }
        }
    }
}

#[test]
fn a_protocol_of_lines_is_described_by_a_file() {
    let target = format!("ws://{}", serve(Arc::new(Lines::default())));
    let files = [("lines.yaml", DIALECT), ("s.yaml", SCENARIO)];
    let ran = harness(&files, &["run", "s.yaml", "--target", &target, "--report", "r", "-q"]);
    ran.assert_passed(2 + 10 * 2);
    harness(&files, &["check", "."]).assert_says(0, &["2 files, no problems"]);
}

#[test]
fn a_line_is_tried() {
    let files = [("lines.yaml", DIALECT)];
    let said = ":ann PRIVMSG #hall :x : y";
    let ran = harness(&files, &["check", "--dialect", "lines.yaml", "--try", said]);
    ran.assert_says(
        0,
        &["message (lines.yaml:13)", "room: \"hall\"", "text: \"x : y\"", "who: \"ann\""],
    );
    let ran = harness(&files, &["check", "--dialect", "lines.yaml", "--try", ":ann PRIV #hall"]);
    ran.assert_says(
        1,
        &["nothing that dialect lines knows", "not like `:$who PRIVMSG #$room :$text`"],
    );
}
