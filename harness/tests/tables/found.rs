//! What an oracle has found in random histories (see `oracle/`), told again by hand.

use super::*;

/// Judges by the order of each sender or among others, and without what numbers tell.
fn judged(ordering: Ordering, echo: Echo, history: &History) -> Vec<(&'static str, Class)> {
    let checks = ChecksPlan { order: Some(ordering), echo: Some(echo), ..crate::world::plan() };
    let mut judge = Judge::new(&checks, Profile::new(&checks, None, false), 4);
    for (at, client, what) in history {
        let (at, client) = (Time(at * 1_000), ClientId(*client));
        judge.observe(&Observation { at, client, what: what.clone() });
    }
    judge.conclude(&end_of(history));
    judge.findings().kept().iter().map(|f| (f.check, f.class)).collect()
}

fn message(voice: u32, seq: u32) -> MessageId {
    MessageId { voice: VoiceId(voice), seq }
}

fn says(client: u32, seq: u32, ticket: u32) -> (u64, u32, What) {
    let (message, intended) = (message(client, seq), Time(0));
    (10, client, What::Sending { message, room: ROOM, ticket, intended, hash: 0 })
}

fn gets(client: u32, voice: u32, seq: u32) -> (u64, u32, What) {
    let (message, from) = (message(voice, seq), Who::Client(ClientId(voice)));
    (11, client, What::Received { message, room: Some(ROOM), from, hash: 0, number: None })
}

fn all_inside(clients: u32) -> History {
    let enter = |client| {
        [
            (0, client, opened(&format!("c{client}"))),
            (1, client, joining(false)),
            (2, client, {
                let mut entry = entry(&[], 0, 1);
                entry.members = None;
                entered(entry)
            }),
        ]
    };
    (0..clients).flat_map(enter).collect()
}

#[test]
fn a_refusal_may_be_on_its_way_when_a_receiver_leaves() {
    let refusal = What::Rejected { message: message(0, 0), code: "no".into() };
    let left_out = |refused: bool| {
        let mut history = all_inside(2);
        history.extend([says(0, 0, 0), says(0, 1, 1), gets(1, 0, 1)]);
        history
            .extend([(12, 1, What::Leaving { room: ROOM }), (13, 1, What::Exited { room: ROOM })]);
        history.extend(refused.then(|| (14, 0, refusal.clone())));
        judged(Ordering::PerSender, Echo::Never, &history)
    };
    assert_eq!(left_out(true), []);
    assert_eq!(left_out(false), [("delivery", Class::Loss)]);
}

#[test]
fn who_does_not_read_does_not_know_of_a_refusal() {
    let lost = |reads: bool| {
        let mut history = all_inside(3);
        history.extend([(9, 0, What::Reads(reads)), says(0, 0, 0)]);
        judged(Ordering::PerSender, Echo::Never, &history)
    };
    assert_eq!(lost(false), []);
    assert_eq!(lost(true).len(), 2);
}

#[test]
fn who_comes_back_after_it_had_stopped_reading_is_owed_again() {
    let judged = |history: &History| judged(Ordering::PerSender, Echo::Never, history);
    let ending = Ending { asked: true, code: None, reason: "".into(), clean: true };
    let mut back = entry(&[], 0, 1);
    back.members = None;
    let mut history = all_inside(2);
    history.extend([(9, 1, What::Reads(false)), (9, 1, What::Closed(ending))]);
    history.extend([(9, 1, opened("d")), (9, 1, joining(false)), (9, 1, entered(back))]);
    history.push(says(0, 0, 0));
    assert_eq!(judged(&history), [("delivery", Class::Loss)]);
    history.push(gets(1, 0, 0));
    assert_eq!(judged(&history), []);
}

#[test]
fn two_neighbours_in_two_orders_are_seen_where_nobody_hears_himself() {
    let told = |first: [u32; 2], second: [u32; 2]| {
        let mut history = all_inside(4);
        history.extend((0..4).map(|client| says(client, 0, client)));
        history.extend(first.map(|voice| gets(2, voice, 0)));
        history.extend(second.map(|voice| gets(3, voice, 0)));
        let mut found = judged(Ordering::TotalAmongOthers, Echo::Never, &history);
        found.retain(|(check, _)| *check == "order");
        found
    };
    assert_eq!(told([0, 1], [0, 1]), []);
    assert_eq!(told([0, 1], [1, 0]), [("order", Class::Disorder)]);
}

