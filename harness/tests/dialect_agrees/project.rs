//! `project`: a text is a text, whatever it is.

use harness::dialect::{EventKind, Verb};
use proptest::prelude::*;
use serde_json::json;

use super::seed::{Bench, CLIENTS, of};

proptest! {
    #[test]
    fn whatever_is_said_is_what_everybody_there_reads(
        rooms in prop::collection::vec("[AB]", CLIENTS),
        said in prop::collection::vec((0..CLIENTS, "\\PC{0,20}"), 1..20),
    ) {
        let mut bench = Bench::new(protocol::Dialect::Project);
        for (client, room) in rooms.iter().enumerate() {
            prop_assert!(protocol::Dialect::Project.admits(room));
            prop_assert!(bench.open(client, Some(room)).is_empty(), "nobody is greeted");
        }
        for (client, text) in said {
            let (_, told) = bench.ask(client, Verb::Say, &json!({ "text": text }));
            let heard = of(&told, EventKind::Message);
            let there = (0..CLIENTS).filter(|other| rooms[*other] == rooms[client]);
            let hearers: Vec<usize> = heard.iter().map(|told| told.client).collect();
            prop_assert_eq!(hearers, there.collect::<Vec<_>>(), "each once, the sender too");
            for told in &told {
                prop_assert_eq!(told.field("text"), json!(text.clone()));
            }
        }
    }
}

#[test]
fn the_room_of_a_path_is_one_that_the_server_admits() {
    let bench = Bench::new(protocol::Dialect::Project);
    let path = |room: &str| bench.file.path(&[("room".to_owned(), json!(room))].into());
    assert_eq!(path("A_b-1").as_deref(), Ok("/ws/project/A_b-1"));
    assert_eq!(path("a/b c").as_deref(), Ok("/ws/project/a%2Fb%20c"), "and is refused there");
    let most = bench.file.limits.room_name_bytes.expect("it is bounded") as usize;
    assert!(protocol::Dialect::Project.admits(&"x".repeat(most)));
    assert!(!protocol::Dialect::Project.admits(&"x".repeat(most + 1)));
}
