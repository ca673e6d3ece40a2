//! Members that leave, rename themselves and come back while news of it is on the way.

use super::*;

fn renamed(client: u32, view: u64) -> What {
    What::Renamed { room: ROOM, who: Who::Client(ClientId(client)), view: Some(view) }
}

#[test]
fn a_list_may_be_older_than_what_others_have_heard_since() {
    let gone = |asked: u64| {
        let mut history = with(vec![
            (1, 2, opened("c")),
            (asked, 2, joining(false)),
            (10, 1, What::Leaving { room: ROOM }),
            (11, 1, What::Exited { room: ROOM }),
            (20, 2, entered(entry(&[0, 1, 2], 0, 3))),
            (20, 0, joined(2, 3)),
            (21, 0, left(1, 4)),
            (21, 2, left(1, 4)),
        ]);
        history.sort_by_key(|(at, ..)| *at);
        history
    };
    check("asked for before the leave was confirmed", &gone(9), &[]);
    check("asked for after it", &gone(15), &[("membership", Class::Ghost)]);
}

#[test]
fn news_of_a_stay_may_come_when_the_next_has_begun() {
    let back = |more: Vec<(u64, u32, What)>| {
        let mut history = with(vec![
            (10, 1, What::Leaving { room: ROOM }),
            (11, 1, What::Exited { room: ROOM }),
            (12, 1, joining(false)),
            (13, 1, entered(entry(&[0, 1], 0, 4))),
            (14, 0, left(1, 3)),
            (15, 0, joined(1, 4)),
        ]);
        history.extend(more);
        history
    };
    check("left and back", &back(vec![]), &[]);
    let twice = back(vec![(16, 0, left(1, 5))]);
    check("told of a leave that was none", &twice, &[("membership", Class::Notice)]);
}

/// The second joins by a code, which does not say the room, and leaves where nobody confirms that.
#[test]
fn rooms_that_nobody_can_name_are_watched_as_well() {
    let by_code = || What::Joining { room: None, since: false };
    let met = |told: bool| {
        let mut history: History = vec![
            (0, 0, opened("a")),
            (0, 1, opened("b")),
            (1, 0, joining(false)),
            (2, 0, entered(entry(&[0], 0, 1))),
            (3, 1, by_code()),
            (4, 1, entered(entry(&[0, 1], 0, 2))),
        ];
        history.extend(told.then(|| (5, 0, joined(1, 2))));
        history
    };
    check("told", &met(true), &[]);
    check("not told", &met(false), &[("membership", Class::Notice)]);
    let mut heard = met(true);
    let answer = entered(Entry { tickets: 1, ..entry(&[0, 1], 1, 2) });
    heard.splice(5..6, [(3, 0, sending(0)), (3, 1, received(0, 1)), (4, 1, answer)]);
    heard.push((6, 0, received(0, 1)));
    check("it hears a message before the answer", &heard, &[]);
    heard.remove(4);
    check("without asking", &heard, &[("delivery", Class::Leak), ("membership", Class::Admission)]);
    let mut back = met(true);
    back.extend([
        (10, 1, What::Leaving { room: ROOM }),
        (11, 1, by_code()),
        (12, 1, entered(entry(&[0, 1], 0, 4))),
        (13, 0, left(1, 3)),
        (14, 0, joined(1, 4)),
    ]);
    check("told of the first stay when the second has begun", &back, &[]);
    back.push((15, 0, left(1, 5)));
    check("told of a leave that was none", &back, &[("membership", Class::Notice)]);
}

#[test]
fn a_new_name_takes_a_view() {
    let then = |view: u64| {
        with(vec![
            (10, 0, renamed(1, view)),
            (10, 1, renamed(1, view)),
            (11, 1, What::Leaving { room: ROOM }),
            (12, 1, What::Exited { room: ROOM }),
            (13, 0, left(1, view + 1)),
        ])
    };
    check("the next", &then(3), &[]);
    check("one is left out", &then(4), &[("membership", Class::View)]);
}

#[test]
fn an_old_connection_may_be_listed_beside_the_new_one() {
    let back = with(vec![
        (10, 1, What::Closing { abrupt: true }),
        (11, 1, closed(true, None)),
        (12, 1, opened("d")),
        (13, 1, joining(false)),
        (14, 1, entered(entry(&[0, 1, 1], 0, 3))),
        (14, 0, joined(1, 3)),
        (15, 0, left(1, 4)),
        (15, 1, left(1, 4)),
    ]);
    check("after a lost connection", &back, &[]);
    let twice = vec![
        (0, 0, opened("a")),
        (0, 1, opened("b")),
        (1, 0, joining(false)),
        (2, 0, entered(entry(&[0], 0, 1))),
        (3, 1, joining(false)),
        (4, 1, entered(entry(&[0, 0, 1], 0, 2))),
        (5, 0, joined(1, 2)),
    ];
    // Its old connection enters as well, late: the new one is told of that, too.
    let late = with(vec![
        (6, 2, opened("c")),
        (6, 2, joining(false)),
        (7, 2, closed(true, None)),
        (8, 2, opened("d")),
        (9, 2, joining(false)),
        (10, 2, entered(entry(&[0, 1, 2], 0, 3))),
        (10, 2, joined(2, 4)),
        (11, 2, left(2, 5)),
        (10, 0, joined(2, 3)),
        (10, 0, joined(2, 4)),
        (11, 0, left(2, 5)),
        (10, 1, joined(2, 3)),
        (10, 1, joined(2, 4)),
        (11, 1, left(2, 5)),
    ]);
    check("which enters behind it", &late, &[]);
    // Whoever reads late reads of that when the client has left and come for the third time.
    let again = |more: Vec<(u64, u32, What)>| {
        let mut history = with(vec![
            (11, 1, closed(true, None)),
            (12, 1, opened("d")),
            (13, 1, joining(false)),
            (14, 1, entered(entry(&[0, 1, 1], 0, 3))),
            (14, 1, left(1, 4)),
            (15, 1, What::Leaving { room: ROOM }),
            (16, 1, What::Exited { room: ROOM }),
            (17, 1, joining(false)),
            (18, 1, entered(entry(&[0, 1], 0, 6))),
            (20, 0, joined(1, 3)),
            (21, 0, left(1, 4)),
            (22, 0, left(1, 5)),
            (23, 0, joined(1, 6)),
        ]);
        history.extend(more);
        history
    };
    check("and comes back once more", &again(vec![]), &[]);
    let told = [("membership", Class::Notice)];
    check("told that it left once more", &again(vec![(24, 0, left(1, 7))]), &told);
    check("without one", &twice, &[("membership", Class::View)]);
}