#[test]
fn between_two_connections_of_a_sender_there_is_no_order() {
    let told = |clean: bool| {
        let mut history = all_inside(2);
        history.push(says(0, 0, 0));
        let ending = Ending { asked: true, code: None, reason: "".into(), clean };
        history.extend([(10, 0, What::Closed(ending)), (10, 0, opened("d"))]);
        let mut back = entry(&[], 0, 1);
        (back.members, back.tickets) = (None, 1);
        history.extend([(10, 0, joining(false)), (10, 0, entered(back))]);
        history.extend([says(0, 1, 1), gets(1, 0, 1), gets(1, 0, 0)]);
        judged(Ordering::PerSender, Echo::Never, &history)
    };
    assert_eq!(told(false), []);
    assert_eq!(told(true), [("order", Class::Reorder)]);
}

/// Client 1 is the last to leave a room, and reads of it when client 2 is in the next life of it.
#[test]
fn news_of_a_room_that_is_over_contradicts_nothing_of_the_next() {
    let write = |n: u64| Arc::new(json!([{ "put": { "key": "k", "value": n } }]));
    let stored = |n: u64| {
        let (who, ops) = (Who::Untold, write(n));
        What::Stored { room: ROOM, who, version: 1, ops, number: Some(1) }
    };
    let with_storage = |mut entry: Entry, epoch: &str| {
        entry.storage = Some((0, Arc::new(json!({}))));
        entry.epoch = Some(epoch.into());
        entered(entry)
    };
    let history = vec![
        (0, 0, opened("a")),
        (0, 1, opened("b")),
        (0, 2, opened("c")),
        (1, 1, joining(false)),
        (2, 1, with_storage(entry(&[1], 0, 1), "life")),
        (3, 1, What::Storing { room: ROOM, request: 1, ops: write(7) }),
        (4, 1, What::Leaving { room: ROOM }),
        (5, 2, joining(false)),
        (6, 2, with_storage(entry(&[2], 0, 1), "next")),
        (7, 2, What::Storing { room: ROOM, request: 2, ops: write(8) }),
        (8, 2, What::StoreAcked { room: ROOM, request: 2, version: Some(1) }),
        (9, 2, stored(8)),
        (10, 1, What::StoreAcked { room: ROOM, request: 1, version: Some(1) }),
        (11, 1, stored(7)),
        (12, 1, What::Exited { room: ROOM }),
    ];
    check("two lives", &history, &[]);
}

#[test]
fn a_write_that_nobody_was_left_to_see_is_not_lost() {
    let ops = Arc::new(json!([{ "put": { "key": "k", "value": 1 } }]));
    let mut alone = entry(&[0], 0, 1);
    alone.storage = Some((0, Arc::new(json!({}))));
    let history = vec![
        (0, 0, opened("a")),
        (1, 0, joining(false)),
        (2, 0, entered(alone)),
        (3, 0, What::Storing { room: ROOM, request: 1, ops }),
        (4, 0, What::StoreAcked { room: ROOM, request: 1, version: Some(1) }),
        (5, 0, closed(true, None)),
    ];
    check("its writer has gone", &history, &[]);
}

#[test]
fn a_presence_of_the_stay_before_is_no_step_back() {
    let say = |n| What::PresenceSending { room: ROOM, state: state(n) };
    let sees = |n| {
        let who = Who::Client(ClientId(0));
        What::Presence { room: ROOM, who, state: state(n), number: None }
    };
    let back = |seen: &[u64]| {
        let mut history = with((1..=3).map(|n| (10, 0, say(n))).collect());
        history.extend([(11, 1, sees(1)), (11, 1, sees(2))]);
        history.extend([(12, 0, closed(true, None)), (12, 0, opened("d"))]);
        history.extend([(12, 0, joining(false)), (12, 0, entered(entry(&[0, 0, 1], 0, 3)))]);
        history.extend([(13, 1, joined(0, 3)), (14, 1, left(0, 4)), (14, 0, left(0, 4))]);
        history.push((15, 0, say(4)));
        history.extend(seen.iter().map(|n| (16, 1, sees(*n))));
        history
    };
    check("the first of the next stay", &back(&[4]), &[]);
    check("the last of the stay before comes late", &back(&[4, 3]), &[]);
    let told = [("presence", Class::Presence)];
    check("an older one of the stay before", &back(&[4, 3, 2]), &told);
}

