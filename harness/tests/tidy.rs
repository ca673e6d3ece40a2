//! Holds what must stay true of the house as a whole (docs/ARCHITECTURE.md), by reading its manifests
//! and sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::check::TABLE;

/// A file of the project that is under version control.
struct File {
    /// From the root, with `/`.
    path: String,
    text: String,
}

impl File {
    /// Its code without comments and without strings' content being looked at: what it may depend on.
    fn code(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code))
    }

    /// Whether its code has this word, which may hold `::`.
    fn names(&self, word: &str) -> bool {
        let part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        self.code().any(|line| {
            line.match_indices(word).any(|(at, _)| {
                let before = line.get(..at).and_then(|it| it.chars().next_back());
                let after = line.get(at + word.len()..).and_then(|it| it.chars().next());
                !before.is_some_and(part)
                    && (word.ends_with("::")
                        || !after.is_some_and(|c| c.is_alphanumeric() || c == '_'))
            })
        })
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every text file of the project; those that are not under version control yet, too.
fn files() -> Vec<File> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root());
    let listed = git.output().expect("git is there");
    let names = if listed.status.success() {
        String::from_utf8(listed.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
    } else {
        // An unpacked archive: everything that is not built.
        below("")
    };
    let files = names.into_iter().filter_map(|path| {
        let text = std::fs::read_to_string(root().join(&path)).ok()?;
        Some(File { path, text })
    });
    files.collect()
}

fn below(directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join(directory)).expect("a directory").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true if ["target", ".git", "node_modules", "reports"].contains(&name.as_str()) => {}
            true => found.extend(below(&path)),
            false => found.push(path),
        }
    }
    found
}

fn sources(under: &str) -> Vec<File> {
    let mut files = files();
    files.retain(|file| {
        file.path.starts_with(under)
            && Path::new(&file.path).extension().is_some_and(|it| it == "rs")
    });
    assert!(!files.is_empty(), "no sources under {under}");
    files
}

/// The names in one section of a manifest.
fn section(manifest: &str, name: &str) -> BTreeSet<String> {
    let text = read(manifest);
    let heading = format!("[{name}]");
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split(['=', '.']).next()).map(str::trim);
    names.filter(|name| !name.is_empty() && !name.starts_with('#')).map(str::to_owned).collect()
}

fn assert_none(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}\n  {}", breaches.join("\n  "));
}

#[test]
fn crates_depend_one_way() {
    const OURS: [&str; 4] = ["protocol", "reference-server", "harness", "benches"];
    let wanted: [(&str, &[&str]); 4] = [
        ("protocol", &[]),
        ("reference-server", &["protocol"]),
        ("harness", &["reference-server"]),
        ("benches", &[]),
    ];
    for (name, allowed) in wanted {
        let all = section(&format!("{name}/Cargo.toml"), "dependencies");
        let ours: Vec<&str> = OURS.into_iter().filter(|it| all.contains(*it)).collect();
        assert_eq!(ours, allowed, "what {name} depends on");
    }
}

#[test]
fn the_protocol_has_no_async_no_socket_no_clock_no_thread_no_file() {
    let crates = section("protocol/Cargo.toml", "dependencies");
    let pure = [
        "bytes",
        "form_urlencoded",
        "hmac",
        "jiff",
        "json-patch",
        "md-5",
        "memchr",
        "rand",
        "serde",
        "serde_json",
        "sha2",
        "thiserror",
    ];
    let others: Vec<String> =
        crates.into_iter().filter(|name| !pure.contains(&name.as_str())).collect();
    assert_none("a new dependency of protocol: is it pure? then list it here", &others);
    let impure = [
        "std::net",
        "std::fs",
        "std::thread",
        "std::env",
        "std::process",
        "Instant",
        "SystemTime",
        "async",
        "await",
        "HashMap",
        "HashSet",
        "SysRng",
        "Mutex",
        "RwLock",
    ];
    let mut breaches = Vec::new();
    for file in sources("protocol/src/") {
        let found =
            impure.into_iter().filter(|word| file.names(word) || file.names(&format!("{word}::")));
        breaches.extend(found.map(|word| format!("{}: {word}", file.path)));
    }
    assert_none("protocol gets these from outside", &breaches);
}

#[test]
fn what_judges_knows_nothing_of_what_is_judged() {
    let mut breaches = Vec::new();
    for file in sources("harness/src/") {
        let linked = ["reference_server", "reference_server::", "protocol::"];
        if linked.into_iter().any(|word| file.names(word)) {
            breaches.push(file.path);
        }
    }
    assert_eq!(breaches, ["harness/src/cli/serve.rs"], "only this file links the server");
}

