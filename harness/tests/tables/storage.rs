//! A room's content: its versions, its history, and what newcomers are told of it.

use super::*;

#[test]
fn storage_has_one_history() {
    let told = [("storage", Class::Storage)];
    let ops = |n: u64| Arc::new(json!([{ "put": { "key": "k", "value": n } }]));
    let stored = |version, n| What::Stored {
        room: ROOM,
        who: Who::Untold,
        version,
        ops: ops(n),
        number: None,
    };
    let storing = |request, n| What::Storing { room: ROOM, request, ops: ops(n) };
    let acked = |request, version| What::StoreAcked { room: ROOM, request, version: Some(version) };
    let with_snapshot = |version: u64, content: Value| {
        let mut entry = entry(&[0, 1], 0, 2);
        entry.storage = Some((version, Arc::new(content)));
        entered(entry)
    };
    let base = |more: Vec<(u64, u32, What)>| {
        let mut history = with(more);
        let mut first = entry(&[0], 0, 1);
        first.storage = Some((0, Arc::new(json!({}))));
        history[3].2 = entered(first);
        history[5].2 = with_snapshot(0, json!({}));
        history
    };
    let write = |seen: &[(u64, u64)]| {
        let mut history = vec![(10, 0, storing(1, 7)), (11, 0, storing(2, 8))];
        history.extend([(12, 0, acked(1, 1)), (13, 0, acked(2, 2))]);
        history.extend([(14, 0, stored(1, 7)), (15, 0, stored(2, 8))]);
        history.extend(seen.iter().map(|(version, n)| (20, 1, stored(*version, *n))));
        base(history)
    };
    check("all see both", &write(&[(1, 7), (2, 8)]), &[]);
    check("a gap", &write(&[(2, 8)]), &told);
    check("two histories", &write(&[(1, 8), (2, 7)]), &told);
    check("back", &write(&[(2, 8), (1, 7)]), &told);
    let lost = base(vec![(10, 0, storing(1, 7)), (12, 0, acked(1, 1))]);
    check("confirmed and never seen", &lost, &told);
    let refused = What::StoreRefused { room: ROOM, request: 1 };
    let applied = base(vec![(10, 0, storing(1, 7)), (11, 0, refused), (12, 1, stored(1, 7))]);
    check("refused and done", &applied, &told);
    let back_in_time = base(vec![
        (10, 0, storing(1, 7)),
        (11, 0, acked(1, 1)),
        (12, 0, storing(2, 8)),
        (13, 0, acked(2, 1)),
        (14, 0, stored(1, 7)),
        (14, 1, stored(1, 7)),
    ]);
    check("a later write before an earlier", &back_in_time, &told);
    let mut snapshot = write(&[(1, 7), (2, 8)]);
    let rejoined = |content| {
        vec![
            (30, 1, What::Leaving { room: ROOM }),
            (31, 1, What::Exited { room: ROOM }),
            (31, 0, left(1, 3)),
            (32, 1, joining(false)),
            (33, 0, joined(1, 4)),
            (33, 1, {
                let mut e = entry(&[0, 1], 0, 4);
                e.storage = Some((2, Arc::new(content)));
                entered(e)
            }),
        ]
    };
    snapshot.extend(rejoined(json!({ "k": 8 })));
    check("a snapshot as all have it", &snapshot, &[]);
    let mut stale = write(&[(1, 7), (2, 8)]);
    stale.extend(rejoined(json!({ "k": 7 })));
    check("a snapshot of its own", &stale, &[("storage", Class::Snapshot)]);
}

/// Where the content is told in an event of its own: the first change of all shows that there was
/// nothing before it, and a newcomer's content is held against what all have.
#[test]
fn a_content_that_is_told_like_a_change_is_held_against_the_others() {
    let stored = |version, key: &str| What::Stored {
        room: ROOM,
        who: Who::Untold,
        version,
        ops: Arc::new(json!([{ "put": { "key": key, "value": version } }])),
        number: Some(version),
    };
    let told = |version, content: Value| {
        let mut history = with(vec![
            (10, 0, stored(1, "a")),
            (10, 1, stored(1, "a")),
            (11, 0, stored(2, "b")),
            (11, 1, stored(2, "b")),
            (20, 2, opened("c")),
            (21, 2, joining(false)),
            (22, 0, joined(2, 3)),
            (22, 1, joined(2, 3)),
        ]);
        let mut newcomer = entry(&[0, 1, 2], 0, 3);
        newcomer.number = None;
        history.push((22, 2, entered(newcomer)));
        let entries = Arc::new(content);
        history.push((23, 2, What::Snapshot { room: ROOM, version, entries }));
        history
    };
    let right = json!({ "a": 1, "b": 2 });
    check("as all have it", &told(2, right.clone()), &[]);
    let snapshot = [("storage", Class::Snapshot)];
    check("without the last write", &told(2, json!({ "a": 1 })), &snapshot);
    let and_then = |version| {
        let mut history = told(2, right.clone());
        let all = (0..3).map(|client| (30, client, stored(version, "c")));
        history.extend(all);
        history
    };
    check("the next change", &and_then(3), &[]);
    let gap = [("storage", Class::Storage), ("numbering", Class::Loss)];
    check("a change is left out", &and_then(4), &gap);
}