#[test]
fn a_number_of_another_event_is_not_left_out_as_well() {
    let mut history = with((0..3).map(|n| (10, 0, sending(n))).collect());
    history.extend((0..3_u32).map(|n| (11, 0, received(n, u64::from(n) + 1))));
    history.extend([(12, 1, received(0, 1)), (12, 1, received(1, 2))]);
    history.extend([(13, 0, sending(3)), (14, 0, received(3, 4))]);
    // Client 1 gets the third as the fourth says it is, and so the fourth too.
    history.extend([(15, 1, received(2, 3)), (16, 1, received(3, 4)), (17, 2, opened("c"))]);
    check("all as they are", &history, &[]);
    let mut other = history.clone();
    other[12].2 = sending(3);
    other[15].2 = What::Presence {
        room: ROOM,
        who: Who::Client(ClientId(0)),
        state: state(9),
        number: Some(3),
    };
    let (judge, _) = judge(&other, end_of(&other));
    let classes: Vec<Class> =
        judge.findings().of("numbering").into_iter().map(|(class, _)| class).collect();
    assert_eq!(classes, [Class::Disorder]);
}

/// Client 1 is lost; client 2 asks to enter so many milliseconds later, is answered so many later than
/// that, and told only then who has gone.
#[test]
fn who_is_answered_late_may_be_told_of_one_who_was_lost_meanwhile() {
    let judged = |asks: u64, answered: u64, stall: u64| {
        let (asks, at) = (10 + asks, 10 + asks + answered);
        let history = with(vec![
            (9, 2, opened("c")),
            (10, 1, closed(true, None)),
            (asks, 2, joining(false)),
            (at, 0, joined(2, 3)),
            (at, 2, entered(entry(&[0, 1, 2], 0, 3))),
            (at, 0, left(1, 4)),
            (at, 2, left(1, 4)),
        ]);
        let end = End { stall: Duration::from_millis(stall), ..end_of(&history) };
        let (judge, _) = judge(&history, end);
        judge.findings().of("membership")
    };
    let ghost = [(Class::Ghost, 1)];
    assert_eq!(judged(900, 10, 0), []);
    assert_eq!(judged(1_200, 10, 0), ghost);
    assert_eq!(judged(10, 4_000, 0), [], "it was lost just before the request");
    assert_eq!(judged(3_000, 4_000, 0), [], "the server itself was slow");
    assert_eq!(judged(3_000, 1_500, 0), ghost);
    assert_eq!(judged(1_200, 10, 300), [], "the harness stood still");
}

/// Client 1 does not read when the server puts it out: it never knows.
#[test]
fn who_does_not_read_may_have_been_put_out() {
    let put_out = |more: Vec<(u64, u32, What)>| {
        let mut history = with(vec![(10, 1, What::Reads(false)), (11, 0, left(1, 3))]);
        history.extend([(12, 2, opened("c")), (13, 2, joining(false))]);
        history.extend([(14, 0, joined(2, 4)), (14, 2, entered(entry(&[0, 2], 0, 4)))]);
        history.extend(more);
        history
    };
    check("it never reads again", &put_out(vec![]), &[]);
    check("it is closed by its client", &put_out(vec![(15, 1, closed(true, None))]), &[]);
    let before = vec![
        (10, 0, left(1, 3)),
        (11, 1, What::Leaving { room: ROOM }),
        (12, 1, What::Exited { room: ROOM }),
        (13, 1, joining(false)),
        (14, 1, entered(entry(&[0, 1], 0, 5))),
        (15, 1, What::Reads(false)),
        (15, 0, left(1, 4)),
        (16, 0, joined(1, 5)),
    ];
    let (found, _) = judge(&with(before.clone()), end_of(&with(before)));
    let notices = found.findings().of("membership").into_iter().find(|it| it.0 == Class::Notice);
    assert!(
        notices.is_some_and(|(_, n)| n >= 2),
        "told of a stay before, that it read: {notices:?}"
    );
    let told = [("membership", Class::Notice), ("membership", Class::Snapshot)];
    let (judge, _) = {
        let history = put_out(vec![(15, 1, What::Reads(true))]);
        judge(&history, end_of(&history))
    };
    let found = judge.findings().kept().iter().filter(|it| it.check == "membership");
    let found: Vec<_> = found.map(|it| (it.check, it.class)).collect();
    assert!(told.iter().all(|told| found.contains(told)), "it reads, and was in: {found:?}");
}

