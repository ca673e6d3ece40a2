//! Every candidate is written as YAML that reads back as the same, and the scenarios that come with
//! the program are scenarios when they have been written anew.

use harness::plan::Source;
use harness::scenario::{Scenario, files};
use harness::shrink::{Came, Scope, Search, Tree};

use super::judges::LARGE;

/// Every scenario and case that comes with the program.
fn shipped() -> Vec<Source> {
    let all = files::shipped_tree().into_iter().map(|(_, source)| source);
    all.filter(|source| files::kind(&source.text) == files::Kind::Scenario).collect()
}

#[test]
fn shipped_scenarios_are_the_same_when_they_are_written_anew() {
    let all = shipped();
    assert!(all.len() > 100, "{} scenarios", all.len());
    for source in all {
        let tree = Tree::read(&source.text).expect("YAML");
        let text = tree.yaml();
        let again = Tree::read(&text).unwrap_or_else(|_| panic!("{}:\n{text}", source.name));
        assert_eq!(again, tree, "{}:\n{text}", source.name);
        // What only some dialects give values to, only these can tell.
        if Scenario::parse(source.clone()).is_ok() {
            let anew = Source { name: source.name.clone(), text: text.as_str().into() };
            let problems = Scenario::parse(anew).err().map(|problems| problems.lines());
            assert_eq!(problems, None, "{text}");
        }
    }
}

#[test]
fn every_candidate_reads_back_as_the_same() {
    let large = Source { name: "large".to_owned(), text: LARGE.into() };
    let (mut seen, mut turn) = (0_u32, 0_u32);
    // A part of them is enough for all kinds of steps.
    for source in shipped().into_iter().step_by(10).chain([large]) {
        let tree = Tree::read(&source.text).expect("YAML");
        let mut search = Search::new(tree, Scope::All);
        // Now and then one fails: the search goes many ways.
        while let Some(candidate) = search.propose() {
            let text = candidate.yaml();
            assert_eq!(Tree::read(&text).expect("YAML"), *candidate, "{}:\n{text}", source.name);
            seen += 1;
            turn = turn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            search.told(if turn >> 29 < 5 { Came::Same } else { Came::Passed });
            if search.tally().candidates > 30 {
                break;
            }
        }
    }
    assert!(seen > 300, "{seen} candidates");
}
