//! Finds the frames in the bytes of one direction, and gathers those that somebody wants to see.
//!
//! All others pass as they come, byte for byte and without waiting for their ends. Whatever is no
//! WebSocket passes in the same way.

use crate::craft::Crafted;

/// A longer message is not gathered: it passes, and no rule touches it.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// A longer head of HTTP is none.
const HEAD_BYTES_MAX: usize = 64 << 10;

const CONTINUATION: u8 = 0;
/// "Control frames are identified by opcodes where the most significant bit of the opcode is 1" (RFC
/// 6455, 5.5).
const FIRST_CONTROL: u8 = 8;

/// A whole message, or a control frame.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frame {
    /// Its opcode; that of the first of several.
    pub opcode: u8,
    /// Its payload, unmasked; that of all of them.
    pub payload: Vec<u8>,
    /// The key that its payload is masked with.
    pub mask: Option<[u8; 4]>,
    /// The bytes as they came.
    pub raw: Vec<u8>,
}

impl Frame {
    /// A frame that nobody sent.
    pub fn made(opcode: u8, payload: Vec<u8>, mask: Option<[u8; 4]>) -> Self {
        let mut frame = Self { opcode, payload, mask, raw: Vec::new() };
        frame.rebuild();
        frame
    }

    /// Makes the bytes anew of what is in it now, in one frame.
    pub fn rebuild(&mut self) {
        let crafted = Crafted {
            opcode: self.opcode,
            fin: true,
            rsv: 0,
            masked: self.mask.is_some(),
            length: None,
            payload: self.payload.clone(),
        };
        self.raw = crafted.bytes(self.mask.unwrap_or_default());
    }

    /// Its text, if it is one.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.payload).ok().filter(|_| self.opcode == 1)
    }
}

/// Where something ends that has come out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Gap {
    /// Between two messages.
    #[default]
    Messages,
    /// Between two fragments of a message.
    Fragments,
    /// Inside of a frame.
    None,
}

impl Gap {
    /// Whether a frame that begins with this byte may come here.
    pub(super) fn takes(self, first: Option<&u8>) -> bool {
        match self {
            Self::Messages => true,
            Self::Fragments => !first.is_some_and(|first| begins_message(*first)),
            Self::None => false,
        }
    }
}

/// What comes out.
#[derive(Debug)]
pub enum Piece<'a> {
    /// Bytes that pass as they came.
    Pass(&'a [u8]),
    /// A head of HTTP, up to its empty line.
    Head(Vec<u8>),
    /// A frame that was wanted.
    Whole(Frame),
}

/// Finds frames.
#[derive(Debug)]
pub struct Cutter {
    state: State,
    /// The header of the frame that has begun.
    header: Vec<u8>,
    /// The control frame that is being gathered.
    control: Option<Frame>,
    /// The message that is being gathered, from its first fragment on.
    message: Option<Frame>,
    /// The message that passes has not come to its last fragment.
    is_split: bool,
    /// The key of the frame that is being gathered, and how much of it has been unmasked.
    mask: Option<[u8; 4]>,
    unmasked: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// An HTTP head comes first.
    Head,
    /// Anything may come, and it passes.
    Raw,
    /// A frame begins here.
    Start,
    /// Its header has begun.
    Header { kept: bool },
    /// So many bytes of its payload are still to come.
    Payload { kept: bool, left: u64 },
}

impl Cutter {
    /// One that begins with a head of HTTP.
    pub fn of_http() -> Self {
        Self {
            state: State::Head,
            header: Vec::new(),
            control: None,
            message: None,
            is_split: false,
            mask: None,
            unmasked: 0,
        }
    }

    /// One that begins with frames.
    pub fn of_frames() -> Self {
        Self { state: State::Start, ..Self::of_http() }
    }

    /// What comes behind a head: frames, or something that is no WebSocket.
    pub fn go_on(&mut self, with_frames: bool) {
        self.state = if with_frames { State::Start } else { State::Raw };
    }

    /// Whether anything but a head and frames is coming.
    pub fn is_raw(&self) -> bool {
        self.state == State::Raw
    }

    /// What may be put behind what has come out.
    pub fn gap(&self) -> Gap {
        match self.state {
            State::Header { kept: false } | State::Payload { kept: false, .. } => Gap::None,
            _ if self.is_split => Gap::Fragments,
            _ => Gap::Messages,
        }
    }

