//! Servers of protocols that the harness has never heard of, described by a file: login and tokens,
//! cookies, tickets, several frames for one answer, JSON inside texts, signed requests, close codes that say
//! whether to come back; and a protocol of plain lines.

#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

mod back;
mod lines;
mod net;
mod shop;
mod signed;
mod users;

use std::path::Path;
use std::process::Command;

/// What came of a call of `harness`.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    /// Everything in the files of the report.
    pub(crate) report: String,
}

/// Calls `harness` in a directory with these files.
pub(crate) fn harness(files: &[(&str, &str)], args: &[&str]) -> Ran {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).expect("written");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
    command.args(args).current_dir(directory.path()).env("NO_COLOR", "1");
    for name in ["HARNESS_TARGET", "HARNESS_DIALECT", "HARNESS_USERS"] {
        command.env_remove(name);
    }
    let output = command.output().expect("the harness runs");
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&shown(directory.path()), "DIR");
    let report = files_in(&directory.path().join("r"));
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    Ran { code: output.status.code(), out, err, report }
}

fn files_in(directory: &Path) -> String {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let read = |path: &Path| match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => files_in(path),
    };
    entries.map(|entry| read(&entry.path())).collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

impl Ran {
    /// It passed, with this many deliveries, none of them lost.
    pub(crate) fn assert_passed(&self, received: u64) {
        assert_eq!(self.code, Some(0), "{self:#?}");
        let deliveries = format!("received {received}   lost 0");
        assert!(self.out.contains(&deliveries), "{deliveries} is not in {}", self.out);
    }

    /// It ended like this, and said so.
    pub(crate) fn assert_says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        let all = format!("{}{}", self.out, self.err);
        let flat = all.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(flat.contains(word), "`{word}` is not in {all}");
        }
    }
}
