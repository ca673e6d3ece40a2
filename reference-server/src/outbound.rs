//! What one connection is still to be sent: frames in order, bounded in bytes, written without waiting.
//!
//! At any time exactly one party answers for a queue that is not empty: the turn that found it idle
//! (`Pending`), or, once the socket has refused bytes, the connection's own task (`Full`). Anybody may
//! flush, under the queue's lock, so the order is the order of the pushes.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, IoSlice, Write},
};

use bytes::{Buf, Bytes};

/// How many frames go into one vectored write.
const SLICES: usize = 64;
/// Frames that come to no more than this are copied together: for the kernel one piece is cheaper
/// than many small ones, by more than the copy costs.
const GATHER_BYTES: usize = 16 * 1024;
/// A queue whose capacity grew past this gives it back when it is empty.
const FRAMES_KEPT: usize = 64;
/// For how long publishers may be held up for one reader, in microseconds, before it has read
/// anything: one that never reads costs them this much, once. Reading earns more, a millisecond for
/// 64 KiB, up to a maximum: see [`Outbound::spend_patience`].
const PATIENCE_US: usize = 50_000;
const PATIENCE_US_MAX: usize = 250_000;
const BYTES_PER_US: usize = 64;
/// A flush that lags leaves at most this much behind: whoever pushes beyond it flushes as well, so
/// that a publisher cannot outrun the server, nor readers that keep up be cut for it.
const LAG_BYTES: usize = 256 * 1024;

thread_local! {
    /// Where small frames are copied together.
    static GATHERED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(GATHER_BYTES));
}

#[derive(Debug)]
pub(crate) struct Outbound {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// The largest frame since the queue was last empty: one snapshot does not make a reader slow.
    largest: usize,
    state: State,
    /// Whether the first frame has left in part, so that it must be finished.
    begun: bool,
    /// Whether the last frame is a Close: nothing may follow it.
    closed: bool,
    patience_us: usize,
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
            largest: 0,
            state: State::Idle,
            begun: false,
            closed: false,
            patience_us: PATIENCE_US,
        }
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing to send, and nobody answers for it.
    #[default]
    Idle,
    /// Somebody has this queue on a list and will flush it.
    Pending,
    /// The socket took no more: the connection's task waits until it does.
    Full,
    /// The reader was too slow: only what it has begun and a Close will still leave.
    Cut,
    /// The socket is gone.
    Broken,
}

/// What a push asks of the one who pushed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// Flush this queue at the end of the turn.
    Flush,
    /// Nothing: somebody else will.
    Queued,
    /// Nothing: the connection is ending and takes no more.
    Refused,
}

/// What a flush came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Everything has left.
    Empty,
    /// The socket is full.
    Full,
    /// The socket is full and the queue over its limit.
    Over,
    /// The socket is gone.
    Broken,
}

impl Outbound {
    pub(crate) fn push(&mut self, frame: Bytes, limit_bytes: usize) -> Pushed {
        if self.closed || matches!(self.state, State::Cut | State::Broken) {
            return Pushed::Refused;
        }
        self.bytes += frame.len();
        self.largest = self.largest.max(frame.len());
        self.frames.push_back(frame);
        match self.state {
            State::Idle => {
                self.state = State::Pending;
                Pushed::Flush
            }
            State::Pending if self.bytes > LAG_BYTES => Pushed::Flush,
            // The last word on a queue over its limit has the socket: see `flush`.
            State::Full if self.is_over(limit_bytes) => Pushed::Flush,
            _ => Pushed::Queued,
        }
    }

    /// Appends a Close frame, the last one.
    pub(crate) fn close(&mut self, frame: Bytes, limit_bytes: usize) -> Pushed {
        let pushed = self.push(frame, limit_bytes);
        self.closed = true;
        pushed
    }

    /// Says that a Close frame has been pushed: nothing may follow it.
    pub(crate) fn seal(&mut self) {
        self.closed = true;
    }

    /// Drops everything that has not begun to leave, and ends the stream with this Close frame.
    pub(crate) fn cut(&mut self, close: Bytes) {
        if self.state == State::Broken {
            return;
        }
        self.frames.truncate(usize::from(self.begun));
        self.frames.push_back(close);
        self.bytes = self.frames.iter().map(Bytes::len).sum();
        self.closed = true;
        self.state = State::Full;
    }

