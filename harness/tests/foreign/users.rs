//! Users' own data: what is wrong with a file is told at the word that names it.

use super::harness;
use super::shop::{DIALECT, PEOPLE, SCENARIO};

fn run(people: Option<&str>, scenario: &str, more: &[&str]) -> super::Ran {
    let mut files = vec![("shop.yaml", DIALECT), ("meeting.yaml", scenario)];
    files.extend(people.map(|people| ("people.csv", people)));
    let args = ["run", "meeting.yaml", "--target", "ws://127.0.0.1:1", "-q"];
    harness(&files, &[&args[..], more].concat())
}

#[test]
fn a_file_that_does_not_fit_is_told_where_it_is_named() {
    let fails = |people: Option<&str>, words: &[&str]| {
        let ran = run(people, SCENARIO, &[]);
        ran.assert_says(2, &[words, &["[meeting.yaml:3:8]"]].concat());
    };
    fails(None, &["people.csv: cannot be read"]);
    fails(
        Some("login,password\nann,x\n"),
        &["people.csv: 1 users for 4 clients", "each client needs a line of its own"],
    );
    let without = PEOPLE.replace("password", "pass");
    fails(
        Some(&without),
        &["people.csv: there is no column `password`", "dialect shop asks for it"],
    );
    fails(Some("login,login\n"), &["two columns are called `login`"]);
    fails(Some("login,password\nann\n"), &["found record with 1 fields"]);
}

#[test]
fn a_dialect_that_asks_for_users_data_says_how_to_give_it() {
    let scenario = SCENARIO.replace("users: people.csv\n", "").replace("$user.login", "$index-x");
    let scenario = scenario.replace("ann: { name: $index-x }", "ann: {}");
    let ran = run(Some(PEOPLE), &scenario, &[]);
    let says = "dialect shop asks for `$user.login` of each client";
    ran.assert_says(2, &[says, "give the scenario `users: FILE`, or the run `--users FILE`"]);
    // With it the run gets as far as the target.
    let ran = run(Some(PEOPLE), &scenario, &["--users", "people.csv"]);
    ran.assert_says(3, &["connection refused"]);
}

#[test]
fn without_a_file_nobody_has_data() {
    let scenario = SCENARIO.replace("users: people.csv\n", "");
    run(Some(PEOPLE), &scenario, &[])
        .assert_says(2, &["no client is called `user`", "meeting.yaml:4"]);
}
