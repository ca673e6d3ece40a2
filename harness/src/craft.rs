//! Frames that a scenario builds by hand, right or wrong, and where a client's own bytes leave its
//! stream: inside a frame nothing else may be written.

use crate::dialect::Unfilled;
use crate::plan::{Payload, Vars};
use crate::scenario::units::Size;

/// The longest Close body's head: the code.
const CODE_BYTES: usize = 2;
/// "All control frames MUST have a payload length of 125 bytes or less" (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// Opcodes by name (RFC 6455, 11.8).
pub const OPCODES: [(&str, u8); 6] =
    [("continuation", 0), ("text", 1), ("binary", 2), ("close", 8), ("ping", 9), ("pong", 10)];

/// A frame as a scenario builds it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Crafted {
    /// 0 to 15.
    pub opcode: u8,
    /// The last frame of its message.
    pub fin: bool,
    /// The three reserved bits, 0 to 7.
    pub rsv: u8,
    /// Masked, as a client must.
    pub masked: bool,
    /// The length that it declares; none: the real one.
    pub length: Option<u64>,
    /// Its content.
    pub payload: Vec<u8>,
}

impl Crafted {
    /// Its bytes.
    pub fn bytes(&self, mask: [u8; 4]) -> Vec<u8> {
        let length = self.length.unwrap_or(self.payload.len() as u64);
        let masked = if self.masked { 0x80 } else { 0 };
        let mut bytes = vec![u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode];
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ 0..=125), _) => bytes.push(masked | short),
            (_, Ok(medium)) => {
                bytes.push(masked | 126);
                bytes.extend(medium.to_be_bytes());
            }
            _ => {
                bytes.push(masked | 127);
                bytes.extend(length.to_be_bytes());
            }
        }
        if self.masked {
            bytes.extend(mask);
            bytes.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, m)| byte ^ m));
        } else {
            bytes.extend(&self.payload);
        }
        bytes
    }

    /// A Close frame as RFC 6455, 5.5.1 wants it: who sends it has begun to close.
    pub fn closes(&self) -> bool {
        let honest = self.length.is_none_or(|length| length == self.payload.len() as u64);
        let plain = self.opcode == 8 && self.fin && self.rsv == 0 && self.masked && honest;
        let body = match self.payload.as_slice() {
            [] => true,
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                let allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
                allowed && std::str::from_utf8(reason).is_ok()
            }
            [_] => false,
        };
        plain && body && self.payload.len() <= CONTROL_BYTES_MAX
    }

    /// How transcripts show it.
    pub fn shown(&self) -> String {
        let name = OPCODES.iter().find(|(_, code)| *code == self.opcode);
        let name =
            name.map_or_else(|| format!("opcode {}", self.opcode), |(name, _)| (*name).into());
        let mut notes = String::new();
        if !self.fin {
            notes += ", not the last";
        }
        if self.rsv != 0 {
            notes += &format!(", rsv {}", self.rsv);
        }
        if !self.masked {
            notes += ", not masked";
        }
        if let Some(length) = self.length {
            notes += &format!(", length said to be {length}");
        }
        format!("({name} frame{notes}: {})", shown(&self.payload))
    }
}

/// Bytes as transcripts show them: as a text where they are one, else in hexadecimal.
pub fn shown(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 200;
    let head = bytes.get(..bytes.len().min(SHOWN_MAX)).unwrap_or_default();
    let more =
        if bytes.len() > SHOWN_MAX { format!("… {} bytes", bytes.len()) } else { String::new() };
    match std::str::from_utf8(head) {
        Ok(text) if !text.contains(|c: char| c.is_control()) => format!("{text}{more}"),
        _ => {
            let hex: Vec<String> = head.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{}{more}", hex.join(" "))
        }
    }
}

/// The body of a Close frame.
pub fn close_body(code: u16, reason: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(CODE_BYTES + reason.len());
    body.extend(code.to_be_bytes());
    body.extend(reason);
    body
}

impl Payload {
    /// Its bytes, its holes filled.
    ///
    /// # Errors
    /// A hole that nothing fills, or with something that is no size where one is wanted.
    pub fn bytes(&self, vars: &Vars) -> Result<Vec<u8>, Unfilled> {
        Ok(match self {
            Self::Text(text) => crate::scenario::template::fill_text(text, vars)?.into_bytes(),
            Self::Bytes(bytes) => bytes.clone(),
            Self::Size(size) => vec![b'x'; *size],
            Self::SizeOf(template) => {
                let text = crate::scenario::template::fill_text(template, vars)?;
                let size: Size = text.parse().map_err(|_| Unfilled(template.clone()))?;
                vec![b'x'; size.0]
            }
            Self::Times(inner, times) => inner.bytes(vars)?.repeat(*times as usize),
            Self::Together(parts) => {
                let parts: Result<Vec<_>, _> = parts.iter().map(|part| part.bytes(vars)).collect();
                parts?.concat()
            }
        })
    }
}

/// Follows a client's own bytes from frame to frame.
#[derive(Clone, Debug, Default)]
pub struct Outbound {
    head: Vec<u8>,
    rest: u64,
    unfinished: bool,
}

