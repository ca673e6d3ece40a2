//! Requests of a dialect that steps make by name, with functions in them: what is signed is what is sent.

use std::sync::Arc;

use serde_json::json;

use super::net::{Answer, Asked, Outlet, Serves, serve};
use super::{Ran, harness};

const DIALECT: &str = "\
dialect: signed
connect: { path: /live/$key }
params: { key: k 1, secret: Jefe }
define:
  query: { m: $method, p: $path, md5?: { $md5: $body }, more?: $more }
  line: { $query: $query }
http:
  put:
    with: [text, more]
    post: /x/$where
    query: [ $query, { sig: { $hmac_sha256: { key: $secret, text: what do ya want for nothing? } } } ]
    json: { t: $text }
    headers: { X-Line: $line }
    take: { token: $token }
  look: { with: [where], get: /x/$where?a=1, query: $query, status: 204 }
send: { say: { frame: { say: $text, by: $key } } }
receive: [ { event: message, when: { say: $text, by: $key } } ]
";

/// Tells what it was asked.
#[derive(Debug)]
struct Mirror;

impl Serves for Mirror {
    fn answer(&self, asked: &Asked) -> Answer {
        let told = json!({
            "to": asked.path, "body": asked.body, "line": asked.header("x-line"),
            "trace": asked.header("x-trace"), "token": "t-1",
        });
        (if asked.path.contains("teapot") { 418 } else { 200 }, Vec::new(), told.to_string())
    }

    fn admits(&self, asked: &Asked) -> Result<String, Answer> {
        if asked.path == "/live/k%201" {
            Ok(String::new())
        } else {
            Err((404, Vec::new(), String::new()))
        }
    }

    fn opened(&self, _: &str, _: &Outlet) {}

    fn said(&self, _: &str, text: &str, out: &Outlet) {
        out.send(text);
    }

    fn gone(&self, _: &str) {}
}

fn steps(steps: &str) -> Ran {
    let target = format!("ws://{}", serve(Arc::new(Mirror)));
    let scenario = format!("scenario: s\nclients: {{ alice: {{}} }}\nsteps:\n{steps}");
    let files = [("s.yaml", &*scenario), ("signed.yaml", DIALECT)];
    harness(&files, &["run", "s.yaml", "--dialect", "signed.yaml", "--target", &target, "--quiet"])
}

/// The MD5 of `{"t":"hi"}`, by another program.
const MD5: &str = "9b73d2205fe264baa8ad70c610d647ec";
/// The test case 2 of RFC 4231.
const SIGNATURE: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
const PUT: &str =
    "http: { request: put, with: { where: a b, text: hi, more: 1&2 }, headers: { X-Trace: $run } }";

#[test]
fn a_request_by_name_is_what_the_dialect_makes_of_it() {
    let to = format!("/x/a%20b?m=POST&p=/x/a%2520b&md5={MD5}&more=1%262&sig={SIGNATURE}");
    let to = to.replace("p=/x/", "p=%2Fx%2F");
    let line = format!("m=POST&md5={MD5}&more=1&2&p=/x/a%20b");
    steps(&format!(
        "  - as: alice\n    {PUT}\n    answer:\n      json: {{ to: '{to}', line: '{line}', trace: $run, \
         body: '{{\"t\":\"hi\"}}' }}\n"
    ))
    .assert_says(0, &["verdict: passed"]);
    // A pattern may have functions, too.
    steps(&format!(
        "  - as: alice\n    {PUT}\n    answer: {{ json: {{ body: '{{\"t\":\"ho\"}}', to: {{ $md5: x }} }} }}\n"
    ))
    .assert_says(1, &["the body should be {", "\"to\":\"9dd4e461268c8034f5c8564e155c67a6\""]);
}

#[test]
fn where_the_step_says_nothing_the_dialect_judges_and_takes() {
    let taken = format!("  - {{ as: alice, {PUT} }}\n  - {{ as: alice, same: [$token, t-1] }}\n");
    steps(&taken).assert_says(0, &["verdict: passed"]);
    steps("  - { as: alice, http: { request: look, with: { where: here } } }\n")
        .assert_says(1, &["`look` was answered with 200: "]);
    steps("  - { as: alice, http: { request: put, with: { where: teapot, text: '' } } }\n")
        .assert_says(1, &["`put` was answered with 418: "]);
    let own = "  - { as: alice, http: { request: look, with: { where: here } }, answer: { status: 200, \
               json: { to: '/x/here?a=1&m=GET&p=%2Fx%2Fhere' } } }\n";
    steps(own).assert_says(0, &["verdict: passed"]);
    steps("  - { as: alice, http: { request: put, with: { where: a } } }\n")
        .assert_says(1, &["`$text` has no value here"]);
}

#[test]
fn what_the_dialect_gives_is_known_in_steps_and_what_it_does_not_have_is_told() {
    let said = "  - { as: alice, open: {} }\n  - { as: alice, send: { say: hi, by: $key } }\n  \
                - { as: alice, expect: { message: hi } }\n  - { as: alice, same: [$key, k 1] }\n";
    steps(said).assert_says(0, &["verdict: passed"]);
    steps(&said.replace("$key", "$kay")).assert_says(2, &["no variable is called `kay`"]);
    steps("  - { as: alice, http: { request: putt } }\n")
        .assert_says(4, &["dialect signed lacks the HTTP request `putt`"]);
    steps("  - { as: alice, http: { request: put, with: { txt: a } } }\n")
        .assert_says(4, &["the HTTP request `put` of signed has no `$txt`"]);
}
