//! Readers that stop, and whom they delay.

use harness::check::Class;
use harness::observe::What;

use super::{check, received, sending, with};

#[test]
fn one_slow_reader_delays_nobody() {
    let history = |took: u64| {
        let mut history = with(vec![(8, 2, What::Reads(false)), (10, 0, sending(0))]);
        history.extend([(11, 0, received(0, 1)), (10 + took, 1, received(0, 1))]);
        history
    };
    check("at once", &history(5), &[]);
    check("after a second", &history(1_000), &[("slow", Class::Slow)]);
    // What takes a second when everybody reads does not take it because somebody does not.
    let mut busy =
        with(vec![(6, 0, sending(0)), (7, 0, received(0, 1)), (1_006, 1, received(0, 1))]);
    let more = [(1_010, 2, What::Reads(false)), (1_020, 0, sending(1))];
    busy.extend(more.into_iter().chain([(1_021, 0, received(1, 2)), (2_020, 1, received(1, 2))]));
    check("a slow machine", &busy, &[]);

    // Whoever reads again finds what has waited for itself; what is sent later is judged.
    let woken = |later: u64| {
        let mut history = with(vec![(8, 1, What::Reads(false)), (10, 0, sending(0))]);
        history.extend([(11, 0, received(0, 1)), (1_000, 1, What::Reads(true))]);
        history.extend([(1_001, 1, received(0, 1)), (1_002, 2, What::Reads(false))]);
        history.extend([(1_003, 0, sending(1)), (1_004, 0, received(1, 2))]);
        history.push((1_003 + later, 1, received(1, 2)));
        history
    };
    check("its own backlog", &woken(5), &[]);
    check("its own backlog, then another's", &woken(1_000), &[("slow", Class::Slow)]);
}
