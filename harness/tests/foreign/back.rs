//! Close codes that say whether a client may come back, and when: a step that reconnects obeys them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::net::{Answer, Asked, Outlet, Serves, serve};
use super::{Ran, harness};

const DIALECT: &str = "\
dialect: patient
connect: { path: /, ready: welcome }
send: { say: { frame: { say: $text } } }
receive:
  - { event: welcome, when: { hello: $_ } }
  - { event: error, when: { error: $code } }
reconnect:
  attempts: 3
  after: { 4000-4099: never, 4100-4199: 400ms, 4200-4299: 0s }
";

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Before the greeting.
    Early(u16),
    /// Before the greeting, with an error and no Close frame.
    Untold(u16),
    /// When it is asked for.
    Asked(u16),
    Never,
}

#[derive(Debug)]
struct Server {
    /// How the connections end, in their order; the last way is that of all others.
    ends: Vec<End>,
    opened: Mutex<Vec<Instant>>,
    ended: Mutex<Vec<Instant>>,
}

impl Server {
    fn end(&self, nth: usize) -> End {
        self.ends.get(nth).or_else(|| self.ends.last()).copied().unwrap_or(End::Never)
    }

    fn ends(&self, out: &Outlet, code: Option<u16>) {
        self.ended.lock().expect("nobody panicked").push(Instant::now());
        out.end(code);
    }
}

impl Serves for Server {
    fn answer(&self, _: &Asked) -> Answer {
        (404, Vec::new(), String::new())
    }

    fn admits(&self, _: &Asked) -> Result<String, Answer> {
        let mut opened = self.opened.lock().expect("nobody panicked");
        opened.push(Instant::now());
        Ok((opened.len() - 1).to_string())
    }

    fn opened(&self, who: &str, out: &Outlet) {
        match self.end(who.parse().expect("a number")) {
            End::Early(code) => self.ends(out, Some(code)),
            End::Untold(code) => {
                out.send(&json!({ "error": code }).to_string());
                self.ends(out, None);
            }
            End::Asked(_) | End::Never => out.send(r#"{"hello":1}"#),
        }
    }

    fn said(&self, who: &str, text: &str, out: &Outlet) {
        let said: Value = serde_json::from_str(text).expect("JSON");
        if let (Ok(End::Asked(code)), true) = (who.parse().map(|it| self.end(it)), said["end"] == 1)
        {
            self.ends(out, Some(code));
        }
    }

    fn gone(&self, _: &str) {}
}

/// A client is ended once it is in, and comes back as the step says. Before it the harness itself has a
/// look at the server.
fn comes_back(ends: &[End], reconnect: &str) -> (Ran, Arc<Server>) {
    let ends = [&[End::Never], ends].concat();
    let (opened, ended) = (Mutex::default(), Mutex::default());
    let server = Arc::new(Server { ends, opened, ended });
    let address = serve(Arc::clone(&server));
    let scenario = format!(
        "scenario: back\nclients: {{ alice: {{}} }}\nsteps:\n  - {{ as: alice, open: {{}} }}\n  \
         - {{ as: alice, send: {{ end: 1 }} }}\n  \
         - {{ as: alice, expect: {{ closed: {{ by: server }} }} }}\n  \
         - {{ as: alice, reconnect: {reconnect}, within: 20s }}\n"
    );
    let files = [("back.yaml", &*scenario), ("patient.yaml", DIALECT)];
    let target = format!("ws://{address}");
    let args = ["run", "back.yaml", "--dialect", "patient.yaml", "--target", &target, "--quiet"];
    (harness(&files, &args), server)
}

/// How many connections the client has opened.
fn count(server: &Server) -> usize {
    server.opened.lock().expect("nobody panicked").len() - 1
}

#[test]
fn a_client_that_must_not_come_back_does_not() {
    let (ran, server) = comes_back(&[End::Asked(4001), End::Never], "{ backoff: 10ms }");
    ran.assert_says(1, &["the server ended it with 4001: clients of patient do not come back"]);
    assert_eq!(count(&server), 1);
}

#[test]
fn a_client_that_is_to_wait_waits() {
    let (ran, server) = comes_back(&[End::Asked(4100), End::Never], "{}");
    ran.assert_says(0, &["verdict: passed"]);
    let opened = server.opened.lock().expect("nobody panicked");
    let ended = server.ended.lock().expect("nobody panicked");
    let waited = opened[2].duration_since(ended[0]);
    assert!(waited >= Duration::from_millis(400), "{waited:?}");
}

#[test]
fn what_asks_for_nothing_is_left_to_the_step() {
    for code in [4200, 4999, 1001] {
        let (ran, server) = comes_back(&[End::Asked(code), End::Never], "{}");
        ran.assert_says(0, &["verdict: passed"]);
        assert_eq!(count(&server), 2);
    }
}

#[test]
fn a_client_gives_up_after_so_many_tries() {
    let (ran, server) = comes_back(&[End::Asked(4200), End::Early(4200)], "{ backoff: 10ms }");
    ran.assert_says(1, &["could not reconnect in 3 tries: closed with 4200"]);
    assert_eq!(count(&server), 1 + 3);
}

#[test]
fn each_try_is_told_anew_whether_there_may_be_another() {
    for end in [End::Early(4003), End::Untold(4003)] {
        let (ran, server) = comes_back(&[End::Asked(4200), end], "{ backoff: 10ms }");
        ran.assert_says(1, &["the server ended it with 4003"]);
        assert_eq!(count(&server), 1 + 1, "{end:?}");
    }
}
