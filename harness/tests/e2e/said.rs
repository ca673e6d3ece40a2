//! What is said where a newcomer is told the room's content like a write.

use super::runs::Call;

/// The first words in a room look like its content to one who came just before; to one who comes
/// after them, the same frame is the content.
const FIRST_WORDS: &str = r#"
scenario: first-words
vars: { room: said-$run }
clients: { alice: {}, bob: {}, late: {} }
steps:
  - as: alice
    each: [ { open: {} }, { join: $room } ]
  - as: bob
    each: [ { open: {} }, { join: $room } ]
  - as: alice
    say: the first
  - as: bob
    expect: { message: { text: the first } }
    within: 30s
  - as: late
    each: [ { open: {} }, { join: $room } ]
  - as: late
    expect_none: { of: [message] }
  - as: bob
    say: the second
  - as: late
    expect: { message: { text: the second } }
    within: 30s
checks: { delivery: exactly-once, echo: once }
"#;

#[test]
fn first_words_are_said_and_to_those_who_come_later_they_are_content() {
    let call = Call::own("first-words.yaml", FIRST_WORDS);
    call.args(&["--dialect", "rooms"]).end().assert_passed();
}