#[test]
fn the_runtime_is_named_where_bytes_move_and_nowhere_else() {
    const RUNTIME: [&str; 7] = [
        "async_std::",
        "async_io::",
        "futures_lite::",
        "futures_util::",
        "async fn",
        "async move",
        "await",
    ];
    const MOVERS: [&str; 22] = [
        "accept.rs",
        "cli.rs",
        "connection.rs",
        "conversation.rs",
        "handler.rs",
        "head.rs",
        "lib.rs",
        "mutants/heartbeat.rs",
        "outbound.rs",
        "publish.rs",
        "pusher/api.rs",
        "pusher/backend.rs",
        "pusher/post.rs",
        "pusher/sender.rs",
        "routes.rs",
        "run.rs",
        "server.rs",
        "shutdown.rs",
        "socket.rs",
        "stream.rs",
        "upgrade.rs",
        "world.rs",
    ];
    let mut breaches = Vec::new();
    for file in sources("harness/src/").into_iter().chain(sources("reference-server/src/")) {
        let moves = file.path.starts_with("harness/src/drive/")
            || file.path.starts_with("reference-server/src/transport/")
            || MOVERS.iter().any(|name| file.path == format!("reference-server/src/{name}"));
        if !moves {
            let found = RUNTIME.into_iter().filter(|word| file.names(word));
            breaches.extend(found.map(|word| format!("{}: {word}", file.path)));
        }
    }
    assert_none("async only where bytes move", &breaches);
}

#[test]
fn every_source_says_what_it_is_for_and_tells_one_story() {
    let mut breaches = Vec::new();
    for file in sources("") {
        if !file.text.starts_with("//! ") {
            breaches.push(format!("{}: does not begin with `//! `", file.path));
        }
        let lines = file.text.lines().count();
        if lines > 500 {
            breaches.push(format!("{}: {lines} lines; look for the second story", file.path));
        }
    }
    assert_none("HOUSE-STYLE", &breaches);
}

#[test]
fn no_file_names_a_machine() {
    // Put together here, so that this file does not name them either.
    let words = [
        ["/ho", "me/"],
        ["/ro", "ot/"],
        ["/Use", "rs/"],
        ["/tm", "p/wt"],
        ["/wo", "rk/"],
        ["registry.", "npmjs"],
        ["static.crates", ".io"],
        ["index.crates", ".io"],
        ["artifact", "ory"],
        [".inter", "nal/"],
    ];
    let words: Vec<String> = words.into_iter().map(|parts| parts.concat()).collect();
    let mut breaches = Vec::new();
    for file in files() {
        for (line, number) in file.text.lines().zip(1..) {
            let found = words.iter().filter(|word| line.contains(word.as_str()));
            breaches.extend(found.map(|word| format!("{}:{number}: {word}", file.path)));
        }
    }
    assert_none("paths and hosts of one machine", &breaches);
}

#[test]
fn no_other_runtime_is_built() {
    // The lock file lists what WebAssembly would need; this is what is built here.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "tree",
        "--workspace",
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--locked",
    ]);
    let tree =
        cargo.args(["--offline", "--format", "{p}"]).current_dir(root()).output().expect("cargo");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("UTF-8");
    let found: Vec<&str> = tree.lines().filter(|line| line.starts_with("tokio ")).collect();
    assert!(tree.lines().any(|line| line.starts_with("async-std ")), "the tree was read");
    assert_eq!(found, [""; 0], "tokio came in");
}

#[test]
fn every_check_has_a_test_that_names_it() {
    let own = checks_with_tests(sources("harness/src/check/"));
    let tests: Vec<File> = sources("harness/tests/").into_iter().chain(own).collect();
    let names = TABLE.iter().map(|rule| rule.name.to_owned());
    let untested = names.filter(|name| {
        let quoted = format!("\"{name}\"");
        !tests.iter().any(|file| file.text.contains(&quoted))
    });
    assert_none("a check without a test", &untested.collect::<Vec<_>>());
}

/// The test modules inside the checks' own files.
fn checks_with_tests(files: Vec<File>) -> impl Iterator<Item = File> {
    files.into_iter().filter_map(|File { path, text }| {
        let (_, tests) = text.split_once("mod tests {")?;
        Some(File { path, text: tests.to_owned() })
    })
}

#[test]
fn every_shipped_scenario_and_dialect_parses() {
    let checked = Command::new(env!("CARGO_BIN_EXE_harness")).arg("check").output();
    let checked = checked.expect("the harness runs");
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
}

#[test]
fn the_architecture_page_stays_short_and_names_every_room() {
    let page = read("docs/ARCHITECTURE.md");
    assert!(page.lines().count() <= 200, "{} lines", page.lines().count());
    let mut missing = Vec::new();
    for file in sources("harness/src/")
        .iter()
        .chain(&sources("protocol/src/"))
        .chain(&sources("reference-server/src/"))
    {
        let (_, inside) = file.path.split_once("/src/").expect("a source");
        let room = inside
            .split_once('/')
            .map_or_else(|| inside.to_owned(), |(room, _)| format!("{room}/"));
        if !["lib.rs", "main.rs"].contains(&room.as_str()) && !page.contains(&format!("`{room}`")) {
            missing.push(file.path.clone());
        }
    }
    assert_none("docs/ARCHITECTURE.md does not say what these are for", &missing);
}
