//! docs/DIALECTS.md as a test: its commands are run in their order, what it says of their output and exit
//! codes is so, and the YAML that it shows stands in the example's files.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::server::{Foreign, harness, prepared, root, said};

/// Where the guide has its server; the test's one is elsewhere.
const SHOWN: &str = "127.0.0.1:8090";
const PORT: &str = "--port 8090";

/// A part of the guide between two fences.
struct Block {
    language: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let guide = std::fs::read_to_string(root().join("docs/DIALECTS.md")).expect("the guide");
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for line in guide.lines() {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(language) => {
                open = true;
                blocks.push(Block { language: language.to_owned(), text: String::new() });
            }
            None if open => {
                let block = blocks.last_mut().expect("the fence that opened it");
                block.text += line;
                block.text.push('\n');
            }
            None => {}
        }
    }
    assert!(!open, "a fence that nothing closes");
    blocks
}

/// The commands of a block, each with the exit code that it ends with.
fn commands(text: &str) -> Vec<(String, i32)> {
    let joined = text.replace("\\\n", " ");
    let mut commands: Vec<(String, i32)> = Vec::new();
    for line in joined.lines().filter(|line| !line.trim().is_empty()) {
        match line.strip_prefix("# exit code ") {
            Some(code) => {
                commands.last_mut().expect("the command").1 =
                    code.trim().parse().expect("a number");
            }
            None => commands.push((line.to_owned(), 0)),
        }
    }
    commands
}

/// A command as a shell runs it, in this directory, where `harness` is the one under test.
fn shell(line: &str, place: &Path) -> Command {
    let program = harness();
    let beside = Path::new(program.get_program()).parent().expect("a directory");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec {line}")]).current_dir(place);
    shell.env("PATH", format!("{}:{path}", beside.display())).env("NO_COLOR", "1");
    shell.env_remove("HARNESS_TARGET");
    shell
}

/// Every line that the guide shows is there, in this order; `…` stands for whatever.
fn assert_shows(output: &Output, shown: &str, line: &str) {
    let out = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let mut rest = out.as_str();
    for part in shown.lines().flat_map(|line| line.split('…')).map(str::trim) {
        let found = rest.find(part).unwrap_or_else(|| panic!("no `{part}` after `{line}`:\n{out}"));
        rest = rest.get(found + part.len()..).unwrap_or_default();
    }
}

#[test]
fn every_command_of_the_guide_does_what_the_guide_says() {
    if prepared().is_none() {
        return;
    }
    let place = tempfile::tempdir().expect("a temporary directory");
    std::os::unix::fs::symlink(root().join("interop"), place.path().join("interop"))
        .expect("linked");
    let mut server: Option<Foreign> = None;
    let mut last: Option<(Output, String)> = None;
    let mut ran = 0;
    for block in blocks() {
        if block.language == "text" {
            let (output, line) = last.as_ref().expect("a command before its output");
            assert_shows(output, &block.text, line);
        }
        if block.language != "sh" {
            continue;
        }
        for (line, code) in commands(&block.text) {
            if line.starts_with("node ") {
                // The one before has to go first: only one is judged at a time.
                drop(server.take());
                server = Foreign::begin(shell(&line.replace(PORT, "--port 0"), place.path()));
                continue;
            }
            let url = server.as_ref().map(|server| server.url.as_str()).unwrap_or_default();
            let address = url.trim_start_matches("ws://");
            let mut command = shell(&line.replace(SHOWN, address), place.path());
            let output = command.stdin(Stdio::null()).output().expect("a shell");
            assert_eq!(output.status.code(), Some(code), "{line}\n{}", said(&output));
            last = Some((output, line));
            ran += 1;
        }
    }
    assert!(ran > 5, "only {ran} commands");
}

#[test]
fn every_piece_of_yaml_stands_in_the_example() {
    let mut files = Vec::new();
    collect(&root().join("interop/example"), &mut files);
    for block in blocks().iter().filter(|block| block.language == "yaml") {
        let found = files.iter().any(|text| text.contains(&block.text));
        assert!(found, "no file of interop/example has this:\n{}", block.text);
    }
}

fn collect(directory: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push(std::fs::read_to_string(path).expect("a text")),
        }
    }
}