    /// Writes until everything has left or the socket refuses; adds what left to `written`.
    pub(crate) fn flush(
        &mut self,
        mut socket: impl Write,
        limit_bytes: usize,
        written: &mut u64,
    ) -> Flushed {
        if self.state == State::Broken {
            return Flushed::Broken;
        }
        while !self.frames.is_empty() {
            match self.write_once(&mut socket) {
                Ok(0) => return self.break_off(),
                Ok(count) => {
                    *written += count as u64;
                    self.advance(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.refused(limit_bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.break_off(),
            }
        }
        // Under TLS the last bytes may be encrypted and not have left.
        match socket.flush() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return self.refused(limit_bytes);
            }
            Err(_) => return self.break_off(),
        }
        self.largest = 0;
        if self.frames.capacity() > FRAMES_KEPT {
            self.frames = VecDeque::new();
        }
        if self.state != State::Cut {
            self.state = State::Idle;
        }
        Flushed::Empty
    }

    /// The socket takes no more for now.
    fn refused(&mut self, limit_bytes: usize) -> Flushed {
        if self.state == State::Cut {
            return Flushed::Full;
        }
        let over = self.is_over(limit_bytes) && !self.closed;
        self.state = if over { State::Cut } else { State::Full };
        if over { Flushed::Over } else { Flushed::Full }
    }

    fn write_once(&self, socket: &mut impl Write) -> io::Result<usize> {
        match self.frames.front() {
            Some(only) if self.frames.len() == 1 => socket.write(only),
            Some(first) if first.len() < GATHER_BYTES => GATHERED.with_borrow_mut(|gathered| {
                gathered.clear();
                for frame in &self.frames {
                    if gathered.len() + frame.len() > GATHER_BYTES {
                        break;
                    }
                    gathered.extend_from_slice(frame);
                }
                socket.write(gathered)
            }),
            _ => {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let count = self.frames.len().min(SLICES);
                for (slice, frame) in slices.iter_mut().zip(&self.frames) {
                    *slice = IoSlice::new(frame);
                }
                socket.write_vectored(slices.get(..count).unwrap_or_default())
            }
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.state == State::Full
    }

    /// Whether so much waits for a full socket that whoever publishes should slow down.
    pub(crate) fn is_behind(&self, limit_bytes: usize) -> bool {
        self.state == State::Full && self.bytes > limit_bytes / 2 && limit_bytes > 0
    }

    /// Whether a publisher should wait for a millisecond more for this reader to catch up.
    ///
    /// A reader that reads, if not as fast as is published at the moment, should not be cut: it may
    /// only be short of processor time, as everybody is on one machine under test. One that does not
    /// read must delay nobody. So waiting is paid for by what is read.
    pub(crate) fn spend_patience(&mut self, limit_bytes: usize) -> bool {
        let waits = self.state == State::Full && self.bytes > limit_bytes / 4;
        let Some(left) = self.patience_us.checked_sub(1000).filter(|_| waits) else { return false };
        self.patience_us = left;
        true
    }

    /// Whether everything has left, as far as is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.state != State::Full
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_over(&self, limit_bytes: usize) -> bool {
        let snapshot = if self.largest > limit_bytes / 4 { self.largest } else { 0 };
        limit_bytes > 0 && self.bytes > limit_bytes + snapshot
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        self.patience_us = (self.patience_us + count / BYTES_PER_US).min(PATIENCE_US_MAX);
        while let Some(front) = self.frames.front_mut() {
            if count < front.len() {
                front.advance(count);
                self.begun |= count > 0;
                return;
            }
            count -= front.len();
            self.begun = false;
            self.frames.pop_front();
        }
    }

    fn break_off(&mut self) -> Flushed {
        *self = Self { state: State::Broken, ..Self::default() };
        Flushed::Broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that takes so many bytes, and then none.
    struct Takes(usize, Vec<u8>);

    impl Write for &mut Takes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = bytes.len().min(self.0);
            self.0 -= count;
            self.1.extend(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn flushed(queue: &mut Outbound, socket: &mut Takes, limit: usize) -> Flushed {
        queue.flush(socket, limit, &mut 0)
    }

    #[test]
    fn the_first_push_onto_an_idle_queue_answers_for_the_flush() {
        let mut queue = Outbound::default();
        assert_eq!(queue.push("one".into(), 100), Pushed::Flush);
        assert_eq!(queue.push("two".into(), 100), Pushed::Queued);
        let mut socket = Takes(100, vec![]);
        assert_eq!(flushed(&mut queue, &mut socket, 100), Flushed::Empty);
        assert_eq!(socket.1, b"onetwo");
        assert_eq!(queue.push("three".into(), 100), Pushed::Flush);
    }

    #[test]
    fn a_slow_reader_is_cut_at_a_frame_boundary() {
        let mut queue = Outbound::default();
        let mut socket = Takes(5, vec![]);
        queue.push("first".into(), 8);
        queue.push("second".into(), 8);
        socket.0 = 7;
        assert_eq!(flushed(&mut queue, &mut socket, 8), Flushed::Full);
        for _ in 0..3 {
            queue.push("ab".into(), 8);
        }
        // "cond" is under way, six more bytes wait: over eight, less one large frame.
        queue.push("abcdefgh".into(), 2);
        assert_eq!(flushed(&mut queue, &mut socket, 2), Flushed::Over);
        assert_eq!(queue.push("late".into(), 2), Pushed::Refused);
        queue.cut("CLOSE".into());
        socket.0 = 100;
        assert_eq!(flushed(&mut queue, &mut socket, 2), Flushed::Empty);
        assert_eq!(socket.1, b"firstsecondCLOSE");
    }

    #[test]
    fn one_large_snapshot_does_not_make_a_reader_slow() {
        let mut queue = Outbound::default();
        let mut socket = Takes(10, vec![]);
        queue.push(vec![b'.'; 1000].into(), 100);
        assert_eq!(flushed(&mut queue, &mut socket, 100), Flushed::Full);
        queue.push(vec![b'.'; 99].into(), 100);
        assert_eq!(flushed(&mut queue, &mut socket, 100), Flushed::Full);
        queue.push(vec![b'.'; 99].into(), 100);
        assert_eq!(flushed(&mut queue, &mut socket, 100), Flushed::Over);
    }

    #[test]
    fn publishers_wait_for_a_reader_only_as_long_as_it_reads() {
        let limit = 1 << 20;
        let mut queue = Outbound::default();
        let mut socket = Takes(0, vec![]);
        queue.push(vec![0; 100_000].into(), limit);
        assert_eq!(flushed(&mut queue, &mut socket, limit), Flushed::Full);
        assert!(!queue.is_behind(limit) && !queue.spend_patience(limit));
        for _ in 0..5 {
            queue.push(vec![0; 100_000].into(), limit);
        }
        assert!(queue.is_behind(limit));
        assert_eq!((0..1000).filter(|_| queue.spend_patience(limit)).count(), 50);
        socket.0 = 128 * 1024;
        assert_eq!(flushed(&mut queue, &mut socket, limit), Flushed::Full);
        assert_eq!((0..1000).filter(|_| queue.spend_patience(limit)).count(), 2);
    }

    #[test]
    fn frames_of_every_size_leave_whole_and_in_order() {
        let mut queue = Outbound::default();
        let mut expected: Vec<u8> = Vec::new();
        for (fill, length) in (0_u8..).zip([1, 9000, 9000, 40_000, 1, 20_000, 16_384, 2, 3]) {
            let frame = vec![fill; length];
            expected.extend(&frame);
            queue.push(frame.into(), 1 << 20);
        }
        let mut socket = Takes(0, vec![]);
        while !queue.is_empty() {
            // However the socket cuts it.
            socket.0 = 7_001;
            flushed(&mut queue, &mut socket, 1 << 20);
        }
        assert!(socket.1 == expected);
        assert_eq!(queue.bytes(), 0);
    }

    /// Takes everything, and lets it out only later: as TLS does on a full socket.
    #[derive(Default)]
    struct Holds {
        inside: usize,
        lets_out: bool,
    }

    impl Write for &mut Holds {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.inside > 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.inside = bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            if self.inside > 0 && !self.lets_out {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.inside = 0;
            Ok(())
        }
    }

    #[test]
    fn what_was_taken_and_has_not_left_keeps_the_queue_full() {
        let (mut queue, mut socket) = (Outbound::default(), Holds::default());
        queue.push("one".into(), 100);
        assert_eq!(queue.flush(&mut socket, 100, &mut 0), Flushed::Full);
        assert!(queue.is_full() && !queue.is_empty());
        // The connection's own task answers for it from now on.
        assert_eq!(queue.push("two".into(), 100), Pushed::Queued);
        assert_eq!(queue.flush(&mut socket, 100, &mut 0), Flushed::Full);
        socket = Holds { inside: 0, lets_out: true };
        assert_eq!(queue.flush(&mut socket, 100, &mut 0), Flushed::Empty);
        assert!(queue.is_empty());
        assert_eq!(queue.push("three".into(), 100), Pushed::Flush);
    }

    #[test]
    fn a_cut_is_over_when_its_close_has_left() {
        let (mut queue, mut socket) = (Outbound::default(), Holds::default());
        queue.push("first".into(), 2);
        assert_eq!(queue.flush(&mut socket, 2, &mut 0), Flushed::Full);
        queue.push("second".into(), 2);
        queue.push("third".into(), 2);
        assert_eq!(queue.flush(&mut socket, 2, &mut 0), Flushed::Over);
        queue.cut("CLOSE".into());
        assert_eq!(queue.flush(&mut socket, 2, &mut 0), Flushed::Full);
        socket = Holds { inside: 0, lets_out: true };
        assert_eq!(queue.flush(&mut socket, 2, &mut 0), Flushed::Empty);
        assert_eq!(queue.push("late".into(), 2), Pushed::Refused);
    }

    #[test]
    fn nothing_follows_a_close() {
        let mut queue = Outbound::default();
        queue.close("CLOSE".into(), 100);
        assert_eq!(queue.push("late".into(), 100), Pushed::Refused);
    }

    #[test]
    fn pushing_past_a_flush_that_lags_asks_the_one_who_pushes_to_flush() {
        let mut queue = Outbound::default();
        queue.push(vec![0; LAG_BYTES].into(), 1 << 20);
        assert_eq!(queue.push("x".into(), 1 << 20), Pushed::Flush);
    }
}
