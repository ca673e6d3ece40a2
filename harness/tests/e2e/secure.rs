//! Targets behind TLS: whom the harness trusts, how it says that it does not, and that a run over
//! TLS sees what a run in the clear sees.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tempfile::TempDir;

use super::runs::{Call, Ran, Server};

/// An authority, a stranger, and server certificates of all kinds, as files.
struct Papers(TempDir);

impl Papers {
    fn new() -> Self {
        let papers = Self(tempfile::tempdir().expect("a directory"));
        let (ca, stranger) = (authority("right"), authority("stranger"));
        papers.write("ca.pem", &ca.pem());
        papers.write("stranger.pem", &stranger.pem());
        papers.write("empty.pem", "");
        let local = ["localhost", "127.0.0.1", "::1"];
        papers.certificate("good", &ca, &local, 4000);
        papers.own("self-made", 4000);
        papers.own("self-made-long-ago", 2001);
        papers.certificate("expired", &ca, &local, 2001);
        papers.certificate("other", &ca, &["elsewhere.example"], 4000);
        papers
    }

    fn certificate(
        &self,
        name: &str,
        by: &CertifiedIssuer<'_, KeyPair>,
        names: &[&str],
        until: i32,
    ) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, by).expect("a certificate");
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    /// A certificate as `openssl req -x509` makes it: signed by itself, and fit to sign others.
    fn own(&self, name: &str, until: i32) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).expect("written");
    }

    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        path.to_str().expect("text").to_owned()
    }

    /// The options of a server with this certificate.
    fn options(&self, name: &str) -> [String; 4] {
        let file = |kind: &str| self.path(&format!("{name}.{kind}"));
        ["--tls-cert".to_owned(), file("pem"), "--tls-key".to_owned(), file("key")]
    }

    fn server(&self, name: &str) -> Server {
        Server::start(&self.options(name).each_ref().map(String::as_str))
    }

    /// A shipped scenario against the program's own server, with TLS.
    fn run(&self, scenario: &str, args: &[&str], server_args: &str) -> Ran {
        let options = format!("{} {server_args}", self.options("good").join(" "));
        let ca = self.path("ca.pem");
        let call = Call::shortened(scenario).args(args);
        call.args(&["--ca", &ca, "--server-args", &options]).end()
    }

    fn assert_sound(&self, scenario: &str, args: &[&str], server_args: &str) {
        let ran = self.run(scenario, args, server_args);
        ran.assert_no_findings();
        let target = ran.json["target"].as_str().unwrap_or_default();
        assert!(target.starts_with("wss://"), "{ran}");
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

fn join(url: &str, args: &[&str]) -> Ran {
    Call::shortened("join").args(&["--target", url]).args(args).end()
}

fn assert_could_not(ran: &Ran, reason: &str) {
    assert_eq!(ran.code, Some(3), "{ran}");
    assert!(ran.err.contains(reason), "{reason}: {ran}");
}

#[test]
fn a_run_passes_with_the_right_authority_by_name_and_by_address() {
    let papers = Papers::new();
    let server = papers.server("good");
    let ca = papers.path("ca.pem");
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("wss://{host}:{}", server.address.port());
        let ran = join(&url, &["--ca", &ca]);
        ran.assert_passed();
        assert!(ran.json.to_string().contains("--ca "), "how to do it again: {ran}");
    }
}

#[test]
fn what_is_not_trusted_is_said_in_plain_words() {
    let papers = Papers::new();
    let (ca, stranger) = (papers.path("ca.pem"), papers.path("stranger.pem"));
    for (certificate, trusted, reason) in [
        ("good", &stranger, "not signed by anybody trusted here: --ca FILE"),
        ("expired", &ca, "its certificate expired at 2001-01-01"),
        ("other", &ca, "its certificate is for elsewhere.example, not for localhost"),
    ] {
        let server = papers.server(certificate);
        let url = format!("wss://localhost:{}", server.address.port());
        assert_could_not(&join(&url, &["--ca", trusted]), reason);
        let ran = join(&url, &["--insecure"]);
        ran.assert_passed();
        assert!(ran.err.contains("--insecure: a target's certificate is not checked"), "{ran}");
    }
}

#[test]
fn a_certificate_that_is_named_itself_is_trusted_for_its_name_and_its_time() {
    let papers = Papers::new();
    let server = papers.server("self-made");
    let ca = papers.path("self-made.pem");
    let port = server.address.port();
    join(&format!("wss://localhost:{port}"), &["--ca", &ca]).assert_passed();
    let other = join(&format!("wss://127.0.0.1:{port}"), &["--ca", &ca]);
    assert_could_not(&other, "its certificate is for localhost, not for 127.0.0.1");
    let server = papers.server("self-made-long-ago");
    let url = format!("wss://localhost:{}", server.address.port());
    let late = join(&url, &["--ca", &papers.path("self-made-long-ago.pem")]);
    assert_could_not(&late, "its certificate expired at 2001-01-01");
}