#[test]
fn a_refusal_is_no_stay_that_could_be_lost() {
    let twice = |refused: bool| {
        let refusal = What::Refused { room: Some(ROOM), code: "no".into() };
        let mut history = vec![(0, 0, opened("a")), (1, 0, joining(false))];
        history.extend(refused.then_some((2, 0, refusal)));
        history.extend([(3, 0, closed(true, None)), (4, 0, opened("b"))]);
        history.extend([(5, 1, opened("c")), (6, 1, joining(false))]);
        history.push((7, 1, entered(entry(&[1], 0, 1))));
        history.extend([(8, 0, joining(false)), (9, 0, entered(entry(&[1, 0], 0, 2)))]);
        history.extend([(10, 1, joined(0, 2)), (11, 1, joined(0, 3)), (11, 0, joined(0, 3))]);
        let (judge, _) = judge(&history, end_of(&history));
        judge.findings().of("membership")
    };
    assert_eq!(twice(false), [], "the old connection may have come in late");
    assert_eq!(twice(true).first(), Some(&(Class::Notice, 1)));
}

/// The server puts client 1 out while that begins to close its connection.
#[test]
fn an_end_that_both_sides_ask_for_excuses_what_others_were_told() {
    let crossed = |code: Option<u16>| {
        with(vec![
            (10, 0, left(1, 3)),
            (11, 1, What::Closing { abrupt: code.is_none() }),
            (12, 1, closed(true, code)),
        ])
    };
    check("it is reset", &crossed(None), &[]);
    check("the server's own Close comes", &crossed(Some(1001)), &[]);
    check("the server answers its Close", &crossed(Some(1000)), &[("membership", Class::Notice)]);
}

#[test]
fn a_sender_s_order_is_seen_though_the_room_s_stays_unknown() {
    let mut entered = all_inside(3);
    for (_, _, what) in &mut entered {
        if let What::Entered(entry) = what {
            entry.confirmed = false;
        }
    }
    let told = |order: [u32; 3]| {
        let mut history = entered.clone();
        history.extend((0..3).map(|n| says(0, n, n)));
        history.extend([says(2, 0, 3), says(1, 0, 4)]);
        // The log begins with what client 0 gets; what client 1 gets before that has no place.
        history.push(gets(0, 2, 0));
        history.extend([gets(1, 0, order[0]), gets(1, 0, order[1]), gets(1, 2, 0)]);
        history.push(gets(1, 0, order[2]));
        history.extend((0..3).map(|n| gets(2, 0, n)));
        let mut found = judged(Ordering::TotalAmongOthers, Echo::Never, &history);
        found.retain(|(check, _)| *check == "order");
        found.dedup();
        found
    };
    assert_eq!(told([0, 1, 2]), []);
    assert_eq!(told([0, 2, 1]), [("order", Class::Reorder)]);
    // What client 1 got first is not put before the log that others have made.
    let mut history = entered;
    history.extend([says(0, 0, 0), says(0, 1, 1), gets(2, 0, 0), gets(1, 0, 1), gets(1, 0, 0)]);
    history.push(gets(2, 0, 1));
    let mut found = judged(Ordering::TotalAmongOthers, Echo::Never, &history);
    found.retain(|(check, _)| *check == "order");
    found.dedup();
    assert_eq!(found, [("order", Class::Reorder)]);
}

#[test]
fn two_endings_of_one_client_are_two() {
    let history = vec![
        (0, 0, opened("a")),
        (1, 0, closed(false, None)),
        (2, 0, opened("b")),
        (3, 0, closed(false, Some(1011))),
    ];
    check("cut, then closed", &history, &[("protocol", Class::Killed), ("protocol", Class::Close)]);
}

#[test]
fn who_is_announced_twice_leaves_but_once() {
    let told = [("membership", Class::Notice)];
    let twice = with(vec![
        (6, 0, joined(1, 3)),
        (10, 1, What::Leaving { room: ROOM }),
        (11, 1, What::Exited { room: ROOM }),
        (12, 0, left(1, 4)),
    ]);
    check("and is not there any more", &twice, &told);
}

#[test]
fn a_refusal_between_makes_no_stay() {
    let history = with(vec![
        (10, 1, closed(true, None)),
        (11, 1, opened("d")),
        (12, 1, joining(false)),
        (13, 1, What::Refused { room: Some(ROOM), code: "no".into() }),
        (14, 1, joining(false)),
        (15, 1, entered(entry(&[0, 1, 1], 0, 3))),
        (15, 0, joined(1, 3)),
        (16, 0, left(1, 4)),
        (16, 1, left(1, 4)),
    ]);
    check("its old connection is still listed", &history, &[]);
}
