//! WebSocket frames as a client sees and sends them (RFC 6455), without a socket.
//!
//! A tester must see every frame as it came and decide itself what to answer, so it takes only the
//! header's codec from the library: tungstenite answers pings unasked.

use std::io::Cursor;

use async_tungstenite::tungstenite::protocol::frame::FrameHeader;
use async_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use thiserror::Error;

/// The largest message that is put together, in bytes; a longer one is a breach of the peer's own
/// announced limits and ends the connection.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// "All control frames MUST have a payload length of 125 bytes or less" (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: u64 = 125;

/// A whole message or control frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Incoming<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A ping.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// A Close frame. No code when its body is empty.
    Close {
        /// The code.
        code: Option<u16>,
        /// The reason.
        reason: &'a str,
    },
}

/// How a server broke RFC 6455.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
pub enum Breach {
    /// A header that cannot be.
    #[error("frame header: {0}")]
    Header(String),
    /// "A server MUST NOT mask any frames that it sends to the client" (5.1).
    #[error("a masked frame from the server")]
    Masked,
    /// Reserved bits without an extension that gives them a meaning (5.2).
    #[error("reserved bits are set")]
    Reserved,
    /// A control frame that is fragmented or too long (5.5).
    #[error("a control frame that is fragmented or over 125 bytes")]
    Control,
    /// A continuation without a beginning, or a beginning inside a message (5.4).
    #[error("fragments out of order")]
    Fragments,
    /// Text that is not UTF-8 (8.1).
    #[error("text that is not UTF-8")]
    Utf8,
    /// A Close frame whose body is no code and reason, or whose code may not be sent (7.4).
    #[error("a Close frame with a bad body")]
    Close,
    /// More than [`MESSAGE_BYTES_MAX`].
    #[error("a message over {MESSAGE_BYTES_MAX} bytes")]
    TooLarge,
}

/// Puts frames together from the bytes of a connection. Holds memory only for what is unfinished.
#[derive(Debug, Default)]
pub struct Frames {
    partial: Vec<u8>,
    message: Option<(Data, Vec<u8>)>,
}

impl Frames {
    /// Takes in bytes, and hands out everything that they complete.
    ///
    /// # Errors
    /// The first breach of RFC 6455; nothing may be fed after it.
    pub fn feed(&mut self, bytes: &[u8], mut out: impl FnMut(Incoming<'_>)) -> Result<(), Breach> {
        if self.partial.is_empty() {
            let used = self.take(bytes, &mut out)?;
            self.partial.extend_from_slice(bytes.get(used..).unwrap_or_default());
            return Ok(());
        }
        let mut gathered = std::mem::take(&mut self.partial);
        gathered.extend_from_slice(bytes);
        let used = self.take(&gathered, &mut out)?;
        if used < gathered.len() {
            gathered.drain(..used);
            self.partial = gathered;
        }
        Ok(())
    }

    /// Hands out the whole frames at the head of `bytes`, and says how many bytes they were.
    fn take(&mut self, bytes: &[u8], out: &mut impl FnMut(Incoming<'_>)) -> Result<usize, Breach> {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            let mut cursor = Cursor::new(rest);
            let parsed = FrameHeader::parse(&mut cursor);
            let Some((header, length)) = parsed.map_err(|e| Breach::Header(e.to_string()))? else {
                break;
            };
            self.judge(&header, length)?;
            let begin = usize::try_from(cursor.position()).map_err(|_| Breach::TooLarge)?;
            let end = begin + usize::try_from(length).map_err(|_| Breach::TooLarge)?;
            let Some(payload) = rest.get(begin..end) else { break };
            self.frame(&header, payload, out)?;
            used += end;
        }
        Ok(used)
    }

    fn judge(&self, header: &FrameHeader, length: u64) -> Result<(), Breach> {
        if header.mask.is_some() {
            return Err(Breach::Masked);
        }
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Breach::Reserved);
        }
        let control = matches!(header.opcode, OpCode::Control(_));
        if control && (!header.is_final || length > CONTROL_BYTES_MAX) {
            return Err(Breach::Control);
        }
        let gathered = self.message.as_ref().map_or(0, |(_, bytes)| bytes.len() as u64);
        if gathered.saturating_add(length) > MESSAGE_BYTES_MAX as u64 {
            return Err(Breach::TooLarge);
        }
        Ok(())
    }

    fn frame(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        out: &mut impl FnMut(Incoming<'_>),
    ) -> Result<(), Breach> {
        match header.opcode {
            OpCode::Control(Control::Ping) => out(Incoming::Ping(payload)),
            OpCode::Control(Control::Pong) => out(Incoming::Pong(payload)),
            OpCode::Control(Control::Close) => out(close(payload)?),
            OpCode::Data(Data::Continue) => {
                let (kind, mut gathered) = self.message.take().ok_or(Breach::Fragments)?;
                gathered.extend_from_slice(payload);
                if header.is_final {
                    out(data(kind, &gathered)?);
                } else {
                    self.message = Some((kind, gathered));
                }
            }
            OpCode::Data(_) if self.message.is_some() => return Err(Breach::Fragments),
            OpCode::Data(kind) if header.is_final => out(data(kind, payload)?),
            OpCode::Data(kind) => self.message = Some((kind, payload.to_vec())),
            OpCode::Control(Control::Reserved(_)) => {
                return Err(Breach::Header("a reserved opcode".to_owned()));
            }
        }
        Ok(())
    }
}