#[test]
fn a_server_of_the_other_kind_is_recognised() {
    let papers = Papers::new();
    let plain = Server::start(&[]);
    let url = format!("wss://{}", plain.address);
    assert_could_not(&join(&url, &["--insecure"]), "it speaks no TLS: is it a ws:// server?");
    let secure = papers.server("good");
    let url = format!("ws://{}", secure.address);
    assert_could_not(&join(&url, &[]), "TLS is spoken here: use wss://");
}

#[test]
fn an_authority_that_cannot_be_read_is_a_mistake_of_the_command_line() {
    let papers = Papers::new();
    for (file, fact) in [("nowhere.pem", "No such file"), ("empty.pem", "no certificate in it")] {
        let ran = join("wss://localhost:1", &["--ca", &papers.path(file)]);
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(ran.err.contains(fact) && ran.err.contains("--ca"), "{ran}");
    }
}

#[test]
fn five_hundred_clients_hear_everything_over_tls() {
    let args = ["--clients", "crowd=500", "--var", "rooms=10"];
    Papers::new().assert_sound("broadcast", &args, "");
}

#[test]
fn a_slow_reader_is_cut_over_tls_too() {
    let papers = Papers::new();
    let options = papers.options("good").join(" ");
    let ca = papers.path("ca.pem");
    sleeper(&["--ca", &ca, "--server-args", &format!("{options} {SLEEPER_SERVER}")])
        .assert_no_findings();
}

/// One stops reading while another speaks; it is cut, and nobody else hears less. The server has to
/// have [`SLEEPER_SERVER`]: more than two seconds pass before it is full, which no reader is late on
/// the busiest machine.
pub(crate) fn sleeper(args: &[&str]) -> Ran {
    const SLEEPER: &str = "scenario: sleeper
about: A client stops reading, and is cut off.
clients:
  speaker: {}
  sleeper: {}
  listeners: { clients: 4, name: listener-$index }
vars: { room: stream-$run }
steps:
  - as: speaker
    each: [ { open: {} }, { join: $room } ]
  - as: listeners
    each: [ { open: {} }, { join: $room } ]
  - as: sleeper
    each: [ { open: {} }, { join: $room } ]
  - as: sleeper
    reads: false
  - together:
      - phase:
          name: flood
          for: 5s
          run:
            - as: speaker
              every: 100/s
              say: { size: 16KiB }
      - repeat:
          times: 1
          steps:
            - as: speaker
              expect: { left: sleeper }
              within: 60s
            - as: sleeper
              reads: true
            - as: sleeper
              expect: { closed: { by: server, code: 4008 } }
              within: 60s
  - settle: 5s
checks: { delivery: exactly-once }
";
    Call::own("sleeper.yaml", SLEEPER).args(args).end()
}

pub(crate) const SLEEPER_SERVER: &str = "--queue-bytes 4194304";

#[test]
fn resets_and_returns_work_over_tls() {
    let args = ["--clients", "crowd=40", "--clients", "speakers=4", "--var", "rooms=4"];
    Papers::new().assert_sound("reconnect", &args, "");
}

#[test]
fn silent_clients_are_found_out_over_tls() {
    let args = ["--clients", "crowd=5", "--heartbeat", "200ms/600ms"];
    Papers::new().assert_sound("timeout-disconnect", &args, "");
}

#[test]
fn large_messages_arrive_whole_over_tls() {
    const LARGE: &str = "scenario: large
about: Messages of many records, from several at once.
clients:
  crowd: { clients: 6, name: user-$index }
vars: { room: lobby-$run }
steps:
  - as: crowd
    open: {}
  - as: crowd
    join: $room
  - phase:
      name: talk
      for: 3s
      run:
        - as: crowd
          every: 60/s
          say: { size: 15KiB }
  - settle: 5s
checks: { delivery: exactly-once }
";
    let papers = Papers::new();
    let ca = papers.path("ca.pem");
    let options = papers.options("good").join(" ");
    let call = Call::own("large.yaml", LARGE);
    let ran = call.args(&["--ca", &ca, "--server-args", &options]).end();
    ran.assert_no_findings();
    assert!(ran.count("/deliveries/received") >= 800, "{ran}");
}

/// What a dialect says by HTTP goes the same secure way.
#[test]
fn http_of_a_dialect_is_https_where_the_target_is_wss() {
    let papers = Papers::new();
    papers.assert_sound("join", &["--dialect", "events"], "");
    papers.assert_sound(
        "broadcast",
        &["--dialect", "events", "--clients", "crowd=10", "--var", "rooms=2"],
        "",
    );
}