impl Outbound {
    /// Takes in bytes that were written.
    pub fn wrote(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        while let [next, behind @ ..] = bytes {
            if self.rest > 0 {
                let skipped = usize::try_from(self.rest).unwrap_or(usize::MAX).min(bytes.len());
                self.rest -= skipped as u64;
                bytes = bytes.get(skipped..).unwrap_or_default();
            } else {
                self.head.push(*next);
                bytes = behind;
                self.header();
            }
        }
    }

    /// Ends the header when it is whole.
    fn header(&mut self) {
        let [first, second, extended @ ..] = self.head.as_slice() else { return };
        let (size, mask) = (second & 0x7f, usize::from(second >> 7) * 4);
        let wide = match size {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if extended.len() < wide + mask {
            return;
        }
        let number = extended.iter().take(wide).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        self.rest = if wide == 0 { u64::from(size) } else { number };
        if first & 0x0f < 8 {
            self.unfinished = first & 0x80 == 0;
        }
        self.head.clear();
    }

    /// Nothing was begun that is not whole: a control frame may be written.
    pub fn is_between_frames(&self) -> bool {
        self.head.is_empty() && self.rest == 0
    }

    /// No message was begun that is not whole: a message may be written.
    pub fn is_between_messages(&self) -> bool {
        self.is_between_frames() && !self.unfinished
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{self, Outgoing};

    fn text(payload: &[u8]) -> Crafted {
        let payload = payload.to_vec();
        Crafted { opcode: 1, fin: true, rsv: 0, masked: true, length: None, payload }
    }

    #[test]
    fn a_right_frame_is_what_every_client_sends() {
        for size in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = "x".repeat(size);
            let usual = wire::encode(Outgoing::Text(&payload), [1, 2, 3, 4]);
            assert!(text(payload.as_bytes()).bytes([1, 2, 3, 4]) == usual, "{size} bytes");
        }
    }

    #[test]
    fn a_payload_can_be_as_long_as_a_variable_says() {
        let vars = Vars::from([
            ("limit".to_owned(), 3.into()),
            ("wide".to_owned(), "1KiB".into()),
            ("odd".to_owned(), "many".into()),
        ]);
        let of = |template: &str| Payload::SizeOf(template.to_owned()).bytes(&vars);
        let over = Payload::Together(vec![
            Payload::SizeOf("$limit".to_owned()),
            Payload::Text("y".to_owned()),
        ]);
        assert_eq!(over.bytes(&vars), Ok(b"xxxy".to_vec()));
        assert_eq!(of("$wide").map(|bytes| bytes.len()), Ok(1024));
        assert!(of("$odd").is_err() && of("$none").is_err());
    }

    #[test]
    fn every_part_of_a_frame_can_be_wrong() {
        let mut frame = text(b"hi");
        (frame.masked, frame.rsv, frame.fin) = (false, 5, false);
        assert_eq!(frame.bytes([9; 4]), b"\x51\x02hi");
        frame.length = Some(300);
        assert_eq!(frame.bytes([9; 4]), b"\x51\x7e\x01\x2chi");
        frame.opcode = 15;
        assert_eq!(frame.bytes([9; 4]).first(), Some(&0x5f));
        assert_eq!(
            frame.shown(),
            "(opcode 15 frame, not the last, rsv 5, not masked, length said to be 300: hi)"
        );
    }

    #[test]
    fn only_a_right_close_frame_closes() {
        let close = |body: &[u8]| Crafted { opcode: 8, ..text(body) };
        assert!(close(b"").closes() && close(b"\x03\xe8bye").closes());
        for body in [&b"\x03"[..], b"\x03\xed", b"\x03\xe8\xff", &[0x0f; 126]] {
            assert!(!close(body).closes(), "{body:?}");
        }
        assert!(!Crafted { masked: false, ..close(b"") }.closes());
        assert!(!text(b"").closes());
    }

    #[test]
    fn a_stream_is_whole_between_frames() {
        let mut stream = Outbound::default();
        assert!(stream.is_between_messages());
        stream.wrote(b"\x01");
        assert!(!stream.is_between_frames(), "inside a header");
        stream.wrote(b"\x82\0\0\0\0h");
        assert!(!stream.is_between_frames(), "inside a payload");
        stream.wrote(b"i");
        assert!(stream.is_between_frames() && !stream.is_between_messages(), "a first fragment");
        stream.wrote(b"\x89\x80\0\0\0\0");
        assert!(!stream.is_between_messages(), "a ping between fragments");
        stream.wrote(b"\x80\x80\0\0\0\0");
        assert!(stream.is_between_messages());
        stream.wrote(b"\x82\x7f\0\0\0\0\0\x01\0\0x");
        assert!(!stream.is_between_frames(), "a long frame");
    }

    proptest! {
        #[test]
        fn whole_frames_leave_the_stream_whole(
            sizes in prop::collection::vec(0_usize..70_000, 1..4),
            masked: bool,
            step in 1_usize..5_000,
        ) {
            let frame = |size: &usize| Crafted { masked, ..text(&vec![0; *size]) }.bytes([7; 4]);
            let bytes = sizes.iter().map(frame).collect::<Vec<_>>().concat();
            let mut stream = Outbound::default();
            let (last, before) = bytes.split_last().expect("a header at least");
            for piece in before.chunks(step) {
                stream.wrote(piece);
            }
            prop_assert!(!stream.is_between_frames());
            stream.wrote(&[*last]);
            prop_assert!(stream.is_between_messages());
        }
    }
}
