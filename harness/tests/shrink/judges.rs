//! The search, with judges that are made up: what is kept, what is not, and that it ends.

use harness::shrink::{Came, RUNS, Scope, Search, Size, Tree};
use proptest::prelude::*;

/// A scenario of several groups, phases and steps inside steps.
pub(crate) const LARGE: &str = "
scenario: large
about: Much goes on.
needs: [join, say]
vars: { rooms: 4, unused: 3 }
clients:
  alice: {}
  bob: { name: bob-$run }
  crowd: { clients: 198, ramp: 500/s, vars: { room: room-$shard(rooms)-$run } }
steps:
  - as: alice
    each: [ { open: {} }, { join: lobby-$run } ]
  - as: bob
    each: [ { open: {} }, { join: lobby-$run } ]
  - as: crowd
    open: {}
    within: 10s
  - as: crowd
    join: $room
  - network: { swap: two-senders, to: client, event: message, at: bob, rate: 1/500, after: 20 }
  - wait: 2s
  - phase:
      name: steady
      for: 10s
      run:
        - as: crowd
          every: 150/s
          say: { size: 1KiB }
        - as: alice
          every: 50/s
          say: { size: 128B }
  - repeat:
      times: 20
      steps:
        - as: alice
          say: again
        - as: bob
          expect: { message: { from: alice } }
  - settle: 10s
checks: { delivery: exactly-once, order: total }
thresholds:
  messages.lost: { count: 0 }
";

pub(crate) fn tree(text: &str) -> Tree {
    Tree::read(text).expect("YAML")
}

/// Searches with a judge to the end; what is left, and how many runs it took.
fn search(begin: &str, mut judge: impl FnMut(&str, Size) -> Came) -> (Option<Tree>, u32) {
    let mut search = Search::new(tree(begin), Scope::All);
    while let Some(candidate) = search.propose() {
        let came = judge(&candidate.yaml(), Size::of(candidate));
        search.told(came);
        assert!(search.tally().runs < 20_000, "it does not end");
    }
    (search.found().cloned(), search.tally().runs)
}

#[test]
fn the_size_of_a_scenario_is_counted() {
    let size = Size::of(&tree(LARGE));
    assert_eq!(size, Size { clients: 200, messages: 2_020, steps: 17 });
}

#[test]
fn where_all_fails_one_client_and_one_step_are_left() {
    let (left, _) = search(LARGE, |_, _| Came::Same);
    let left = left.expect("all failed");
    let size = Size::of(&left);
    assert_eq!((size.clients, size.steps), (1, 1), "{}", left.yaml());
}

#[test]
fn what_the_failure_needs_stays_and_nothing_else() {
    // Two who talk, one who hears, the rule: as a fault of the network would have it.
    let needs = |text: &str, size: Size| {
        let talks = text.contains("as: crowd") && size.messages >= 2 && size.clients >= 3;
        talks && text.contains("network:") && text.contains("join: ")
    };
    let came = |text: &str, size| if needs(text, size) { Came::Same } else { Came::Passed };
    let (left, runs) = search(LARGE, came);
    let left = left.expect("it failed");
    let size = Size::of(&left);
    assert!(size.clients <= 4 && (2..=4).contains(&size.messages), "{}", left.yaml());
    assert!(left.yaml().contains("rate: 1/1") || !left.yaml().contains("rate"), "{}", left.yaml());
    assert!(runs < 600, "{runs} runs");
}

#[test]
fn what_fails_only_sometimes_is_not_kept() {
    // Anything small fails twice and then passes.
    let mut turn = 0;
    let (left, _) = search(LARGE, |_, size| {
        if size == Size::of(&tree(LARGE)) {
            return Came::Same;
        }
        turn += 1;
        if turn % RUNS == 0 { Came::Passed } else { Came::Same }
    });
    let left = left.expect("the scenario as it is fails");
    assert_eq!(Size::of(&left), Size::of(&tree(LARGE)), "{}", left.yaml());
}

/// Of many that fail every second time, some fail three times of three. They are not what is left.
#[test]
fn what_failed_by_chance_is_given_up_again() {
    let mut random = 1_u32;
    let (left, _) = search(LARGE, |_, size| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match size.clients >= 50 || random >> 31 == 0 {
            true => Came::Same,
            false => Came::Passed,
        }
    });
    let left = left.expect("it failed");
    assert!(Size::of(&left).clients >= 50, "{}", left.yaml());
}

#[test]
fn a_failure_that_never_comes_again_leaves_nothing() {
    let (left, runs) = search(LARGE, |_, _| Came::Passed);
    assert_eq!(left, None);
    assert!(runs > 10, "{runs} runs");
}

#[test]
fn a_search_that_may_not_take_steps_away_leaves_them() {
    let mut search = Search::new(tree(LARGE), Scope::Careful);
    while search.propose().is_some() {
        search.told(Came::Same);
    }
    let left = search.found().expect("all failed").yaml();
    // What stands behind the failure may go, what stands before it not: here the first is enough.
    assert!(left.contains("as: alice") && left.contains("each:"), "{left}");
}

/// When the time is over nothing smaller is tried: what is left is run once as its own command runs it,
/// and if it does not fail so, it is what was kept before.
#[test]
fn a_search_whose_time_is_over_only_proves_what_is_left() {
    let mut search = Search::new(tree(LARGE), Scope::All);
    let mut kept = Vec::new();
    while kept.len() < 3 {
        search.propose().expect("there is much to take away");
        search.told(Came::Same);
        let left = search.found().map(Tree::yaml);
        if left.is_some() && left != kept.last().cloned() {
            kept.extend(left);
        }
    }
    // One that has been begun is not gone on with.
    search.propose().expect("there is more");
    search.end();
    for came in [Came::Passed, Came::Same] {
        let candidate = search.propose().expect("it has not been proven").yaml();
        assert_eq!(Some(&candidate), kept.last());
        assert!(search.is_left());
        search.told(came);
        if came == Came::Passed {
            kept.pop();
        }
    }
    assert_eq!(search.propose(), None);
    assert_eq!(search.found().map(Tree::yaml).as_ref(), kept.last());
    assert_eq!(search.proof(), RUNS + 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the judge says, the search ends, and what it keeps failed in all of its runs.
    #[test]
    fn it_ends_with_something_that_failed_each_time(
        clients in 1_u64..9, messages in 0_u64..40, steps in 1_u64..9, odd in any::<u64>(),
    ) {
        let mut last: Option<(String, u32)> = None;
        let mut kept = std::collections::HashSet::new();
        let (left, _) = search(LARGE, |text, size| {
            // Large enough, and not one of those that by chance do not fail: no bound of its own.
            let chance = text.bytes().fold(odd, |sum, byte| sum.rotate_left(5) ^ u64::from(byte)) % 4;
            let large = size.clients >= clients && size.messages >= messages && size.steps >= steps;
            if !large || chance == 0 {
                last = None;
                return if chance == 1 { Came::Invalid } else { Came::Passed };
            }
            let before = last.take().filter(|(known, _)| known == text).map_or(0, |(_, n)| n);
            last = Some((text.to_owned(), before + 1));
            if before + 1 == RUNS {
                kept.insert(text.to_owned());
            }
            Came::Same
        });
        if let Some(left) = left {
            prop_assert!(kept.contains(&left.yaml()), "{}", left.yaml());
            prop_assert!(Size::of(&left).clients >= clients);
        }
    }
}