fn data(kind: Data, payload: &[u8]) -> Result<Incoming<'_>, Breach> {
    match kind {
        Data::Text => std::str::from_utf8(payload).map(Incoming::Text).map_err(|_| Breach::Utf8),
        Data::Binary => Ok(Incoming::Binary(payload)),
        Data::Continue | Data::Reserved(_) => Err(Breach::Header("a reserved opcode".to_owned())),
    }
}

fn close(payload: &[u8]) -> Result<Incoming<'_>, Breach> {
    match payload {
        [] => Ok(Incoming::Close { code: None, reason: "" }),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            // 7.4.1: 1004, 1005, 1006 and 1015 "MUST NOT be set as a status code in a Close".
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(Breach::Close);
            }
            let reason = std::str::from_utf8(reason).map_err(|_| Breach::Utf8)?;
            Ok(Incoming::Close { code: Some(code), reason })
        }
        [_] => Err(Breach::Close),
    }
}

/// What a client sends.
#[derive(Clone, Copy, Debug)]
pub enum Outgoing<'a> {
    /// A text message in one frame.
    Text(&'a str),
    /// A ping.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// A Close frame.
    Close {
        /// The code.
        code: u16,
        /// The reason.
        reason: &'a str,
    },
}

/// The bytes of a frame, masked: "a client MUST mask all frames that it sends" (5.1).
pub fn encode(frame: Outgoing<'_>, mask: [u8; 4]) -> Vec<u8> {
    let (opcode, payload) = match frame {
        Outgoing::Text(text) => (OpCode::Data(Data::Text), text.as_bytes().to_vec()),
        Outgoing::Ping(payload) => (OpCode::Control(Control::Ping), payload.to_vec()),
        Outgoing::Pong(payload) => (OpCode::Control(Control::Pong), payload.to_vec()),
        Outgoing::Close { code, reason } => {
            let mut body = code.to_be_bytes().to_vec();
            body.extend_from_slice(reason.as_bytes());
            (OpCode::Control(Control::Close), body)
        }
    };
    let header = FrameHeader { is_final: true, opcode, mask: Some(mask), ..FrameHeader::default() };
    let mut bytes = Vec::with_capacity(payload.len() + 14);
    header.format(payload.len() as u64, &mut bytes).expect("writing to a Vec cannot fail");
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds the bytes in pieces of `step`, and tells what came out.
    fn check(bytes: &[u8], step: usize) -> (Vec<String>, Option<Breach>) {
        let (mut frames, mut seen) = (Frames::default(), Vec::new());
        for piece in bytes.chunks(step.max(1)) {
            let fed = frames.feed(piece, |incoming| seen.push(format!("{incoming:?}")));
            if let Err(breach) = fed {
                return (seen, Some(breach));
            }
        }
        (seen, None)
    }

    #[test]
    fn frames_come_whole_however_the_bytes_are_cut() {
        let bytes = b"\x81\x02hi\x89\x01p\x01\x02fr\x8a\x00\x80\x02ag\x88\x05\x03\xe8bye";
        let whole = [
            "Text(\"hi\")",
            "Ping([112])",
            "Pong([])",
            "Text(\"frag\")",
            "Close { code: Some(1000), reason: \"bye\" }",
        ];
        for step in 1..=bytes.len() {
            assert_eq!(check(bytes, step), (whole.iter().map(|s| (*s).to_owned()).collect(), None));
        }
    }

    #[test]
    fn breaches_are_named() {
        let cases: [(&[u8], Breach); 9] = [
            (b"\x81\x81\0\0\0\0x", Breach::Masked),
            (b"\xc1\x01x", Breach::Reserved),
            (b"\x09\x01x", Breach::Control),
            (b"\x89\x7e\0\x7e", Breach::Control),
            (b"\x80\x01x", Breach::Fragments),
            (b"\x01\x01x\x81\x01y", Breach::Fragments),
            (b"\x81\x01\xff", Breach::Utf8),
            (b"\x88\x02\x03\xed", Breach::Close),
            (b"\x82\x7f\x00\x00\x00\x01\x00\x00\x00\x00", Breach::TooLarge),
        ];
        for (bytes, breach) in cases {
            assert_eq!(check(bytes, 64).1, Some(breach), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, step in 1usize..9) {
            check(&bytes, step);
        }

        #[test]
        fn what_is_sent_is_masked_and_reads_back(text in ".{0,300}", mask: [u8; 4]) {
            let bytes = encode(Outgoing::Text(&text), mask);
            let mut cursor = Cursor::new(&bytes[..]);
            let (header, length) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
            prop_assert_eq!(header.mask, Some(mask));
            let payload = &bytes[cursor.position() as usize..];
            prop_assert_eq!(payload.len() as u64, length);
            let read: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b).collect();
            prop_assert_eq!(read, text.into_bytes());
        }
    }
}
