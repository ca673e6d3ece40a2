//! `harness quick` on a server that is not ours: the right counts, and each of its faults found.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use super::runs::{Call, Ran, Server};

const JOIN: &str = r#"{"type":"join","room":"$room"}"#;
const SAY: &str = r#"{"type":"chat","room":"$room","text":"$text"}"#;

/// A broadcast server on Node's `ws`, the way people write them.
struct Node {
    child: Child,
    url: String,
}

impl Node {
    /// With this fault; none where Node is missing, which is told (and fails in CI).
    fn start(fault: &str) -> Option<Self> {
        let program = installed()?.join("broadcast.mjs");
        let mut command = Command::new("node");
        command.arg(program).arg(fault).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("node starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let url = line.trim().strip_prefix("listening on ").expect("an announcement").to_owned();
        Some(Self { child, url })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The directory in which the server and its packages lie, installed once.
#[expect(clippy::print_stdout, reason = "what is skipped is told")]
fn installed() -> Option<&'static Path> {
    static INSTALLED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match INSTALLED.get_or_init(install) {
        Ok(directory) => Some(directory),
        Err(reason) if std::env::var("CI").is_ok_and(|ci| ci == "true") => panic!("{reason}"),
        Err(reason) => {
            println!("skipped: {reason}");
            None
        }
    }
}

fn install() -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/node");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node");
    std::fs::create_dir_all(&directory).expect("a directory below target");
    for file in ["package.json", "broadcast.mjs"] {
        std::fs::copy(source.join(file), directory.join(file)).expect("copied");
    }
    if directory.join("node_modules/ws/package.json").exists() {
        return Ok(directory);
    }
    let npm = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"])
        .current_dir(&directory)
        .output()
        .map_err(|error| format!("npm is not there: {error}"))?;
    let said = String::from_utf8_lossy(&npm.stderr).into_owned();
    npm.status.success().then_some(directory).ok_or_else(|| format!("npm install failed: {said}"))
}

/// 20 clients in 4 rooms, 100 messages a second for 4 seconds.
fn quick(url: &str, more: &[&str]) -> Ran {
    let args = ["quick", "--target", url, "--join", JOIN, "--say", SAY, "--clients", "20"];
    let call = Call::new(&args).args(&["--rooms", "4", "--rate", "100/s", "--for", "4s"]);
    let report = call.report_path();
    let report = report.to_str().expect("UTF-8");
    call.args(&["--report", report, "--expect-echo", "never"]).args(more).end()
}

/// Every message is owed to the four others of its room.
fn assert_accounted(ran: &Ran) {
    ran.assert_passed();
    let owed = ran.count("/deliveries/owed");
    assert_eq!(owed % 4, 0, "{ran}");
    // 4 s at 100/s, and of the warm-up of 2 s as much as came after everybody was in.
    assert!((1600..=2420).contains(&owed), "{owed} owed: {ran}");
    assert_eq!(ran.count("/deliveries/received"), owed, "{ran}");
    for counter in ["lost", "duplicated", "disordered"] {
        assert_eq!(ran.count(&format!("/deliveries/{counter}")), 0, "{counter}: {ran}");
    }
}

#[test]
fn a_node_server_that_does_right_passes_with_the_right_counts() {
    let Some(node) = Node::start("none") else { return };
    // It judges no times, so a busy machine is no excuse.
    assert_accounted(&quick(&node.url, &[]));
}

#[test]
fn a_node_server_that_drops_one_in_five_hundred_is_found_out() {
    let Some(node) = Node::start("loss") else { return };
    let ran = quick(&node.url, &[]);
    ran.assert_failed("delivery", "loss");
    assert_eq!(ran.count("/deliveries/lost"), ran.count("/deliveries/owed") / 500, "{ran}");
}

#[test]
fn a_node_server_that_doubles_messages_is_found_out() {
    let Some(node) = Node::start("duplicate") else { return };
    let ran = quick(&node.url, &[]);
    ran.assert_failed("delivery", "duplicate");
    assert_eq!(ran.count("/deliveries/duplicated"), ran.count("/deliveries/owed") / 500, "{ran}");
}

#[test]
fn a_node_server_that_swaps_two_senders_at_one_receiver_is_found_out() {
    let Some(node) = Node::start("disorder") else { return };
    quick(&node.url, &[]).assert_failed("order", "disorder");
}

#[test]
fn a_node_server_that_sends_to_the_wrong_room_is_found_out() {
    let Some(node) = Node::start("leak") else { return };
    quick(&node.url, &[]).assert_failed("delivery", "leak");
}

#[test]
fn a_node_server_that_forgets_one_member_is_found_out() {
    let Some(node) = Node::start("deaf") else { return };
    quick(&node.url, &[]).assert_failed("hearing", "loss");
}

#[test]
fn a_server_where_nobody_hears_anybody_is_not_called_right() {
    let server = Server::start(&[]);
    // The echo endpoint sends everything back to its sender and to nobody else: nothing is heard, so
    // nothing can be said of it.
    let url = format!("{}/echo", server.url());
    let ran = Call::new(&["quick", "--target", &url, "--say", "$text", "--clients", "2"])
        .args(&["--rate", "20/s", "--for", "1s", "--report", "report"])
        .end();
    assert_eq!(ran.code, Some(4), "{ran}");
}

#[test]
fn the_files_that_quick_writes_run_as_they_are() {
    let Some(node) = Node::start("none") else { return };
    let made = Call::new(&["quick", "--target", &node.url, "--join", JOIN, "--say", SAY])
        .args(&["--clients", "10", "--rate", "50/s", "--for", "1s", "--new", "mine"])
        .args(&["--expect-echo", "never"])
        .end();
    assert_eq!(made.code, Some(0), "{made}");
    let there = made.report.path();
    let (scenario, dialect) = (there.join("mine.yaml"), there.join("mine-dialect.yaml"));
    let [scenario, dialect] = [&scenario, &dialect].map(|path| path.to_str().expect("UTF-8"));
    Call::run(scenario).args(&["--dialect", dialect, "--target", &node.url]).end().assert_passed();
    let checked = Call::new(&["check", scenario, dialect]).end();
    assert_eq!(checked.code, Some(0), "{checked}");
}
