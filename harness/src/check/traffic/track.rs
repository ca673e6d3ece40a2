//! Which places of a stream one receiver has got: two numbers, and a side table for the faulty.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};

/// Streams with faults that are kept; a server worse than that is known well enough.
const FAULTY_MAX: usize = 100_000;
/// Ranges and single places kept of one faulty stream.
const RANGES_MAX: usize = 4_096;

/// No place yet.
pub(super) const NOWHERE: i64 = i64::MIN;

/// The places got: `start..next`, but for what the side table says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Track {
    pub(super) start: i64,
    pub(super) next: i64,
}

impl Default for Track {
    fn default() -> Self {
        Self { start: NOWHERE, next: NOWHERE }
    }
}

/// What taking a place has shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Took {
    /// The next one, or the first.
    Next,
    /// Places were left out.
    Ahead,
    /// One that was left out before, or lies before the first.
    Behind,
    /// One that was taken already.
    Again,
}

/// A receiver's stream: the member, and the voice ([`WHOLE_ROOM`] for the room's log).
pub(super) type Key = (u32, u32);

/// The stream of a whole room's log.
pub(super) const WHOLE_ROOM: u32 = u32::MAX;

#[derive(Debug, Default)]
struct Fault {
    missing: Vec<Range<i64>>,
    extra: BTreeSet<i64>,
}

/// The side table: only streams with gaps or strays have a row.
#[derive(Debug, Default)]
pub(super) struct Faults {
    rows: BTreeMap<Key, Fault>,
    over: bool,
}

impl Faults {
    /// Takes a place.
    pub(super) fn take(&mut self, key: Key, track: &mut Track, place: i64) -> Took {
        if track.start == NOWHERE {
            *track = Track { start: place, next: place + 1 };
            return Took::Next;
        }
        if place == track.next {
            track.next += 1;
            return Took::Next;
        }
        if place > track.next {
            let gap = track.next..place;
            track.next = place + 1;
            if let Some(fault) = self.row(key) {
                fault.missing.push(gap);
            }
            return Took::Ahead;
        }
        if self.has(key, *track, place) {
            return Took::Again;
        }
        if let Some(fault) = self.row(key)
            && !fault.fill(place)
        {
            fault.extra.insert(place);
        }
        Took::Behind
    }

    /// Takes a place that says nothing about those before it.
    pub(super) fn stray(&mut self, key: Key, place: i64) {
        if let Some(fault) = self.row(key) {
            fault.extra.insert(place);
        }
    }

    /// Whether a place was taken. Where the side table is full it says no: better silent than
    /// wrong.
    pub(super) fn has(&self, key: Key, track: Track, place: i64) -> bool {
        let within = track.start <= place && place < track.next;
        match self.rows.get(&key) {
            None => within && !self.over,
            Some(fault) if fault.extra.contains(&place) => true,
            Some(fault) => within && !fault.missing.iter().any(|gap| gap.contains(&place)),
        }
    }

    /// Whether any of these places was taken. Costs nothing for each place: a gap may be long.
    pub(super) fn has_any(&self, key: Key, track: Track, places: RangeInclusive<i64>) -> bool {
        if places.is_empty() {
            return false;
        }
        let first = *places.start().max(&track.start);
        let mut last = *places.end().min(&(track.next - 1));
        let Some(fault) = self.rows.get(&key) else { return first <= last && !self.over };
        if fault.extra.range(places).next().is_some() {
            return true;
        }
        while first <= last {
            let Some(gap) = fault.missing.iter().find(|gap| gap.contains(&last)) else {
                return true;
            };
            last = gap.start - 1;
        }
        false
    }

    /// Begins a stream at a place before the first one that came.
    pub(super) fn begin(&mut self, key: Key, track: &mut Track, first: i64, place: i64) {
        *track = Track { start: first, next: first };
        self.take(key, track, place);
    }

    /// The gaps in the streams of one stay.
    pub(super) fn gaps_of(&self, stay: u32) -> Vec<(u32, Range<i64>)> {
        let rows = self.rows.range((stay, 0)..=(stay, WHOLE_ROOM));
        let mut gaps: Vec<_> = rows
            .flat_map(|((_, stream), fault)| fault.missing.iter().map(|gap| (*stream, gap.clone())))
            .collect();
        gaps.sort_unstable_by_key(|(stream, gap)| (*stream, gap.start));
        gaps
    }

    /// Forgets the streams of one stay.
    pub(super) fn forget_stay(&mut self, stay: u32) {
        let streams = self.rows.range((stay, 0)..=(stay, WHOLE_ROOM));
        for key in streams.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.rows.remove(&key);
        }
    }

    fn row(&mut self, key: Key) -> Option<&mut Fault> {
        if self.rows.len() >= FAULTY_MAX && !self.rows.contains_key(&key) {
            self.over = true;
            return None;
        }
        let fault = self.rows.entry(key).or_default();
        if fault.missing.len() + fault.extra.len() >= RANGES_MAX {
            self.over = true;
            return None;
        }
        Some(fault)
    }

    /// How many streams have a row.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

impl Fault {
    fn fill(&mut self, place: i64) -> bool {
        let Some(at) = self.missing.iter().position(|gap| gap.contains(&place)) else {
            return false;
        };
        let gap = self.missing.swap_remove(at);
        let halves = [gap.start..place, place + 1..gap.end];
        self.missing.extend(halves.into_iter().filter(|half| !half.is_empty()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(places: &[i64]) -> Vec<Took> {
        let (mut faults, mut track) = (Faults::default(), Track::default());
        places.iter().map(|place| faults.take((0, 0), &mut track, *place)).collect()
    }

    #[test]
    fn a_track_knows_what_it_has() {
        use Took::{Again, Ahead, Behind, Next};
        let cases: [(&[i64], &[Took]); 7] = [
            (&[5, 6, 7], &[Next, Next, Next]),
            (&[5, 5], &[Next, Again]),
            (&[5, 7, 6], &[Next, Ahead, Behind]),
            (&[5, 7, 6, 6], &[Next, Ahead, Behind, Again]),
            (&[5, 4, 4], &[Next, Behind, Again]),
            (&[5, 9, 7, 7, 6, 8, 10], &[Next, Ahead, Behind, Again, Behind, Behind, Next]),
            (&[5, 6, 7, 5], &[Next, Next, Next, Again]),
        ];
        for (places, expected) in cases {
            assert_eq!(takes(places), expected, "{places:?}");
        }
    }

    #[test]
    fn a_long_gap_is_passed_over_at_once() {
        let (mut faults, mut track, key) = (Faults::default(), Track::default(), (0, 0));
        for place in [5, 6, i64::MAX / 2, 9, 3] {
            faults.take(key, &mut track, place);
        }
        let cases = [(4..=4, false), (0..=3, true), (6..=6, true), (7..=8, false), (7..=9, true)];
        for (places, expected) in cases {
            assert_eq!(faults.has_any(key, track, places.clone()), expected, "{places:?}");
        }
        assert!(!faults.has_any(key, track, 10..=i64::MAX / 2 - 1));
        assert!(faults.has_any(key, track, 10..=i64::MAX / 2));
        assert!(!faults.has_any(key, track, RangeInclusive::new(8, 7)));
    }

    #[test]
    fn a_good_stream_costs_no_row() {
        let (mut faults, mut track) = (Faults::default(), Track::default());
        for place in 0..10_000 {
            faults.take((1, WHOLE_ROOM), &mut track, place);
        }
        assert_eq!(faults.len(), 0);
    }
}
