//! `project`: everybody in the speaker's project gets one copy of a text, the speaker alone its bytes.

use proptest::prelude::*;
use protocol::Dialect;

use super::{CLIENTS, Does, Game, Happened, Step, Verdict, ends, ensure, says, who};

pub(super) const GAME: Game = Game { dialect: Dialect::Project, steps, judge };

pub(super) const COMES_TO: &[&str] = &["t1\n", "{\"type\":", "82:[", "\n\n"];

fn steps() -> BoxedStrategy<Vec<Step>> {
    let names = prop::sample::select(vec![None, Some("default"), Some("p"), Some("P")]);
    let texts = prop_oneof!["", "t[0-9]{1,3}", r#"\{"type":"chat"\}"#, ".{1,6}"];
    let does = prop_oneof![
        3 => names.prop_map(Does::Opens),
        10 => texts.prop_map(says),
        2 => prop::collection::vec(any::<u8>(), 0..5).prop_map(Does::Bytes),
        2 => ends(),
    ];
    prop::collection::vec((who(), does), 1..80).boxed()
}

/// Texts are opaque here: they are compared as they are.
fn judge(happened: &[Happened]) -> Verdict {
    let mut projects: Vec<Option<&str>> = vec![None; CLIENTS];
    for step in happened {
        let wrong = |why: &str| format!("{why}\nat {step:#?}");
        ensure(step.ghosts == 0, || wrong("frames after the end"))?;
        ensure(step.closed.is_none(), || wrong("closed"))?;
        let who = step.who;
        let mut expected: Vec<Vec<String>> = vec![Vec::new(); CLIENTS];
        match &step.does {
            Does::Opens(project) => projects[who] = Some(project.unwrap_or("default")),
            Does::Ends(_) => projects[who] = None,
            Does::Bytes(bytes) => expected[who].push(format!("82:{bytes:?}")),
            Does::Says(text) => {
                for (client, project) in projects.iter().enumerate() {
                    if *project == projects[who] {
                        expected[client].push(text.clone());
                    }
                }
            }
            _ => {}
        }
        ensure(step.got == expected, || wrong(&format!("to get was {expected:#?}")))?;
    }
    Ok(())
}