    /// Takes in bytes. `wanted` has a bit for each opcode that is to be gathered. After a head it
    /// stops; says how many bytes it has taken.
    pub fn feed(&mut self, bytes: &[u8], wanted: u16, out: &mut impl FnMut(Piece<'_>)) -> usize {
        match self.state {
            State::Head => return self.head(bytes, out),
            State::Raw => out(Piece::Pass(bytes)),
            _ => self.frames(bytes, wanted, out),
        }
        bytes.len()
    }

    /// The bytes that were kept back and will never be a whole frame.
    pub fn rest(&mut self) -> Vec<u8> {
        let message = self.message.take().map(|frame| frame.raw).unwrap_or_default();
        let control = self.control.take().map(|frame| frame.raw).unwrap_or_default();
        let header = std::mem::take(&mut self.header);
        let kept = matches!(self.state, State::Head | State::Header { kept: true });
        [message, control, if kept { header } else { Vec::new() }].concat()
    }

    fn head(&mut self, bytes: &[u8], out: &mut impl FnMut(Piece<'_>)) -> usize {
        let before = self.header.len();
        self.header.extend_from_slice(bytes);
        if self.header.first().is_some_and(|first| !first.is_ascii_uppercase()) {
            // Neither a method nor a version begins so: this is TLS, or anything.
            self.state = State::Raw;
            out(Piece::Pass(&std::mem::take(&mut self.header)));
            return bytes.len();
        }
        // The empty line may have begun in what came before.
        let from = before.saturating_sub(3);
        let end = memchr::memmem::find(self.header.get(from..).unwrap_or_default(), b"\r\n\r\n");
        match end {
            Some(at) => {
                let end = from + at + 4;
                let mut head = std::mem::take(&mut self.header);
                head.truncate(end);
                out(Piece::Head(head));
                end - before
            }
            None if self.header.len() > HEAD_BYTES_MAX => {
                self.state = State::Raw;
                out(Piece::Pass(&std::mem::take(&mut self.header)));
                bytes.len()
            }
            None => bytes.len(),
        }
    }

    fn frames(&mut self, bytes: &[u8], wanted: u16, out: &mut impl FnMut(Piece<'_>)) {
        // From here on, what passes has not been handed out yet.
        let (mut at, mut from) = (0, 0);
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Start => {
                    let kept = self.keeps(byte, wanted);
                    let torn = self.message.take_if(|_| begins_message(byte));
                    if kept || torn.is_some() {
                        pass(bytes.get(from..at), out);
                        from = at;
                    }
                    // A message that another one begins in will never be whole.
                    torn.iter().for_each(|torn| out(Piece::Pass(&torn.raw)));
                    self.header.clear();
                    self.state = State::Header { kept };
                }
                State::Header { kept } => {
                    at += 1;
                    self.header.push(byte);
                    let Some(length) = length_of(&self.header) else { continue };
                    if kept {
                        from = at;
                    }
                    let kept = kept && self.open(length, out);
                    self.state = State::Payload { kept, left: length };
                    if length == 0 {
                        self.end(kept, out);
                    }
                }
                State::Payload { kept, left } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    let part = bytes.get(at..at + here).unwrap_or_default();
                    at += here;
                    if kept {
                        self.keep(part);
                        from = at;
                    }
                    let left = left - here as u64;
                    self.state = State::Payload { kept, left };
                    if left == 0 {
                        self.end(kept, out);
                    }
                }
                State::Head | State::Raw => break,
            }
        }
        if !matches!(self.state, State::Header { kept: true }) {
            pass(bytes.get(from..), out);
        }
    }

    /// Whether the frame that begins with this byte is gathered.
    fn keeps(&self, first: u8, wanted: u16) -> bool {
        let opcode = first & 0x0f;
        let gathering = opcode == CONTINUATION && self.message.is_some();
        gathering || wanted & 1 << opcode != 0
    }

