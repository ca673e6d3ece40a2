//! In which order it came: is there an order of the room that everybody saw?

use std::collections::BTreeMap;

use harness::check::Class;
use harness::observe::{ClientId, MessageId, RoomId, What};
use harness::plan::Ordering;

use super::delivery::{Got, Promise};
use super::past::{Opinion, Past};

const ORDER: &str = "order";

/// What one receiver got in one stay, each message once, in the order got.
type Line = Vec<MessageId>;

fn lines(all: &[Got], promise: Promise) -> BTreeMap<RoomId, Vec<Line>> {
    let mut lines: BTreeMap<(RoomId, ClientId, usize), Line> = BTreeMap::new();
    for it in all.iter().filter(|it| it.first) {
        if let Some(stay) = it.stay.filter(|_| !it.own || promise.own_in_order()) {
            lines.entry((it.room, it.client, stay)).or_default().push(it.id);
        }
    }
    let mut rooms: BTreeMap<RoomId, Vec<Line>> = BTreeMap::new();
    for ((room, ..), line) in lines {
        rooms.entry(room).or_default().push(line);
    }
    rooms
}

/// Whether one message of a sender must come before another. What was said on two connections has
/// no order, unless the first was closed in order.
pub(super) fn precedes(past: &Past<'_>, id: MessageId, other: MessageId) -> bool {
    let (said, later) = (past.said[&id], past.said[&other]);
    let between = past.seen.get(said.at..later.at).unwrap_or_default();
    let broken = between.iter().any(|it| {
        it.client == said.client && matches!(&it.what, What::Closed(ending) if !ending.clean)
    });
    id.voice == other.voice && id.seq < other.seq && !broken
}

/// "one sender's messages out of their order": a later one came before this.
fn comes_late(past: &Past<'_>, line: &[MessageId], at: usize) -> bool {
    line[..at].iter().any(|other| precedes(past, line[at], *other))
}

/// Whether some order of the room holds all the lines: nothing comes before itself.
fn has_one_order(lines: &[Line]) -> bool {
    let mut ids: Vec<MessageId> = lines.iter().flatten().copied().collect();
    ids.sort_unstable();
    ids.dedup();
    let at = |id: &MessageId| ids.binary_search(id).expect("it is among them");
    let mut before = vec![0_usize; ids.len()];
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); ids.len()];
    for pair in lines.iter().flat_map(|line| line.windows(2)) {
        after[at(&pair[0])].push(at(&pair[1]));
        before[at(&pair[1])] += 1;
    }
    // Take away what nothing comes before, until nothing is left, or nothing can be taken.
    let mut left = ids.len();
    let mut free: Vec<usize> = (0..ids.len()).filter(|it| before[*it] == 0).collect();
    while let Some(it) = free.pop() {
        left -= 1;
        for next in &after[it] {
            before[*next] -= 1;
            if before[*next] == 0 {
                free.push(*next);
            }
        }
    }
    left == 0
}

/// Whether two got two messages directly one after the other, in both orders.
fn neighbours_disagree(lines: &[Line]) -> bool {
    let pairs = || lines.iter().flat_map(|line| line.windows(2));
    pairs().any(|one| pairs().any(|other| one[0] == other[1] && one[1] == other[0]))
}

pub(super) fn judge(past: &Past<'_>, all: &[Got], promise: Promise, opinion: &mut Opinion) {
    for lines in lines(all, promise).values() {
        let late = |line: &Line| (0..line.len()).any(|at| comes_late(past, line, at));
        if lines.iter().any(late) {
            opinion.must.insert((ORDER, Class::Reorder));
        }
        if promise.ordering == Ordering::PerSender {
            continue;
        }
        if has_one_order(lines) {
            // The order of a room is what those say who got each message first. If one of them has
            // lost one (its own or another's), or one came that was refused, others contradict that: so these faults may
            // have this name as well.
            let others = [Class::Loss, Class::Echo, Class::Phantom, Class::Recovery];
            if others.iter().any(|class| opinion.has(*class)) {
                opinion.may.insert((ORDER, Class::Disorder));
            }
            continue;
        }
        // "two receivers saw two orders". What came after a later one of its sender is called
        // that, and not this as well.
        let rest: Vec<Line> = lines
            .iter()
            .map(|line| {
                let kept = (0..line.len()).filter(|at| !comes_late(past, line, *at));
                kept.map(|at| line[at]).collect()
            })
            .collect();
        // Where senders do not hear themselves or entries are not confirmed, the place of a message
        // may stay unknown to the end: certain is what two neighbours say.
        let certain = match promise.ordering {
            Ordering::Total if promise.confirmed => !has_one_order(&rest),
            _ => neighbours_disagree(&rest),
        };
        match certain {
            true => opinion.must.insert((ORDER, Class::Disorder)),
            false => opinion.may.insert((ORDER, Class::Disorder)),
        };
    }
}