    /// The header is complete: its frame is kept, unless it is too long; then all that was kept of its
    /// message passes.
    fn open(&mut self, length: u64, out: &mut impl FnMut(Piece<'_>)) -> bool {
        let [first, second, ..] = self.header.as_slice() else { return false };
        let opcode = first & 0x0f;
        self.mask = self.header.last_chunk().copied().filter(|_| second & 0x80 != 0);
        self.unmasked = 0;
        let place = match opcode {
            FIRST_CONTROL.. => &mut self.control,
            _ => &mut self.message,
        };
        let frame = place.get_or_insert_with(|| Frame { opcode, ..Frame::default() });
        frame.mask = self.mask;
        frame.raw.extend_from_slice(&self.header);
        let most = (MESSAGE_BYTES_MAX - frame.payload.len().min(MESSAGE_BYTES_MAX)) as u64;
        if length <= most {
            return true;
        }
        let given_up = place.take();
        given_up.iter().for_each(|frame| out(Piece::Pass(&frame.raw)));
        false
    }

    fn keep(&mut self, part: &[u8]) {
        let Some(frame) = self.control.as_mut().or(self.message.as_mut()) else { return };
        frame.raw.extend_from_slice(part);
        match self.mask {
            Some(mask) => {
                let keys = mask.iter().cycle().skip(self.unmasked % mask.len());
                frame.payload.extend(part.iter().zip(keys).map(|(byte, key)| byte ^ key));
            }
            None => frame.payload.extend_from_slice(part),
        }
        self.unmasked += part.len();
    }

    /// A frame has come to its end; what is complete is handed out.
    fn end(&mut self, kept: bool, out: &mut impl FnMut(Piece<'_>)) {
        self.state = State::Start;
        let first = self.header.first().copied().unwrap_or_default();
        let last = first & 0x80 != 0;
        let whole = match self.control.take() {
            Some(control) => Some(control),
            // A continuation of what has passed is all that there is of it here.
            None if kept => self.message.take_if(|it| last || it.opcode == CONTINUATION),
            None => None,
        };
        if first & 0x0f < FIRST_CONTROL && self.message.is_none() {
            self.is_split = !last;
        }
        whole.into_iter().for_each(|frame| out(Piece::Whole(frame)));
    }
}

fn pass(bytes: Option<&[u8]>, out: &mut impl FnMut(Piece<'_>)) {
    if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
        out(Piece::Pass(bytes));
    }
}

/// Whether a frame that begins so is the first of a message.
fn begins_message(first: u8) -> bool {
    (CONTINUATION + 1..FIRST_CONTROL).contains(&(first & 0x0f))
}

/// The length that a header declares, once it is complete (RFC 6455, 5.2).
fn length_of(header: &[u8]) -> Option<u64> {
    let [_, second, rest @ ..] = header else { return None };
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    let (length, extended) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
        127 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
        short => (u64::from(short), 0),
    };
    (rest.len() == extended + mask).then_some(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: u16 = u16::MAX;
    const TEXT: u16 = 1 << 1;

    /// Feeds bytes in pieces that end at these places; says what came out, and all of it as bytes.
    fn cut(bytes: &[u8], cuts: &[usize], wanted: u16) -> (Vec<Frame>, Vec<u8>) {
        let mut cutter = Cutter::of_frames();
        let (mut frames, mut all) = (Vec::new(), Vec::new());
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        for pair in cuts.windows(2) {
            cutter.feed(&bytes[pair[0]..pair[1]], wanted, &mut |piece| match piece {
                Piece::Pass(bytes) => all.extend_from_slice(bytes),
                Piece::Head(_) => panic!("no head is awaited"),
                Piece::Whole(frame) => {
                    all.extend_from_slice(&frame.raw);
                    frames.push(frame);
                }
            });
        }
        all.extend(cutter.rest());
        (frames, all)
    }

    #[test]
    fn messages_come_whole_and_all_else_passes() {
        let bytes = b"\x81\x02hi\x89\x01p\x01\x02fr\x80\x82abcd\x00\x05\x88\x02\x03\xe8";
        for at in 0..=bytes.len() {
            let (frames, all) = cut(bytes, &[at], TEXT);
            let texts: Vec<_> = frames.iter().map(|frame| frame.payload.as_slice()).collect();
            assert_eq!(texts, [b"hi".as_slice(), b"frag"], "cut at {at}");
            assert_eq!(all, bytes);
        }
        let (frames, _) = cut(bytes, &[], ALL);
        let opcodes: Vec<u8> = frames.iter().map(|frame| frame.opcode).collect();
        assert_eq!(opcodes, [1, 9, 1, 8]);
        assert_eq!(frames[2].mask, Some(*b"abcd"));
    }

    #[test]
    fn what_passes_does_not_wait_for_its_end() {
        let mut cutter = Cutter::of_frames();
        let mut passed = Vec::new();
        let mut out = |piece: Piece<'_>| match piece {
            Piece::Pass(bytes) => passed.extend_from_slice(bytes),
            other => panic!("{other:?}"),
        };
        for part in [b"\x82".as_slice(), b"\x7e", b"\x01\x00", b"beginning"] {
            cutter.feed(part, TEXT, &mut out);
        }
        assert_eq!(passed, b"\x82\x7e\x01\x00beginning");
    }

    #[test]
    fn it_is_known_where_another_frame_may_come() {
        // A whole frame, a message of two fragments with a ping between them, and a whole one again.
        let bytes = b"\x81\x02hi\x01\x01a\x89\x00\x80\x01b\x82\x00";
        let gaps = |wanted| {
            let mut cutter = Cutter::of_frames();
            let gap = |byte: &u8| {
                cutter.feed(&[*byte], wanted, &mut |_| {});
                match cutter.gap() {
                    Gap::Messages => 'm',
                    Gap::Fragments => 'f',
                    Gap::None => '-',
                }
            };
            bytes.iter().map(gap).collect::<String>()
        };
        assert_eq!(gaps(0), "---m--f-f--m-m");
        // What is gathered has not come out before it is whole.
        assert_eq!(gaps(TEXT), "mmmmmmm-mmmm-m");
    }

    #[test]
    fn a_head_ends_with_its_empty_line() {
        let bytes = b"GET / HTTP/1.1\r\nA: b\r\n\r\n\x81\x00";
        for at in 0..bytes.len() {
            let (mut cutter, mut head) = (Cutter::of_http(), Vec::new());
            let mut take = |cutter: &mut Cutter, part: &[u8]| {
                let mut whole = None;
                let taken = cutter.feed(part, ALL, &mut |piece| match piece {
                    Piece::Head(head) => whole = Some(head),
                    Piece::Pass(_) | Piece::Whole(_) => {}
                });
                if let Some(whole) = whole {
                    head = whole;
                    cutter.go_on(true);
                    let rest = cutter.feed(&part[taken..], 0, &mut |_| {});
                    assert_eq!(taken + rest, part.len());
                }
            };
            take(&mut cutter, &bytes[..at]);
            take(&mut cutter, &bytes[at..]);
            assert_eq!(head, b"GET / HTTP/1.1\r\nA: b\r\n\r\n", "cut at {at}");
        }
    }

    #[test]
    fn what_is_too_long_passes() {
        let mut bytes = b"\x01\x02fr\x80\x7f\0\0\0\0\x02\0\0\0".to_vec();
        bytes.extend(b"and so on");
        let (frames, all) = cut(&bytes, &[3], ALL);
        assert_eq!((frames, all), (vec![], bytes));
    }

    proptest! {
        /// Whatever the bytes are and however they are cut: all of them come out, in order.
        #[test]
        fn what_goes_in_comes_out(
            bytes: Vec<u8>,
            cuts in proptest::collection::vec(any::<usize>(), 0..6),
            wanted in prop_oneof![Just(0), Just(TEXT), Just(ALL), any::<u16>()],
        ) {
            let (frames, all) = cut(&bytes, &cuts, wanted);
            // A control frame may stand between the fragments of a message that is gathered; then it
            // comes out before them.
            let orderly = frames.iter().all(|frame| frame.raw.len() >= 2);
            prop_assert!(orderly);
            let mut sorted = (all.clone(), bytes.clone());
            sorted.0.sort_unstable();
            sorted.1.sort_unstable();
            prop_assert_eq!(sorted.0, sorted.1);
            if wanted == 0 {
                prop_assert_eq!(all, bytes);
            }
        }

        /// Without control frames nothing has a reason to overtake anything, whoever looks at what.
        #[test]
        fn messages_stay_in_order(
            frames in proptest::collection::vec(
                (0..FIRST_CONTROL, any::<bool>(), any::<Option<[u8; 4]>>(), 0_usize..300), 0..8,
            ),
            cuts in proptest::collection::vec(any::<usize>(), 0..6),
            wanted in prop_oneof![Just(TEXT), Just(ALL), any::<u16>()],
        ) {
            let bytes: Vec<u8> = (0_u8..).zip(frames).flat_map(|(nth, (opcode, fin, mask, len))| {
                let (payload, masked) = (vec![nth; len], mask.is_some());
                let frame = Crafted { opcode, fin, rsv: 0, masked, length: None, payload };
                frame.bytes(mask.unwrap_or_default())
            }).collect();
            let (_, all) = cut(&bytes, &cuts, wanted);
            prop_assert_eq!(all, bytes);
        }
    }
}
